//! Lines of waiting futures under loom, in every interleaving of a waiter and its waker.

use core::{
    future::Future,
    pin::{Pin, pin},
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

use crate::{Notify, Semaphore, channel};

/// A waker that counts its wakes.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A wait that is pending after a notification has a waker that was called.
#[test]
fn loom_a_notification_is_seen_or_wakes() {
    loom::model(|| {
        let notify = LoomArc::new(Notify::new());
        let other = LoomArc::clone(&notify);
        let thread = thread::spawn(move || other.notify_one());
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut wait = pin!(notify.notified());
        let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
        thread.join().unwrap();
        if polled.is_pending() {
            assert!(woken.0.load(Ordering::Relaxed) > 0);
            assert!(poll(wait).is_ready());
        }
    });
}

/// Z261. A notification meets the drop of the first wait, and is the second one's then.
#[test]
fn loom_a_dropped_wait_passes_its_notification_on() {
    loom::model(|| {
        let notify = LoomArc::new(Notify::new());
        let other = LoomArc::clone(&notify);
        let mut first = Box::pin(notify.notified());
        assert!(poll(first.as_mut()).is_pending());
        let thread = thread::spawn(move || other.notify_one());
        drop(first);
        thread.join().unwrap();
        assert!(poll(pin!(notify.notified())).is_ready());
    });
}

/// Z262. A permit that is given back meets the drop of the future that waits for it.
#[test]
fn loom_a_dropped_acquire_keeps_no_permit() {
    loom::model(|| {
        let semaphore = LoomArc::new(Semaphore::new(0));
        let other = LoomArc::clone(&semaphore);
        let mut first = Box::pin(semaphore.acquire());
        assert!(poll(first.as_mut()).is_pending());
        let thread = thread::spawn(move || other.add_permits(1));
        drop(first);
        thread.join().unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    });
}

/// A send meets the drop of the receiver, and the value is dropped once.
#[test]
fn loom_a_send_meets_the_receivers_end() {
    loom::model(|| {
        let (sender, receiver) = channel::<Arc<()>>(1).unwrap();
        let value = Arc::new(());
        let sent = Arc::clone(&value);
        let thread = thread::spawn(move || drop(sender.try_send(sent)));
        drop(receiver);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}
