//! The channel under loom.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::sync::Arc;

use loom::thread;

use super::oneshot;
use crate::status::NTSTATUS;

/// A send meets the drop of the receiver, and one of the two drops the value, once.
#[test]
fn loom_send_meets_the_receivers_end() {
    loom::model(|| {
        let (sender, receiver) = oneshot::<Arc<()>>().unwrap();
        let value = Arc::new(());
        let sent = Arc::clone(&value);
        let thread = thread::spawn(move || drop(sender.send(sent)));
        drop(receiver);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// A send, or a close, meets a poll of the receiver, which sees the result, and only once.
#[test]
fn loom_send_meets_a_poll() {
    for sends in [true, false] {
        loom::model(move || {
            let (sender, mut receiver) = oneshot::<u32>().unwrap();
            let thread = thread::spawn(move || {
                if sends {
                    sender.send(7).unwrap();
                }
            });
            let mut poll = || Pin::new(&mut receiver).poll(&mut Context::from_waker(Waker::noop()));
            let mut polled = poll();
            thread.join().unwrap();
            if polled.is_pending() {
                polled = poll();
            }
            assert_eq!(polled, Poll::Ready(if sends { Ok(7) } else { Err(NTSTATUS::PIPE_BROKEN) }));
            assert_eq!(poll(), Poll::Ready(Err(NTSTATUS::PIPE_BROKEN)));
        });
    }
}

/// A send meets the drop of a receiver that gives its value back. The value goes back to the sender
/// or to the closure.
#[test]
fn loom_send_meets_a_receiver_that_gives_back() {
    loom::model(|| {
        let (sender, receiver) = oneshot::<Arc<()>>().unwrap();
        let value = Arc::new(());
        let sent = Arc::clone(&value);
        let thread = thread::spawn(move || sender.send(sent).err());
        let mut given_back = None;
        drop(receiver.give_back(|value| given_back = Some(value)));
        let returned = thread.join().unwrap();
        assert!(given_back.is_some() != returned.is_some(), "one of the two has the value");
        drop((given_back, returned));
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// A send meets a close, and one of the two returns the value.
#[test]
fn loom_send_meets_a_close() {
    loom::model(|| {
        let (sender, receiver) = oneshot::<u32>().unwrap();
        let thread = thread::spawn(move || sender.send(7).err());
        let closed = receiver.close();
        assert_eq!(closed.or(thread.join().unwrap()), Some(7));
    });
}
