//! Timers under loom. The timer queue is the test's, and the protocol is the shipping code.

use core::{
    ptr::NonNull,
    task::{Context, Poll, Waker},
};
use std::{sync::Arc, task::Wake};

use loom::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{DueTime, NTSTATUS, TimerBackend, TimerBlock, TimerHandle, expired};

loom::lazy_static! {
    /// The timer that is set, if there is one.
    static ref QUEUE: Mutex<Option<Set>> = Mutex::new(None);
    static ref ENDED: AtomicUsize = AtomicUsize::new(0);
}

const SOON: DueTime = DueTime { units: 1, tolerance: 0 };

struct Set(NonNull<TimerBlock<Queue>>);
// SAFETY: a timer may expire on any processor.
unsafe impl Send for Set {}

#[derive(Default)]
struct Queue(core::cell::Cell<Option<NonNull<TimerBlock<Queue>>>>);

// SAFETY: `expire` calls `expired` once for each timer that it takes out of the queue.
unsafe impl TimerBackend for Queue {
    fn new() -> Self {
        Self::default()
    }
    unsafe fn prepare(&self, block: NonNull<TimerBlock<Self>>) {
        self.0.set(Some(block));
    }
    unsafe fn set(&self, _time: DueTime) -> Result<(), NTSTATUS> {
        *QUEUE.lock().unwrap() = self.0.get().map(Set);
        Ok(())
    }
    unsafe fn cancel(&self) -> bool {
        QUEUE.lock().unwrap().take().is_some()
    }
    fn ended() {
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Expires the timer that is set, as a clock tick does.
fn expire() {
    let due = QUEUE.lock().unwrap().take();
    if let Some(Set(block)) = due {
        // SAFETY: the timer was set, and taken out of the queue, so this is its one call.
        unsafe { expired(block) };
    }
}

struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Z20. The timer fires while its future stores the waker.
#[test]
fn loom_a_timer_that_fires_is_seen_or_wakes() {
    loom::model(|| {
        let mut timer = TimerHandle::<Queue>::new().unwrap();
        timer.arm(SOON).unwrap();
        let clock = thread::spawn(expire);
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let polled = timer.poll(&Context::from_waker(&waker));
        clock.join().unwrap();
        if polled.is_pending() {
            assert!(
                woken.0.load(Ordering::Relaxed) > 0,
                "the timer fired, but the waiter's waker was not called"
            );
            assert!(timer.poll(&Context::from_waker(&waker)).is_ready());
        }
        drop((timer, waker));
        assert_eq!(Arc::strong_count(&woken), 1);
        assert_eq!(ENDED.load(Ordering::Relaxed), 1);
    });
}

/// Z21. The timer is dropped while it fires, and the last reference frees the block, once.
#[test]
fn loom_a_timer_that_is_dropped_while_it_fires() {
    loom::model(|| {
        let mut timer = TimerHandle::<Queue>::new().unwrap();
        timer.arm(SOON).unwrap();
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(timer.poll(&Context::from_waker(&waker)).is_pending());
        let clock = thread::spawn(expire);
        drop(timer);
        clock.join().unwrap();
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 1, "the timer keeps no waker");
        assert_eq!(ENDED.load(Ordering::Relaxed), 1);
    });
}

/// The timer is armed again while the routine of the last arming is on its way out.
#[test]
fn loom_a_timer_that_is_armed_again() {
    loom::model(|| {
        let mut timer = TimerHandle::<Queue>::new().unwrap();
        timer.arm(SOON).unwrap();
        let clock = thread::spawn(expire);
        let mut armed = 1;
        if let Poll::Ready(()) = timer.poll(&Context::from_waker(Waker::noop())) {
            timer.arm(SOON).unwrap();
            armed += 1;
            assert!(
                timer.poll(&Context::from_waker(Waker::noop())).is_pending(),
                "one expiry gives one signal"
            );
        }
        drop(timer);
        clock.join().unwrap();
        assert_eq!(ENDED.load(Ordering::Relaxed), armed, "each arming ends once");
    });
}
