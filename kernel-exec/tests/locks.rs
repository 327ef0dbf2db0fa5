//! Tests of a driver's locks, and of what its tasks wait for in line.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Waker},
};
use std::{sync::Arc, task::Wake};

use common::{Log, in_kernel};
use ntcom_exec::{
    CancelHandle, Mutex, NTSTATUS, Notified, Notify, Semaphore, channel, default_tracker,
    spawn_dpc_task_cancellable,
    sync::{Lazy, OnceCell, QueuedSpinLock, SpinLock},
    yield_now,
};
use ntsim::{Config, Limits, Simulation, Stop, counters, hunt};

fn spawn(body: impl Future<Output = ()> + Send + 'static) -> CancelHandle {
    spawn_dpc_task_cancellable(body).unwrap()
}

fn unfinished() -> usize {
    let mut unfinished = 0;
    default_tracker(|tracker| unfinished = tracker.unfinished());
    unfinished
}

/// Runs a round under seeds and in a small complete exploration.
fn hunted(round: impl FnMut(&mut Simulation) -> Result<(), Stop>) {
    let config = Config { processors: 2, ..Config::default() };
    let limits = Limits { preemptions: Some(1), runs: 400, ..Limits::default() };
    hunt(config).seeds(60).explore(limits).run(round);
}

#[test]
fn a_guard_restores_the_irql_from_before_its_lock() {
    static OUTER: SpinLock<u32> = SpinLock::new(1);
    static INNER: SpinLock<u32> = SpinLock::new(2);
    in_kernel(|| {
        let outer = OUTER.lock();
        let inner = INNER.lock();
        assert_eq!((*outer + *inner, ntsim::irql()), (3, 2));
        drop(inner);
        assert_eq!(ntsim::irql(), 2, "the outer lock is still held");
        // SAFETY: this processor is at DISPATCH_LEVEL.
        drop(unsafe { INNER.lock_at_dpc_level() });
        assert_eq!(ntsim::irql(), 2);
        drop(outer);
        assert_eq!(ntsim::irql(), 0);
    });
}

#[test]
fn two_processors_have_the_value_one_at_a_time() {
    static PLAIN: SpinLock<u32> = SpinLock::new(0);
    static QUEUED: QueuedSpinLock<u32> = QueuedSpinLock::new(0);
    fn count() {
        *PLAIN.lock() += 1;
        QUEUED.with(|value| *value += 1);
        assert_eq!(ntsim::irql(), 0);
    }
    hunted(|kernel| {
        kernel.programs().on(0, count).on(1, count).run()?;
        kernel.run_on(0, || assert_eq!((*PLAIN.lock(), QUEUED.with(|value| *value)), (2, 2)))
    });
}

#[test]
fn a_lock_that_its_holder_takes_again_stops_the_machine() {
    static LOCK: SpinLock<()> = SpinLock::new(());
    static QUEUED: QueuedSpinLock<()> = QueuedSpinLock::new(());
    for program in [|| drop((LOCK.lock(), LOCK.lock())), || QUEUED.with(|()| QUEUED.with(|()| {}))] {
        let mut kernel = common::kernel(1, 0);
        let stop = kernel.run_on(0, program).unwrap_err();
        assert!(matches!(stop, Stop::BugCheck(_)), "{stop}");
    }
}

#[test]
fn a_lock_at_dpc_level_below_it_stops_the_machine() {
    let mut kernel = common::kernel(1, 0);
    let stop = kernel.run_on(0, || {
        let lock = SpinLock::new(0);
        // SAFETY: wrong on purpose; the simulated kernel refuses it.
        drop(unsafe { lock.lock_at_dpc_level() });
    });
    assert!(matches!(stop, Err(Stop::BugCheck(_))), "{stop:?}");
}

#[test]
fn racing_initialisers_give_one_value_in_each_kernel() {
    static CELL: OnceCell<u32> = OnceCell::new();
    static LAZY: Lazy<u32> = Lazy::new(|| 7);
    fn take(mine: u32) -> u32 {
        assert_eq!(*LAZY, 7);
        let value = *CELL.get_or_init(|| mine);
        assert_eq!(CELL.get(), Some(&value));
        value
    }
    hunted(|kernel| {
        kernel.run_on(0, || assert_eq!(CELL.get(), None, "each kernel finds the cell empty"))?;
        kernel.programs().on(0, || assert!(take(1) > 0)).on(1, || assert!(take(2) > 0)).run()?;
        kernel.run_on(0, || assert!(matches!(take(3), 1 | 2)))
    });
}

#[test]
fn a_cell_drops_its_value_and_those_that_came_too_late() {
    in_kernel(|| {
        let value = Arc::new(());
        let cell = OnceCell::new();
        cell.get_or_init(|| {
            cell.get_or_init(|| Arc::clone(&value));
            Arc::clone(&value)
        });
        assert_eq!(Arc::strong_count(&value), 2);
        drop(cell);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn notify_one_ends_the_first_wait_or_is_stored() {
    in_kernel(|| {
        let (notify, log) = (Arc::new(Notify::new()), Log::default());
        let tasks = ["first", "second", "third"].map(|name| {
            let (notify, log) = (Arc::clone(&notify), log.clone());
            spawn(async move {
                notify.notified().await;
                log.add(name);
            })
        });
        notify.notify_one();
        assert_eq!(log.take(), ["first"]);
        notify.notify_waiters();
        assert_eq!(log.take(), ["second", "third"]);
        notify.notify_one();
        notify.notify_one();
        let again = Arc::clone(&notify);
        let last = spawn(async move {
            again.notified().await;
            again.notified().await;
        });
        assert_eq!(unfinished(), 1, "one notification is stored, and not two");
        last.cancel();
        drop(tasks);
    });
}

#[test]
fn more_waiters_than_one_batch_of_wakers_are_all_woken() {
    in_kernel(|| {
        let notify = Arc::new(Notify::new());
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let notify = Arc::clone(&notify);
                spawn(async move { notify.notified().await })
            })
            .collect();
        assert_eq!(unfinished(), 20);
        notify.notify_waiters();
        assert_eq!(unfinished(), 0);
        drop(tasks);
    });
}

/// A waker that calls a closure once.
struct Calls(SpinLock<Option<Box<dyn FnOnce() + Send>>>);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        let call = self.0.lock().take();
        if let Some(call) = call {
            call();
        }
    }
}

fn calling(call: impl FnOnce() + Send + 'static) -> Waker {
    Waker::from(Arc::new(Calls(SpinLock::new(Some(Box::new(call))))))
}

/// Z268. Wakers are called outside the lock, a batch at a time. Code that runs between two batches
/// waits and notifies, as another processor may, and each notification ends a wait.
#[test]
fn notifications_between_two_batches_of_wakers_each_end_a_wait() {
    static NOTIFY: Notify = Notify::new();
    static LATER: SpinLock<Vec<Pin<Box<Notified<'static>>>>> = SpinLock::new(Vec::new());
    fn ready(future: &mut Pin<Box<Notified<'static>>>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }
    in_kernel(|| {
        let mut waits: Vec<_> = (0..17).map(|_| Box::pin(NOTIFY.notified())).collect();
        for (number, wait) in waits.iter_mut().enumerate() {
            let waker = match number {
                // The first of the first batch.
                0 => calling(|| {
                    let mut later = [(); 2].map(|()| Box::pin(NOTIFY.notified()));
                    assert!(!later.iter_mut().any(ready));
                    LATER.lock().extend(later);
                    NOTIFY.notify_one();
                }),
                // The first of the second batch.
                8 => calling(|| NOTIFY.notify_one()),
                _ => Waker::noop().clone(),
            };
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        NOTIFY.notify_waiters();
        assert!(waits.iter_mut().all(ready));
        let mut later = core::mem::take(&mut *LATER.lock());
        assert_eq!(later.iter_mut().map(ready).collect::<Vec<_>>(), [true, true], "a notification is lost");
        assert!(!ready(&mut Box::pin(NOTIFY.notified())), "there were two notifications");
    });
}

/// Z261. A notified future that is dropped before its poll passes its notification on.
#[test]
fn a_notified_future_that_is_dropped_passes_its_notification_on() {
    in_kernel(|| {
        let notify = Notify::new();
        let context = &mut Context::from_waker(Waker::noop());
        let mut second = pin!(notify.notified());
        {
            let mut first = pin!(notify.notified());
            assert!(first.as_mut().poll(context).is_pending());
            assert!(second.as_mut().poll(context).is_pending());
            notify.notify_one();
            assert!(second.as_mut().poll(context).is_pending());
        }
        assert!(second.as_mut().poll(context).is_ready());
    });
}

/// Z261. The same with tasks, where the cancellation races the notification.
#[test]
fn a_cancelled_task_never_keeps_a_notification() {
    static NOTIFY: Notify = Notify::new();
    hunted(|kernel| {
        let tasks = Arc::new(SpinLock::new(Vec::new()));
        let spawned = Arc::clone(&tasks);
        kernel.run_on(0, move || {
            let wait = || spawn(async { NOTIFY.notified().await });
            let both = vec![wait(), wait()];
            *spawned.lock() = both;
        })?;
        let cancelled = Arc::clone(&tasks);
        kernel
            .programs()
            .on(0, move || {
                let task = cancelled.lock().remove(0);
                task.cancel();
            })
            .on(1, || {
                NOTIFY.notify_one();
                NOTIFY.notify_one();
            })
            .run()?;
        kernel.run_on(0, move || {
            assert_eq!(unfinished(), 0, "a notification was lost");
            let left = core::mem::take(&mut *tasks.lock());
            drop(left);
        })
    });
}

/// Z262. A future with a permit that is dropped before its poll passes the permit on.
#[test]
fn an_acquire_that_is_dropped_passes_its_permits_on() {
    in_kernel(|| {
        let semaphore = Semaphore::new(1);
        let context = &mut Context::from_waker(Waker::noop());
        let held = semaphore.try_acquire().unwrap();
        let mut second = pin!(semaphore.acquire());
        {
            let mut first = pin!(semaphore.acquire());
            assert!(first.as_mut().poll(context).is_pending());
            assert!(second.as_mut().poll(context).is_pending());
            drop(held);
            assert!(second.as_mut().poll(context).is_pending(), "the first has the permit");
        }
        assert!(second.as_mut().poll(context).is_ready());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

/// Z263. One that asks for many is not passed by those that ask for few, until it goes.
#[test]
fn permits_are_given_in_order() {
    in_kernel(|| {
        let semaphore = Semaphore::new(1);
        let context = &mut Context::from_waker(Waker::noop());
        let mut few = pin!(semaphore.acquire());
        {
            let mut many = pin!(semaphore.acquire_many(3));
            assert!(many.as_mut().poll(context).is_pending());
            assert!(few.as_mut().poll(context).is_pending());
            assert_eq!(semaphore.try_acquire().err(), Some(NTSTATUS::TIMEOUT));
        }
        assert!(few.as_mut().poll(context).is_ready(), "the first in line has gone");
    });
}

#[test]
fn a_closed_semaphore_ends_every_wait() {
    in_kernel(|| {
        let semaphore = Semaphore::new(0);
        let context = &mut Context::from_waker(Waker::noop());
        let mut wait = pin!(semaphore.acquire());
        assert!(wait.as_mut().poll(context).is_pending());
        semaphore.close();
        let closed = core::task::Poll::Ready(Err(NTSTATUS::DELETE_PENDING));
        assert_eq!(wait.as_mut().poll(context).map_ok(drop), closed);
        assert_eq!(semaphore.try_acquire().err(), Some(NTSTATUS::DELETE_PENDING));
        assert!(semaphore.is_closed());
    });
}

#[test]
fn tasks_have_a_mutex_one_at_a_time() {
    static PAIR: Mutex<[u32; 2]> = Mutex::new([0; 2]);
    fn add() {
        drop(spawn(async {
            let mut pair = PAIR.lock().await;
            pair[0] += 1;
            yield_now().await;
            pair[1] += 1;
            assert_eq!(pair[0], pair[1]);
        }));
    }
    hunted(|kernel| {
        kernel.programs().on(0, add).on(1, add).run()?;
        kernel.run_on(0, || {
            assert_eq!(unfinished(), 0);
            let pair = PAIR.try_lock().map(|pair| *pair);
            assert!(pair.is_some_and(|pair| pair[0] == pair[1]), "{pair:?}");
        })
    });
}

#[test]
fn a_channel_keeps_order_and_gives_values_back() {
    in_kernel(|| {
        let (sender, mut receiver) = channel::<u32>(1).unwrap();
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.try_send(2), Err((2, NTSTATUS::TIMEOUT)));
        let other = sender.clone();
        let task = spawn(async move {
            assert_eq!(other.send(3).await, Ok(()));
            assert_eq!(other.send(4).await, Err(4), "the receiver has gone");
        });
        assert_eq!(receiver.try_recv(), Ok(1));
        // The task has sent 3 since, and waits for room for 4.
        assert_eq!(sender.try_send(5), Err((5, NTSTATUS::TIMEOUT)));
        drop(receiver);
        assert_eq!(sender.try_send(6), Err((6, NTSTATUS::PIPE_BROKEN)));
        drop(task);
        assert!(channel::<u64>(0).is_err() && channel::<u64>(usize::MAX / 4).is_err());
    });
}

#[test]
fn values_of_two_senders_are_each_received_or_dropped() {
    hunted(|kernel| {
        let value = Arc::new(());
        let values = Arc::clone(&value);
        let ends = Arc::new(SpinLock::new(None));
        let made = Arc::clone(&ends);
        kernel.run_on(0, move || {
            let (sender, receiver) = channel::<Arc<()>>(1).unwrap();
            *made.lock() = Some(sender);
            drop(spawn(async move {
                let mut receiver = receiver;
                assert!(receiver.recv().await.is_ok());
            }));
        })?;
        let send = |ends: &Arc<SpinLock<Option<ntcom_exec::ChannelSender<Arc<()>>>>>| {
            let (ends, value) = (Arc::clone(ends), Arc::clone(&values));
            move || {
                let sender = ends.lock().clone().unwrap();
                drop(spawn(async move { drop(sender.send(value).await) }));
            }
        };
        kernel.programs().on(0, send(&ends)).on(1, send(&ends)).run()?;
        kernel.run_on(0, move || {
            let last = ends.lock().take();
            drop(last);
            assert_eq!(unfinished(), 0);
        })?;
        drop(values);
        assert_eq!(Arc::strong_count(&value), 1);
        kernel.unload()
    });
}

#[test]
fn waits_and_wakes_allocate_nothing() {
    in_kernel(|| {
        let (notify, semaphore) = (Notify::new(), Semaphore::new(0));
        let (sender, mut receiver) = channel::<u32>(1).unwrap();
        let context = &mut Context::from_waker(Waker::noop());
        let before = counters().allocations;
        {
            let (mut notified, mut acquired) = (pin!(notify.notified()), pin!(semaphore.acquire()));
            let mut received = pin!(receiver.recv());
            assert!(notified.as_mut().poll(context).is_pending());
            assert!(acquired.as_mut().poll(context).is_pending());
            assert!(received.as_mut().poll(context).is_pending());
            notify.notify_waiters();
            semaphore.add_permits(1);
            assert_eq!(sender.try_send(1), Ok(()));
            assert!(notified.as_mut().poll(context).is_ready());
            assert!(acquired.as_mut().poll(context).is_ready());
            assert!(received.as_mut().poll(context).is_ready());
        }
        let mut sent = pin!(sender.send(2));
        assert!(sent.as_mut().poll(context).is_ready());
        assert_eq!(counters().allocations, before);
        // One lock, and one release of it, for a notification that is stored.
        let calls = counters().kernel_calls;
        notify.notify_one();
        assert_eq!(counters().kernel_calls - calls, 2);
    });
}
