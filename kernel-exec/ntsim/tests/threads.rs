//! Threads (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-pscreatesystemthread,
//! `nf-wdm-psterminatesystemthread`, `nf-wdm-kegetcurrentthread`,
//! `nf-wdm-obreferenceobjectbyhandle`).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{cell::Cell, ptr::null_mut};
use std::rc::Rc;

use common::{waiting::*, *};
use ntsim::{
    Config, Schedule, Simulation,
    sync::{AtomicUsize, Ordering, UnsafeCell},
    trace::{ThreadName, What},
    types::{_KDPC_IMPORTANCE::HighImportance, *},
};

#[test]
fn a_system_thread_runs_its_routine_at_passive_level_and_is_signalled_by_its_end() {
    fine(|| {
        let log = Log::default();
        let (mine, theirs) = (log.clone(), log);
        let me = current_thread();
        let thread = Thread::spawn(move || {
            assert_ne!(current_thread(), me);
            theirs.add(format!("routine at {}", current_irql()));
        });
        assert_eq!(thread.0, thread_of_pointer(thread.0));
        thread.join();
        mine.add("joined");
        assert_eq!(mine.lines(), ["routine at 0", "joined"]);
    });
}

fn thread_of_pointer(object: PVOID) -> PVOID {
    reference(object);
    dereference(object);
    object
}

#[test]
fn terminating_ends_the_thread_at_once() {
    fine(|| {
        let reached = Rc::new(Cell::new(0));
        let count = Rc::clone(&reached);
        Thread::spawn(move || {
            count.set(1);
            terminate(STATUS_SUCCESS);
            count.set(2);
        })
        .join();
        assert_eq!(reached.get(), 1);
    });
}

#[test]
fn a_programs_thread_does_not_terminate_itself() {
    fine(|| assert_eq!(terminate(STATUS_SUCCESS), STATUS_INVALID_PARAMETER));
}

#[test]
fn threads_share_one_processor_and_the_schedule_chooses() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..1000 {
        let mut kernel = Simulation::new(processors(1), Schedule::seed(seed));
        let log = Log::default();
        let shared = log.clone();
        let run = kernel.run_on(0, move || {
            let threads = ["a", "b"].map(|name| {
                let log = shared.clone();
                Thread::spawn(move || {
                    for _ in 0..2 {
                        ntsim::preemption_point();
                        log.add(name);
                    }
                })
            });
            threads.into_iter().for_each(Thread::join);
        });
        run.and_then(|()| kernel.unload()).unwrap();
        orders.insert(log.lines().concat());
    }
    assert_eq!(orders.len(), 6, "{orders:?}");
}

#[test]
fn a_system_thread_runs_on_any_processor() {
    let mut seen = [false; 3];
    for seed in 0..60 {
        let mut kernel = Simulation::new(processors(3), Schedule::seed(seed));
        let ran_on = Rc::new(Cell::new(0));
        let result = Rc::clone(&ran_on);
        let run =
            kernel.run_on(0, move || Thread::spawn(move || result.set(processor_number() as usize)).join());
        run.unwrap();
        seen[ran_on.get()] = true;
    }
    assert_eq!(seen, [true; 3]);
}

#[test]
fn a_thread_may_go_on_elsewhere_after_a_wait_and_a_program_may_not() {
    let mut moved = false;
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let places = Rc::new(Cell::new((0, 0)));
        let result = Rc::clone(&places);
        let run = kernel.run_on(1, move || {
            let thread = Thread::spawn(move || {
                let before = processor_number();
                delay(-1);
                result.set((before, processor_number()));
            });
            thread.join();
            assert_eq!(processor_number(), 1);
        });
        run.unwrap();
        moved |= places.get().0 != places.get().1;
    }
    assert!(moved);
}

#[test]
fn at_dispatch_level_a_processor_does_not_switch_threads() {
    for seed in 0..100 {
        let mut kernel = Simulation::new(processors(1), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let inside = Rc::new(Cell::new(false));
            let threads = [0; 3].map(|_| {
                let inside = Rc::clone(&inside);
                Thread::spawn(move || {
                    let before = raise_to_dpc_level();
                    assert!(!inside.replace(true));
                    for _ in 0..20 {
                        ntsim::preemption_point();
                    }
                    inside.set(false);
                    lower(before);
                })
            });
            threads.into_iter().for_each(Thread::join);
        });
        run.unwrap();
    }
}

#[test]
fn each_thread_has_its_own_irql_below_dispatch_level() {
    for seed in 0..50 {
        let mut kernel = Simulation::new(processors(1), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let walk = |irql: u8| {
                move || {
                    let before = raise(irql);
                    for _ in 0..10 {
                        assert_eq!(current_irql(), irql);
                    }
                    lower(before);
                }
            };
            [Thread::spawn(walk(0)), Thread::spawn(walk(1))].into_iter().for_each(Thread::join);
        });
        run.unwrap();
    }
}

#[test]
fn a_thread_that_spins_does_not_keep_its_processors_other_threads_from_running() {
    for schedule in [Schedule::round_robin(), Schedule::seed(3), Schedule::bytes(vec![])] {
        let mut kernel = Simulation::new(processors(1), schedule);
        let run = kernel.run_on(0, || {
            let flag = Rc::new(AtomicUsize::new(0));
            let set = Rc::clone(&flag);
            let thread = Thread::spawn(move || set.store(1, Ordering::Release));
            while flag.load(Ordering::Acquire) == 0 {}
            thread.join();
        });
        run.unwrap();
    }
}

#[test]
fn dpcs_run_while_every_thread_of_their_processor_waits() {
    fine(|| {
        let event = Event::synchronization();
        let (dpc, timer) = (Dpc::new(move || _ = event.set()), Timer::new());
        timer.set(-1, Some(dpc));
        assert_eq!(wait(&event, None), STATUS_SUCCESS);
        timer.free();
        dpc.free();
        event.free();
    });
}

#[test]
fn a_dpc_sees_the_thread_that_it_interrupts_or_the_idle_thread() {
    fine(|| {
        let seen = Rc::new(Cell::new(null_mut()));
        let result = Rc::clone(&seen);
        let (dpc, timer) = (Dpc::new(move || result.set(current_thread())), Timer::new());
        dpc.insert();
        assert_eq!(seen.get(), current_thread());
        dpc.initialize();
        timer.set(-1, Some(dpc));
        delay(-(10 * TICK.cast_signed()));
        assert_ne!(seen.get(), current_thread());
        timer.free();
        dpc.free();
    });
}

#[test]
fn a_thread_that_has_not_ended_at_unload_is_refused() {
    let unload = |finish: bool| {
        let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
        let slot = Rc::new(Cell::new(None::<(Event, Thread)>));
        let made = Rc::clone(&slot);
        let load = program(move || {
            let event = Event::notification();
            made.set(Some((event, Thread::spawn(move || _ = wait(&event, None)))));
        });
        kernel.run_on(0, load).unwrap();
        let (event, thread) = slot.get().unwrap();
        kernel.unload_with(
            0,
            program(move || {
                if finish {
                    event.set();
                    thread.join();
                    event.free();
                }
            }),
        )
    };
    let stop = unload(false).unwrap_err();
    let bug = stop.bug_check().unwrap();
    assert_eq!((bug.code, bug.rule.as_str()), (0xCE, "the driver was unloaded while thread 1 had not ended"));
    unload(true).unwrap();
}

#[test]
fn a_thread_that_waits_beyond_a_run_goes_on_in_the_next() {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(5));
    let slot = Rc::new(Cell::new(None::<(Event, Thread)>));
    let made = Rc::clone(&slot);
    let load = program(move || {
        let event = Event::synchronization();
        let thread = Thread::spawn(move || {
            for _ in 0..3 {
                assert_eq!(wait(&event, None), STATUS_SUCCESS);
            }
        });
        made.set(Some((event, thread)));
    });
    kernel.run_on(0, load).unwrap();
    let (event, thread) = slot.get().unwrap();
    for processor in [1, 0, 1] {
        kernel.run_on(processor, move || _ = event.set()).unwrap();
    }
    kernel.run_on(0, move || (thread.join(), event.free()).1).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn a_reset_forgets_threads_that_wait() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    for _ in 0..20 {
        let leave = program(|| {
            let event = Event::notification();
            for _ in 0..5 {
                Thread::spawn(move || _ = wait(&event, None));
            }
        });
        kernel.run_on(0, leave).unwrap();
        kernel.reset(processors(1), Schedule::round_robin());
        kernel.run_on(0, || Thread::spawn(|| ()).join()).unwrap();
        kernel.unload().unwrap();
        kernel.reset(processors(1), Schedule::round_robin());
    }
}

#[test]
fn a_program_can_be_waited_for() {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(2));
    let shared = Rc::new(Cell::new(null_mut::<_KTHREAD>()));
    let (give, take) = (Rc::clone(&shared), shared);
    let done = Rc::new(Cell::new(false));
    let finished = Rc::clone(&done);
    let first = program(move || {
        give.set(current_thread());
        delay(-(100 * TICK.cast_signed()));
        done.set(true);
    });
    let second = program(move || {
        while take.get().is_null() {
            ntsim::preemption_point();
        }
        assert_eq!(wait_at(take.get().cast(), None), STATUS_SUCCESS);
        assert!(finished.get());
    });
    kernel.programs().on(0, first).on(1, second).run().unwrap();
}

#[test]
fn a_write_of_one_thread_inside_the_access_of_another_of_its_processor_is_found() {
    let found = |mutable: bool| {
        (0..200).any(|seed| {
            let mut kernel = Simulation::new(processors(1), Schedule::seed(seed));
            let run = kernel.run_on(0, move || {
                let cell = Rc::new(UnsafeCell::new(0));
                let threads = [false, false, mutable].map(|mutable| {
                    let cell = Rc::clone(&cell);
                    Thread::spawn(move || if mutable { cell.with_mut(|_| ()) } else { cell.with(|_| ()) })
                });
                threads.into_iter().for_each(Thread::join);
            });
            run.is_err()
        })
    };
    assert!(found(true));
    assert!(!found(false));
}

#[test]
fn many_threads() {
    let config = Config { processors: 4, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::seed(1));
    let run = kernel.run_on(0, || {
        let count = Rc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..300)
            .map(|_| {
                let count = Rc::clone(&count);
                Thread::spawn(move || {
                    delay(-1);
                    count.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        threads.into_iter().for_each(Thread::join);
        assert_eq!(count.load(Ordering::SeqCst), 300);
    });
    run.and_then(|()| kernel.unload()).unwrap();
}

/// A thread of another program may run on a processor before its own program has begun, and DPCs
/// may be served there when it waits. The program begins once, and its waits last.
#[test]
fn a_program_that_begins_late_waits_as_long_as_it_must() {
    for seed in 0..400 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let late = || {
            let ended = Rc::new(Cell::new(false));
            let ends = Rc::clone(&ended);
            let thread = Thread::spawn(move || {
                delay(-1);
                ends.set(true);
            });
            thread.join();
            assert!(ended.get(), "it has waited for the thread's end");
        };
        let early = || {
            let dpc = Dpc::new(|| ()).target(0).importance(HighImportance);
            let thread = Thread::spawn(|| _ = delay(-1));
            for _ in 0..40 {
                dpc.insert();
            }
            thread.join();
            flush_dpcs();
            dpc.free();
        };
        let run = kernel.programs().on(1, early).on(0, late).run();
        run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

#[test]
fn the_trace_names_threads() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || Thread::spawn(|| _ = delay(-1)).join()).unwrap();
    let events = kernel.trace().events();
    let ended =
        |event: &ntsim::trace::Event| matches!(event.what, What::ThreadEnd { thread: ThreadName::System(1) });
    assert!(events.iter().any(ended));
    let text = kernel.trace().to_string();
    for needle in [
        "processor 0 goes on with thread 1",
        "thread 1 waits in KeDelayExecutionThread",
        "program 0 waits in KeWaitForSingleObject for thread 1",
        "program 0 is ready on processor 0",
        "thread 1 ends",
    ] {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }
}

#[test]
fn the_same_seed_makes_the_same_trace_with_threads() {
    let trace = |schedule: Schedule| {
        let mut kernel = Simulation::new(processors(3), schedule);
        let work = || {
            program(|| {
                let event = Event::synchronization();
                let threads = [0; 3].map(|_| {
                    Thread::spawn(move || {
                        wait(&event, Some(-(2 * TICK.cast_signed())));
                        delay(-1);
                        event.set();
                    })
                });
                event.set();
                threads.into_iter().for_each(Thread::join);
                event.free();
            })
        };
        kernel.programs().on(0, work()).on(2, work()).run().unwrap();
        (kernel.trace().to_string(), kernel.recording())
    };
    for seed in 0..20 {
        let (first, recording) = trace(Schedule::seed(seed));
        assert_eq!(first, trace(Schedule::seed(seed)).0);
        let text = recording.to_text();
        assert_eq!(first, trace(Schedule::replay(text.parse().unwrap())).0);
    }
}
