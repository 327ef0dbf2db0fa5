//! Tests of values that a channel hands over and that are not received. None is lost.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use std::{collections::VecDeque, sync::Arc};

use common::{Thread, in_kernel};
use ntcom_exec::{
    NTSTATUS, Sender, TaskTracker, default_tracker, oneshot, spawn_dpc_task, spawn_dpc_task_cancellable,
};
use ntsim::{Config, Limits, hunt};
use parking_lot::Mutex;

fn drain() {
    assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
}

/// The items that no read has taken, and the reads that wait.
#[derive(Default)]
struct Queue(Mutex<(VecDeque<u32>, VecDeque<Sender<u32>>)>);

impl Queue {
    /// Hands the item to the first read that is still there, or keeps it. The lock is not held
    /// while a read is woken.
    fn put(&self, mut item: u32) {
        loop {
            let read = {
                let (items, reads) = &mut *self.0.lock();
                match reads.pop_front() {
                    Some(read) => read,
                    None => return items.push_front(item),
                }
            };
            match read.send(item) {
                Ok(()) => return,
                Err(back) => item = back,
            }
        }
    }

    async fn read(self: Arc<Self>) -> Result<u32, NTSTATUS> {
        let (sender, receiver) = oneshot()?;
        {
            let (items, reads) = &mut *self.0.lock();
            if let Some(item) = items.pop_front() {
                return Ok(item);
            }
            reads.push_back(sender);
        }
        receiver.give_back(move |item| self.put(item)).await
    }
}

/// Z270. A read is cancelled while an item is handed to it. The item is in the queue, or was read.
#[test]
fn an_item_handed_to_a_read_that_is_cancelled_is_not_lost() {
    hunt(Config { processors: 2, ..Config::default() })
        .seeds(200)
        .pct(50, 3)
        .explore(Limits { preemptions: Some(1), runs: 500, ..Limits::default() })
        .run(|kernel| {
            kernel.run_on(0, || {
                let queue = Arc::new(Queue::default());
                let taken = Arc::new(Mutex::new(None));
                let (reads, takes) = (Arc::clone(&queue), Arc::clone(&taken));
                let read = spawn_dpc_task_cancellable(async move {
                    let item = reads.read().await;
                    *takes.lock() = item.ok();
                })
                .unwrap();
                let puts = Arc::clone(&queue);
                let producer = Thread::spawn(move || puts.put(7));
                read.cancel();
                drain();
                producer.join();
                let left = queue.0.lock().0.pop_front();
                assert_eq!(taken.lock().take().or(left), Some(7), "the item is read, or in the queue");
            })?;
            kernel.unload()
        });
}

/// An item that a cancelled read puts back goes to the read that waits behind it.
#[test]
fn an_item_that_is_put_back_goes_to_the_next_read() {
    in_kernel(|| {
        let queue = Arc::new(Queue::default());
        let mut first = Box::pin(Arc::clone(&queue).read());
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        let second = Arc::clone(&queue);
        spawn_dpc_task(async move { assert_eq!(second.read().await, Ok(7)) }).unwrap();
        queue.put(7);
        assert_eq!(default_tracker(TaskTracker::unfinished), 1, "the first read has the item");
        drop(first);
        assert_eq!(default_tracker(TaskTracker::unfinished), 0, "the second read has got it");
    });
}

#[test]
fn a_closed_receiver_returns_the_value_once() {
    in_kernel(|| {
        let value = Arc::new(());
        let (sender, receiver) = oneshot::<Arc<()>>().unwrap();
        sender.send(Arc::clone(&value)).unwrap();
        assert!(receiver.close().is_some());
        let (sender, receiver) = oneshot::<Arc<()>>().unwrap();
        assert!(receiver.close().is_none());
        assert!(sender.send(Arc::clone(&value)).is_err());
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(ntsim::live_blocks(), 0);
    });
}

/// Z271. A send meets a close, and one of the two has the value.
#[test]
fn a_send_that_meets_a_close_gives_the_value_to_one_side() {
    hunt(Config { processors: 2, ..Config::default() })
        .seeds(100)
        .explore(Limits { preemptions: Some(2), runs: 500, ..Limits::default() })
        .run(|kernel| {
            kernel.run_on(0, || {
                let (sender, receiver) = oneshot::<Arc<u32>>().unwrap();
                let value = Arc::new(7);
                let sent = Arc::clone(&value);
                let thread = Thread::spawn(move || drop(sender.send(sent)));
                drop(receiver.close());
                thread.join();
                assert_eq!(Arc::strong_count(&value), 1, "one side has dropped the value, once");
            })?;
            kernel.unload()
        });
}

#[test]
fn a_value_is_tried_for_without_a_wait() {
    in_kernel(|| {
        let (sender, mut receiver) = oneshot::<u32>().unwrap();
        assert_eq!(receiver.try_receive(), Ok(None));
        sender.send(7).unwrap();
        assert_eq!(receiver.try_receive(), Ok(Some(7)));
        assert_eq!(receiver.try_receive(), Err(NTSTATUS::PIPE_BROKEN));
        let (sender, mut receiver) = oneshot::<u32>().unwrap();
        drop(sender);
        assert_eq!(receiver.try_receive(), Err(NTSTATUS::PIPE_BROKEN));
    });
}
