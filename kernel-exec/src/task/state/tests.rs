//! Tests of the word's steps one by one, as pure functions.

use super::{
    ABANDONED, CANCEL, COUNT_LIMIT, COUNT_SHIFT, Complete, DOOMED, EndPoll, HANDLER_READY, ONE, PendingPoll,
    Publish, RUNNING, RegisterWaiter, Release, SCHEDULED, STATUS_SHIFT, Snapshot, Start, Status, UNWINDING,
    WAITERS, Wake,
};

fn word(flags: usize, count: usize) -> Snapshot {
    Snapshot(flags | (count << COUNT_SHIFT))
}

fn check<D: PartialEq + core::fmt::Debug>(got: (Snapshot, D), flags: usize, count: usize, action: D) {
    assert_eq!(got.1, action);
    assert_eq!(got.0.0 & (ONE - 1), flags, "flags");
    assert_eq!(got.0.count(), count, "count");
}

const COMPLETED: usize = (Status::Completed as usize) << STATUS_SHIFT;

#[test]
fn a_run_takes_the_queues_reference_over() {
    check(word(SCHEDULED, 2).start(), RUNNING, 2, Start::Poll { cancel: false });
    check(word(SCHEDULED | CANCEL, 2).start(), RUNNING | CANCEL, 2, Start::Poll { cancel: true });
    check(word(SCHEDULED | ABANDONED | DOOMED, 1).start(), RUNNING | ABANDONED | DOOMED, 1, Start::Drop);
}

#[test]
fn an_idle_task_is_queued_by_a_wake_with_a_reference_of_its_own() {
    check(word(0, 1).wake_by_ref(), SCHEDULED, 2, Wake::Schedule);
    check(word(0, 1).wake_by_value(), SCHEDULED, 1, Wake::Schedule);
    check(word(ABANDONED, 1).wake_by_ref(), ABANDONED | SCHEDULED, 2, Wake::Schedule);
}

#[test]
fn a_scheduled_task_is_not_queued_again() {
    check(word(SCHEDULED, 2).wake_by_ref(), SCHEDULED, 2, Wake::Nothing);
    check(word(SCHEDULED, 2).wake_by_value(), SCHEDULED, 1, Wake::Nothing);
}

#[test]
fn a_running_task_is_not_queued_but_notified() {
    check(word(RUNNING, 2).wake_by_ref(), RUNNING | SCHEDULED, 2, Wake::Nothing);
    check(word(RUNNING, 2).wake_by_value(), RUNNING | SCHEDULED, 1, Wake::Nothing);
}

#[test]
fn a_wake_after_the_end_only_gives_its_reference_up() {
    check(word(COMPLETED, 2).wake_by_ref(), COMPLETED, 2, Wake::Nothing);
    check(word(COMPLETED, 2).wake_by_value(), COMPLETED, 1, Wake::Nothing);
    check(word(COMPLETED, 1).wake_by_value(), COMPLETED, 0, Wake::Free);
}

#[test]
fn cancel_schedules_an_idle_task_once() {
    check(word(0, 1).request_cancel(), CANCEL | SCHEDULED, 2, Wake::Schedule);
    check(word(ABANDONED, 1).request_cancel(), ABANDONED | CANCEL | SCHEDULED, 2, Wake::Schedule);
    check(word(CANCEL, 1).request_cancel(), CANCEL, 1, Wake::Nothing);
    check(word(RUNNING, 2).request_cancel(), RUNNING | CANCEL | SCHEDULED, 2, Wake::Nothing);
    check(word(COMPLETED, 1).request_cancel(), COMPLETED, 1, Wake::Nothing);
}

#[test]
fn the_last_reference_of_an_unfinished_task_becomes_the_queues() {
    check(word(0, 2).release(), 0, 1, Release::Alive(1));
    check(word(0, 1).release(), ABANDONED | CANCEL | SCHEDULED, 1, Release::Schedule);
    check(word(ABANDONED, 1).release(), ABANDONED | CANCEL | SCHEDULED | DOOMED, 1, Release::Schedule);
    check(word(COMPLETED, 1).release(), COMPLETED, 0, Release::Free);
}

#[test]
fn a_pending_poll_ends_idle_again_deferred_or_dropped() {
    check(word(RUNNING, 2).end_poll(QUIET, true), 0, 1, EndPoll::Idle);
    check(word(RUNNING | SCHEDULED, 2).end_poll(QUIET, true), RUNNING, 2, EndPoll::Again { cancel: false });
    check(word(RUNNING | SCHEDULED, 2).end_poll(QUIET, false), SCHEDULED, 2, EndPoll::Defer);
    check(word(RUNNING | CANCEL, 2).end_poll(UNTAKEN, true), RUNNING | CANCEL, 2, EndPoll::DropBody);
    check(word(RUNNING | UNWINDING, 2).end_poll(QUIET, true), RUNNING | UNWINDING, 2, EndPoll::DropBody);
}

const QUIET: PendingPoll = PendingPoll { untaken: false, cleaning: false, held_back: false };
const UNTAKEN: PendingPoll = PendingPoll { untaken: true, ..QUIET };
const CLEANING: PendingPoll = PendingPoll { cleaning: true, ..QUIET };
const CLEANING_UNTAKEN: PendingPoll = PendingPoll { untaken: true, ..CLEANING };
const HELD_BACK: PendingPoll = PendingPoll { held_back: true, ..UNTAKEN };

#[test]
fn a_main_that_was_held_back_gets_another_poll() {
    let again = EndPoll::Again { cancel: true };
    check(word(RUNNING | CANCEL, 2).end_poll(HELD_BACK, true), RUNNING | CANCEL, 2, again);
    check(word(RUNNING | CANCEL, 2).end_poll(HELD_BACK, false), SCHEDULED | CANCEL, 2, EndPoll::Defer);
    let again = EndPoll::Again { cancel: false };
    check(word(RUNNING | UNWINDING, 1).end_poll(HELD_BACK, true), RUNNING | UNWINDING, 1, again);
    let still = PendingPoll { cleaning: true, ..HELD_BACK };
    check(word(RUNNING | CANCEL, 2).end_poll(still, true), CANCEL, 1, EndPoll::Idle);
    check(word(RUNNING, 2).end_poll(HELD_BACK, true), 0, 1, EndPoll::Idle);
}

#[test]
fn a_cleanup_under_way_keeps_the_body() {
    check(word(RUNNING | CANCEL, 2).end_poll(CLEANING_UNTAKEN, true), CANCEL, 1, EndPoll::Idle);
    check(word(RUNNING | UNWINDING, 2).end_poll(CLEANING, true), UNWINDING, 1, EndPoll::Idle);
}

#[test]
fn a_request_set_during_a_poll_gets_a_poll_of_its_own() {
    check(
        word(RUNNING | CANCEL | SCHEDULED, 2).end_poll(QUIET, true),
        RUNNING | CANCEL,
        2,
        EndPoll::Again { cancel: true },
    );
}

#[test]
fn a_pending_poll_without_a_waker_ends_in_cancellation_and_then_in_the_drop() {
    check(
        word(RUNNING, 1).end_poll(QUIET, true),
        RUNNING | ABANDONED | CANCEL,
        1,
        EndPoll::Again { cancel: true },
    );
    check(word(RUNNING, 1).end_poll(QUIET, false), SCHEDULED | ABANDONED | CANCEL, 1, EndPoll::Defer);
    check(word(RUNNING | ABANDONED, 1).end_poll(QUIET, true), RUNNING | ABANDONED, 1, EndPoll::DropBody);
}

#[test]
fn the_end_frees_or_leaves_or_runs_the_handler() {
    check(word(RUNNING | SCHEDULED | CANCEL, 2).complete(Status::Completed), COMPLETED, 1, Complete::Done);
    check(word(RUNNING, 1).complete(Status::Completed), COMPLETED, 0, Complete::Free);
    check(
        word(RUNNING | HANDLER_READY, 1).complete(Status::Completed),
        COMPLETED | HANDLER_READY,
        1,
        Complete::Tell { waiters: false, handler: true },
    );
}

#[test]
fn the_end_tells_the_waiters_and_admits_no_more_of_them() {
    check(word(RUNNING, 2).register_waiter(), RUNNING | WAITERS, 2, RegisterWaiter::Wait);
    check(word(WAITERS, 3).register_waiter(), WAITERS, 3, RegisterWaiter::Wait);
    check(word(COMPLETED, 2).register_waiter(), COMPLETED, 2, RegisterWaiter::Ended);
    for (flags, handler) in [(WAITERS, false), (WAITERS | HANDLER_READY, true)] {
        let action = Complete::Tell { waiters: true, handler };
        check(word(RUNNING | flags, 2).complete(Status::Completed), COMPLETED | flags, 2, action);
    }
}

#[test]
fn a_handler_published_late_takes_a_reference_to_run_under() {
    check(word(COMPLETED, 1).publish_handler(), COMPLETED | HANDLER_READY, 2, Publish::RunNow);
    check(word(RUNNING, 1).publish_handler(), RUNNING | HANDLER_READY, 1, Publish::Later);
}

#[test]
fn the_request_is_taken_once() {
    check(word(RUNNING | CANCEL, 1).take_cancel(), RUNNING, 1, true);
    check(word(RUNNING, 1).take_cancel(), RUNNING, 1, false);
}

#[test]
fn the_count_has_room_below_its_limit() {
    check(word(0, COUNT_LIMIT - 1).wake_by_ref(), SCHEDULED, COUNT_LIMIT, Wake::Schedule);
    const { assert!(usize::BITS < 64 || COUNT_LIMIT > 1 << 32) };
}

/// Tests of `[C3]`. On the simulated kernel failing fast is a bug check that a test can look at.
#[cfg(kernel = "sim")]
mod fail_fast {
    use super::super::{COUNT_LIMIT, COUNT_SHIFT, SCHEDULED, State, Status};
    use crate::sync::AtomicUsize;
    use core::ptr::NonNull;
    use ntsim::{Config, Schedule, Simulation, Stop};

    /// Returns the first parameter of the bug check 0x139 that this program ends in, or 0 if there
    /// is none.
    fn reason(program: impl FnOnce() + 'static) -> u64 {
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        match kernel.run_on(0, program) {
            Err(Stop::BugCheck(bug)) if bug.code == 0x139 => bug.parameters[0],
            other => {
                assert!(other.is_ok(), "{other:?}");
                0
            }
        }
    }

    fn with_count(count: usize) -> State {
        State(AtomicUsize::new(count << COUNT_SHIFT))
    }

    const REFERENCE_COUNT: u64 = 14;
    const PROTOCOL: u64 = 5;

    #[test]
    fn a_count_beyond_half_its_range() {
        assert_eq!(
            reason(|| {
                with_count(COUNT_LIMIT).add_reference();
            }),
            REFERENCE_COUNT
        );
        let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
        let below = || assert_eq!(with_count(COUNT_LIMIT - 1).add_reference(), COUNT_LIMIT);
        kernel.run_on(0, below).unwrap();
    }

    #[test]
    fn a_count_below_zero() {
        let release = || {
            // SAFETY: the word outlives the call.
            let _ = unsafe { State::release(NonNull::from(&with_count(0))) };
        };
        assert_eq!(reason(release), REFERENCE_COUNT);
    }

    #[test]
    fn a_reference_from_nothing() {
        assert_eq!(
            reason(|| {
                with_count(0).add_reference();
            }),
            REFERENCE_COUNT
        );
    }

    #[test]
    fn a_second_poller_or_a_second_end() {
        assert_eq!(
            reason(|| {
                let _ = with_count(1).start();
            }),
            PROTOCOL
        );
        let twice = || {
            let state = State(AtomicUsize::new(SCHEDULED | 2 << COUNT_SHIFT));
            let _ = state.start();
            let _ = state.start();
        };
        assert_eq!(reason(twice), PROTOCOL);
        let end = || {
            // SAFETY: the word outlives the call.
            let _ = unsafe { State::complete(NonNull::from(&with_count(1)), Status::Completed) };
        };
        assert_eq!(reason(end), PROTOCOL);
    }
}
