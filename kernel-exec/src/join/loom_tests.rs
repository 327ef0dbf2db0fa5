//! The cell of a joined task under loom. The body's end is the test's second thread.

use core::{
    ptr::NonNull,
    task::{Context, Poll, Waker},
};
use std::sync::Arc;

use loom::{sync::Arc as LoomArc, thread};

use super::{End, JoinCell, JoinHandle};
use crate::{
    status::NTSTATUS,
    task::{CancelHandle, Share},
};

/// Runs `handle` beside the end of a body that leaves `value`.
fn with_end<T: Send + 'static>(value: Option<T>, handle: impl FnOnce(JoinHandle<T>, &mut dyn FnMut())) {
    let cell = LoomArc::new(JoinCell::<T>::new());
    let address = NonNull::from(&*cell);
    let mut end = End { cell: address, has_value: false };
    let kept = LoomArc::clone(&cell);
    let mut body = Some(thread::spawn(move || {
        if let Some(value) = value {
            end.put(value);
        }
        drop(end);
        drop(kept);
    }));
    let joined = JoinHandle {
        task: CancelHandle::inert(),
        cell: address,
        wait: 0,
        received: false,
        share: Share::new(),
    };
    handle(joined, &mut || {
        if let Some(body) = body.take() {
            body.join().unwrap();
        }
    });
    if let Some(body) = body.take() {
        body.join().unwrap();
    }
}

/// The end of a body meets the drop of its handle, and one of the two drops the value, once.
#[test]
fn loom_the_end_meets_a_detach() {
    loom::model(|| {
        let value = Arc::new(());
        with_end(Some(Arc::clone(&value)), |handle, _| drop(handle));
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

/// The end of a body meets a poll of its handle, which sees the result.
#[test]
fn loom_the_end_meets_a_poll() {
    for value in [Some(7), None] {
        loom::model(move || {
            with_end(value, |mut handle, ended| {
                let context = Context::from_waker(Waker::noop());
                let mut polled = handle.poll_result(&context);
                ended();
                if polled.is_pending() {
                    polled = handle.poll_result(&context);
                }
                assert_eq!(polled, Poll::Ready(value.ok_or(NTSTATUS::CANCELLED)));
            });
        });
    }
}
