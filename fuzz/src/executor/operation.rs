//! Tasks that are operations of `ntcom`, and the checks of their clients' answers.

use ntcom::{
    AsyncOperation, AsyncStatus, SpawnOperation as _, TaskBuilder, pin_init, spawn_async_operation_raw,
    spawn_async_operation_raw_cancellable,
};
use ntcom_exec::{CancelHandle, DpcOptions, Migrating, NTSTATUS, OnWorkItems};
use ntsim::trace::MarkKind;

use super::{
    ops::TaskKind,
    task::{fail, marked},
    world::ExecutorWorld,
};

/// Spawns a body as an operation. The operation is never null, and one that could not begin stores
/// the reason [C11].
pub(super) fn begin(
    world: &ExecutorWorld,
    task: usize,
    cancellable: bool,
    body: impl Future<Output = ()> + Send + 'static,
) -> Result<Option<CancelHandle>, NTSTATUS> {
    let record = world.task(task);
    let value = async move {
        body.await;
        task as u32
    };
    let own = |raw| {
        // SAFETY: `raw` is a new operation with one reference, which this call takes over.
        let Ok(operation) = (unsafe { AsyncOperation::from_raw(raw) }) else {
            fail("C11", task, "its spawn returns a null or broken operation")
        };
        operation
    };
    let kind = record.kind.get();
    let device = world.device(kind);
    let (operation, handle) = match kind {
        TaskKind::Dpc(_) if cancellable => {
            let (raw, handle) = spawn_async_operation_raw_cancellable(value);
            (own(raw), Some(handle))
        }
        TaskKind::Dpc(_) => (own(spawn_async_operation_raw(value)), None),
        TaskKind::WorkItem(_) => {
            // SAFETY: `device` is null, or a device of the driver, which holds a reference to it
            // until the drain.
            let placement = unsafe { OnWorkItems::of(device) };
            (TaskBuilder::new().on(placement).spawn_operation(pin_init!(value)), None)
        }
        TaskKind::Moving(_) => {
            // SAFETY: `device` is null, or a device of the driver, which holds a reference to it
            // until the drain.
            let placement = unsafe { Migrating::new(DpcOptions::new(), device) };
            (TaskBuilder::new().on(placement).spawn_operation(pin_init!(value)), None)
        }
    };
    if record.refused.get() {
        return match (operation.status(), operation.result()) {
            (Ok(AsyncStatus::Error), Err(status)) => Err(status),
            told => fail(
                "C11",
                task,
                &format!(
                    "its spawn was refused, but its operation has {told:?}, expected Error and a failure"
                ),
            ),
        };
    }
    match world.operations.keep(task, operation) {
        None => record.handles.set(record.handles.get() + 1),
        Some(operation) => drop(operation),
    }
    Ok(handle)
}

/// Another reference to the n-th operation, modulo their number.
pub(super) fn nth(world: &ExecutorWorld, n: u8) -> Option<(usize, AsyncOperation<u32>)> {
    let (task, operation) = world.operations.take(n)?;
    let another = operation.clone();
    world.operations.push(task, operation);
    Some((task, another))
}

/// Checks the result of an operation that has ended. It is the value of its body, or says that it
/// was cancelled `[C10]`, and its body is gone `[C8]`.
pub(super) fn check(world: &ExecutorWorld, task: usize, result: Result<u32, NTSTATUS>) {
    let record = world.task(task);
    let returned = record.body.ready.get() && !record.body.unwound.get();
    let right = match result {
        Ok(value) => value as usize == task && returned,
        Err(status) => status == NTSTATUS::CANCELLED && !returned,
    };
    if !right {
        fail(
            "C10",
            task,
            &format!("its operation has the result {result:?}; its body has returned a value: {returned}"),
        );
    }
    if record.body.drops.get() != 1 {
        fail("C8", task, &format!("its operation has the result {result:?}, but its body is not dropped"));
    }
}

/// Asks an operation for its status and result.
pub(super) fn ask(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, operation) = nth(world, n)?;
    let status = operation.status();
    match operation.result() {
        Err(NTSTATUS::PENDING) if status == Ok(AsyncStatus::Started) => {}
        result => check(world, task, result),
    }
    Some(())
}

/// Cancels an operation.
pub(super) fn cancel(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, operation) = nth(world, n)?;
    world.task(task).body.ask();
    marked(MarkKind::Cancel, task, "by its operation");
    if let Err(status) = operation.cancel() {
        fail("C10", task, &format!("cancel answers {status:?}"));
    }
    Some(())
}

/// Releases an operation.
pub(super) fn release(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, operation) = world.operations.take(n)?;
    let handles = &world.task(task).handles;
    handles.set(handles.get() - 1);
    drop(operation);
    Some(())
}
