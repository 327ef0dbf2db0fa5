//! The objects that actors and bodies keep, and what both do with them.

use core::task::Waker;

use ntcom_exec::CancelHandle;
use ntsim::trace::MarkKind;

use super::{
    task::marked,
    world::{ExecutorWorld, HELD, Token, put, take},
};

/// Puts a counted handle onto its shelf. Drops it if there is no room.
pub(super) fn put_handle(world: &ExecutorWorld, task: usize, handle: CancelHandle) {
    let mut handles = world.handles.borrow_mut();
    if handles.len() < HELD {
        handles.push((task, handle));
        return;
    }
    drop(handles);
    give_up(world, task, handle);
}

/// Drops a handle, and stops counting it first.
fn give_up(world: &ExecutorWorld, task: usize, handle: CancelHandle) {
    let handles = &world.task(task).handles;
    handles.set(handles.get() - 1);
    drop(handle);
}

/// Drops a handle from the shelf.
pub(super) fn drop_handle(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, handle) = take(&world.handles, n)?;
    give_up(world, task, handle);
    Some(())
}

/// Cancels by a handle from the shelf.
pub(super) fn cancel(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, handle) = take(&world.handles, n)?;
    world.task(task).ask();
    marked(MarkKind::Cancel, task, "by its handle");
    handle.cancel();
    put_handle(world, task, handle);
    Some(())
}

/// Wakes by a waker from the stash.
pub(super) fn wake(world: &ExecutorWorld, n: u8, by_ref: bool) -> Option<()> {
    let (task, waker): (usize, Waker) = take(&world.stash, n)?;
    marked(MarkKind::Wake, task, "by a stashed waker");
    if by_ref {
        waker.wake_by_ref();
        put(&world.stash, task, waker);
    } else {
        waker.wake();
    }
    Some(())
}

/// Sends a value to a receiver. `send` returns a value that has no receiver any more.
pub(super) fn send(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, sender) = take(&world.senders, n)?;
    marked(MarkKind::Wake, task, "is sent a value");
    drop(sender.send(Token::new(world)));
    Some(())
}
