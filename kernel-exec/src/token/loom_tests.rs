//! Tokens under loom. The waits have wakers of their own, and the members no task.

use core::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Waker},
};
use std::{sync::Arc, task::Wake};

use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::CancellationToken;

/// A waker that counts its wakes.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls the wait while `event` comes in another thread. The poll sees it, or its waker is called.
fn meets(event: impl FnOnce() + 'static, mut wait: Pin<&mut impl Future<Output = ()>>) {
    let woken = Arc::new(Woken(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let other = thread::spawn(event);
    let polled = wait.as_mut().poll(&mut Context::from_waker(&waker));
    other.join().unwrap();
    if polled.is_pending() {
        assert_eq!(woken.0.load(Ordering::Relaxed), 1, "the event came, but the waker was not called");
        assert!(wait.poll(&mut Context::from_waker(&waker)).is_ready());
    }
}

/// A request of a parent meets a wait for the child's.
#[test]
fn loom_a_request_is_seen_or_wakes() {
    loom::model(|| {
        let parent = CancellationToken::new().unwrap();
        let child = parent.child().unwrap();
        meets(move || parent.cancel(), pin!(child.cancelled()));
    });
}

/// The end of the last member of a child meets a wait for the parent's.
#[test]
fn loom_the_last_end_is_seen_or_wakes() {
    loom::model(|| {
        let parent = CancellationToken::new().unwrap();
        let member = parent.child().unwrap().run(core::future::pending::<()>());
        meets(move || drop(member), pin!(parent.joined()));
    });
}

/// A request meets the drop of a wait, and of the child.
#[test]
fn loom_a_request_meets_the_drop_of_a_child() {
    loom::model(|| {
        let parent = CancellationToken::new().unwrap();
        let child = parent.child().unwrap();
        let other = thread::spawn(move || {
            let mut wait = Box::pin(child.cancelled());
            let _polled = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        parent.cancel();
        other.join().unwrap();
        assert!(parent.is_cancelled());
    });
}
