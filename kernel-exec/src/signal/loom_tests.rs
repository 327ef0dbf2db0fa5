//! A signal under loom, in every interleaving of a waiter and its setters, weak memory included.

use core::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};
use std::{sync::Arc, task::Wake};

use loom::{
    sync::{
        Arc as LoomArc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{Signal, Wait};

/// A waker that counts its wakes.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A signal, and a word that is written before the signal is set.
struct SignalWorld {
    signal: Signal,
    written: AtomicUsize,
}

impl SignalWorld {
    fn new() -> LoomArc<Self> {
        LoomArc::new(Self { signal: Signal::new(), written: AtomicUsize::new(0) })
    }

    /// Writes the word, then sets the signal. If the last poll did not see the signal, its waker
    /// must have been called when all threads have ended.
    fn set(&self) {
        self.written.store(1, Ordering::Relaxed);
        self.signal.set();
    }
}

fn poll(wait: core::pin::Pin<&mut Wait<'_>>, waker: &Waker) -> Poll<()> {
    wait.poll(&mut Context::from_waker(waker))
}

/// Z20. Either the poll sees the set, or its waker is called. The value written before the set is
/// seen.
#[test]
fn loom_a_set_is_seen_or_wakes() {
    loom::model(|| {
        let world = SignalWorld::new();
        let other = LoomArc::clone(&world);
        let setter = thread::spawn(move || other.set());
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut wait = pin!(world.signal.wait());
        if poll(wait.as_mut(), &waker).is_pending() {
            setter.join().unwrap();
            assert!(
                woken.0.load(Ordering::Relaxed) > 0,
                "the signal was set, but the waiter's waker was not called"
            );
            assert!(poll(wait, &waker).is_ready());
        } else {
            assert_eq!(world.written.load(Ordering::Relaxed), 1);
            setter.join().unwrap();
        }
    });
}

/// A second poll, with another waker, meets a set, and the newer waker is called.
#[test]
fn loom_a_replaced_waker_is_not_the_one_that_counts() {
    loom::model(|| {
        let world = SignalWorld::new();
        let other = LoomArc::clone(&world);
        let woken = [(); 2].map(|()| Arc::new(Woken(AtomicUsize::new(0))));
        let wakers = woken.clone().map(Waker::from);
        let mut wait = pin!(world.signal.wait());
        assert!(poll(wait.as_mut(), &wakers[0]).is_pending());
        let setter = thread::spawn(move || other.set());
        let polled = poll(wait.as_mut(), &wakers[1]);
        setter.join().unwrap();
        if polled.is_pending() {
            assert!(
                woken[1].0.load(Ordering::Relaxed) > 0,
                "the signal was set, but the newest waker was not called"
            );
            assert!(poll(wait, &wakers[1]).is_ready());
        }
    });
}

/// A wait that is dropped takes nothing with it, so the next one ends.
#[test]
fn loom_a_dropped_wait_loses_nothing() {
    loom::model(|| {
        let world = SignalWorld::new();
        let other = LoomArc::clone(&world);
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut first = Box::pin(world.signal.wait());
        assert!(poll(first.as_mut(), &waker).is_pending());
        let setter = thread::spawn(move || other.set());
        drop(first);
        setter.join().unwrap();
        assert!(poll(pin!(world.signal.wait()), &waker).is_ready());
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 1, "the signal keeps no waker");
    });
}

/// Two threads set the signal. The waiter sees one signal or two, and never none.
#[test]
fn loom_two_setters_and_a_waiter() {
    loom::model(|| {
        let world = SignalWorld::new();
        let setters = [(); 2].map(|()| {
            let other = LoomArc::clone(&world);
            thread::spawn(move || other.set())
        });
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut wait = pin!(world.signal.wait());
        let polled = poll(wait.as_mut(), &waker);
        for setter in setters {
            setter.join().unwrap();
        }
        if polled.is_pending() {
            assert!(woken.0.load(Ordering::Relaxed) > 0);
            assert!(poll(wait, &waker).is_ready());
        }
    });
}

/// A wait that has ended is dropped while the next one, in another thread, is dropped too. The
/// signal keeps neither waker.
#[test]
fn loom_a_wait_that_is_dropped_late_leaves_the_next_one_alone() {
    loom::model(|| {
        let signal = LoomArc::new(Signal::new());
        let woken = [(); 2].map(|()| Arc::new(Woken(AtomicUsize::new(0))));
        let wakers = woken.clone().map(Waker::from);
        let mut first = Box::pin(signal.wait());
        assert!(poll(first.as_mut(), &wakers[0]).is_pending());
        signal.set();
        assert!(poll(first.as_mut(), &wakers[0]).is_ready());
        let (other, waker) = (LoomArc::clone(&signal), wakers[1].clone());
        let next = thread::spawn(move || {
            let mut second = Box::pin(other.wait());
            // The slot is free here, so the poll stores its waker. A held slot would wake the
            // waiter for another poll.
            assert!(poll(second.as_mut(), &waker).is_pending());
            drop(second);
        });
        drop(first);
        next.join().unwrap();
        drop(wakers);
        let kept = woken.map(|woken| Arc::strong_count(&woken));
        assert_eq!(kept, [1, 1], "the signal keeps no waker");
    });
}

/// Z229. A second wait is polled while the setter that ended the first one empties the slot. It
/// writes the slot after that, or finds the slot held and wakes its task.
#[test]
fn loom_a_second_wait_meets_the_setter_that_empties_the_slot() {
    loom::model(|| {
        let world = SignalWorld::new();
        let other = LoomArc::clone(&world);
        let woken = [(); 2].map(|()| Arc::new(Woken(AtomicUsize::new(0))));
        let wakers = woken.clone().map(Waker::from);
        let mut first = pin!(world.signal.wait());
        assert!(poll(first.as_mut(), &wakers[0]).is_pending());
        let setter = thread::spawn(move || other.set());
        if poll(first, &wakers[0]).is_ready() {
            let mut second = pin!(world.signal.wait());
            assert!(poll(second.as_mut(), &wakers[1]).is_pending());
            setter.join().unwrap();
            world.signal.set();
            assert!(
                woken[1].0.load(Ordering::Relaxed) > 0,
                "the signal was set, but the second wait's waker was not called"
            );
            assert!(poll(second, &wakers[1]).is_ready());
        } else {
            setter.join().unwrap();
        }
    });
}
