//! What actors and bodies do with the objects that they keep.

use ntcom_exec::CancelHandle;
use ntsim::trace::MarkKind;

use super::{
    task::marked,
    world::{ExecutorWorld, Token},
};

/// Puts a counted handle to its list. Drops it if there is no room.
pub(super) fn put_handle(world: &ExecutorWorld, task: usize, handle: CancelHandle) {
    if let Some(handle) = world.handles.keep(task, handle) {
        give_up(world, task, handle);
    }
}

/// Drops a handle, and stops counting it first.
fn give_up(world: &ExecutorWorld, task: usize, handle: CancelHandle) {
    let handles = &world.task(task).handles;
    handles.set(handles.get() - 1);
    drop(handle);
}

/// Drops a handle from its list.
pub(super) fn drop_handle(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, handle) = world.handles.take(n)?;
    give_up(world, task, handle);
    Some(())
}

/// Cancels by a handle from its list.
pub(super) fn cancel(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, handle) = world.handles.take(n)?;
    world.task(task).body.ask();
    marked(MarkKind::Cancel, task, "by its handle");
    handle.cancel();
    put_handle(world, task, handle);
    Some(())
}

/// Sends a value to a receiver. `send` returns a value that has no receiver any more.
pub(super) fn send(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, sender) = world.senders.take(n)?;
    marked(MarkKind::Wake, task, "is sent a value");
    drop(sender.send(Token::new(world)));
    Some(())
}
