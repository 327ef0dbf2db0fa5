//! Spawning tasks, and what it may answer.

use core::{future::Future, time::Duration};

use ntcom_exec::{
    CancelHandle, DpcOptions, Importance, NTSTATUS, OnDevice, OnWorkItems, PoolAllocator, TaskBuilder,
    spawn_dpc_task, spawn_dpc_task_cancellable,
};
use ntsim::{trace::MarkKind, types::PDEVICE_OBJECT};

use super::{
    TASKS,
    body::body,
    operation,
    ops::{FRUGAL, Kind, Manner},
    perform::put_handle,
    request,
    script::{CHILDREN, Script},
    task::{fail, marked},
    world::{World, storage},
};

/// What is spawned.
#[derive(Clone, Copy)]
pub(super) struct Order {
    /// On what.
    pub(super) kind: Kind,
    /// Its body.
    pub(super) script: Script,
    /// With a cancel handle.
    pub(super) cancellable: bool,
    /// It serves an IRP.
    pub(super) irp: bool,
    /// It is an operation.
    pub(super) operation: bool,
}

/// Spawns a task, if there is room for one.
pub(super) fn spawn(world: &World, order: Order) -> Option<()> {
    let task = world.count.get();
    if task >= TASKS {
        return None;
    }
    world.count.set(task + 1);
    let Order { kind, script, .. } = order;
    let record = world.task(task);
    record.kind.set(kind);
    record.script.set(script);
    record.maybe_asked.set(world.asking.get() > 0);
    let closed = world.closed.get();
    let storage = match kind {
        Kind::Dpc(Manner::InPlace(number)) => Some(&world.used[usize::from(number)]),
        _ => None,
    };
    if let Some(used) = storage {
        used.set(used.get() + 1);
    }
    record.spawning.set(Some(ntsim::irql()));
    marked(MarkKind::Spawn, task, "");
    let spawned = if order.irp {
        request::serve(world, task)?
    } else if order.operation || kind == Kind::Dpc(Manner::Operation) {
        operation::begin(world, task, order.cancellable)
    } else {
        launch(world, task, order.cancellable, body(task, script))
    };
    record.spawning.set(None);
    let homeless = !matches!(kind, Kind::Dpc(_)) && device(world, kind).is_null();
    match spawned {
        Ok(handle) => {
            if record.refused.get() {
                fail("C10", task, "its spawn succeeds, and its body was dropped unpolled");
            }
            if closed {
                fail("C18", task, "it is spawned on a closed tracker");
            }
            if homeless || matches!(kind, Kind::Dpc(Manner::Wrong(_))) {
                fail("status", task, "it is spawned for no device, or with wrong options");
            }
            record.spawned.set(true);
            if let Some(handle) = handle {
                record.handles.set(record.handles.get() + 1);
                put_handle(world, task, handle);
            }
        }
        Err(status) => {
            record.refusal.set(Some(status.to_u32()));
            // Another one may be in it, or have been in it when this one came.
            let crowded = storage.is_some_and(|used| used.get() > 1);
            refused(world, task, homeless, crowded, status);
        }
    }
    Some(())
}

/// A spawn has failed: with the status that says why, and without its body.
fn refused(world: &World, task: usize, homeless: bool, crowded: bool, status: NTSTATUS) {
    let record = world.task(task);
    if record.polls.get() > 0 || record.drops.get() != 1 || !record.refused.get() {
        let (polls, drops) = (record.polls.get(), record.drops.get());
        fail("C8", task, &format!("its spawn answers {status}; its body: {polls} polls, {drops} drops"));
    }
    let right = match status {
        // The memory comes first, then the device, then the tracker.
        NTSTATUS::INSUFFICIENT_RESOURCES => world.starved.get() || crowded,
        NTSTATUS::INVALID_PARAMETER => homeless || matches!(record.kind.get(), Kind::Dpc(Manner::Wrong(_))),
        NTSTATUS::DELETE_PENDING => world.closing.get() && !homeless,
        _ => false,
    };
    if !right {
        fail("status", task, &format!("its spawn answers {status}"));
    }
}

/// The device that a task of this kind is spawned for; null where there is none.
pub(super) fn device(world: &World, kind: Kind) -> PDEVICE_OBJECT {
    match kind {
        Kind::WorkItem(Some(number)) | Kind::Moving(Some(number)) => world.devices[usize::from(number)].get(),
        _ => core::ptr::null_mut(),
    }
}

fn options(processors: usize, manner: Manner) -> DpcOptions {
    let options = DpcOptions::new();
    match manner {
        Manner::Plain | Manner::Operation | Manner::InPlace(_) => options,
        Manner::Important(importance) => {
            let all = [Importance::Low, Importance::Medium, Importance::High, Importance::MediumHigh];
            options.importance(all[usize::from(importance)])
        }
        Manner::Pinned(number) => options.processor(0, (usize::from(number) % processors) as u8),
        Manner::Frugal(polls) => options.poll_budget(polls.into()).time_budget(FRUGAL),
        Manner::Wrong(0) => options.poll_budget(0),
        Manner::Wrong(1) => options.time_budget(Duration::MAX),
        Manner::Wrong(2) => options.processor(0, 63),
        // The tag is the allocator's.
        Manner::Wrong(_) => options,
    }
}

/// The pool of a task's block.
fn pool(manner: Manner) -> PoolAllocator {
    PoolAllocator::with_tag(match manner {
        Manner::Important(_) => *b"Fuzz",
        Manner::Wrong(wrong) if wrong > 2 => [0; 4],
        _ => *b"Ntcm",
    })
}

/// Hands a body, or what serves an IRP with it, to the executor.
pub(super) fn launch<F>(
    world: &World,
    task: usize,
    cancellable: bool,
    body: F,
) -> Result<Option<CancelHandle>, NTSTATUS>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (kind, processors) = (world.task(task).kind.get(), world.processors.get());
    let device = device(world, kind);
    let kept = |handle| cancellable.then_some(handle);
    match (kind, cancellable) {
        (Kind::Dpc(Manner::Plain | Manner::Operation), false) => spawn_dpc_task(body).map(|()| None),
        (Kind::Dpc(Manner::Plain | Manner::Operation), true) => spawn_dpc_task_cancellable(body).map(Some),
        (Kind::Dpc(Manner::InPlace(number)), _) => {
            TaskBuilder::new().allocator(storage(number.into())).spawn(body).map(Some)
        }
        (Kind::Dpc(manner), _) => {
            let builder = TaskBuilder::new().on(options(processors, manner)).allocator(pool(manner));
            builder.spawn(body).map(kept)
        }
        (Kind::WorkItem(_), _) => {
            // SAFETY: null, or a device of the driver, which holds a reference to it until it has been drained.
            let placement = unsafe { OnWorkItems::of(device) };
            TaskBuilder::new().on(placement).spawn(body).map(kept)
        }
        (Kind::Moving(_), _) => {
            // SAFETY: null, or a device of the driver, which holds a reference to it until it has been drained.
            let placement = unsafe { OnDevice::new(DpcOptions::new(), device) };
            TaskBuilder::new().on(placement).spawn(body).map(Some)
        }
    }
}

/// A body spawns a task.
pub(super) fn child(world: &World, parent: usize, number: u8) {
    let (on_work_item, script) = CHILDREN[usize::from(number) % CHILDREN.len()];
    let device = match world.task(parent).kind.get() {
        Kind::WorkItem(device) | Kind::Moving(device) => device,
        Kind::Dpc(_) => Some(0),
    };
    let kind = if on_work_item { Kind::WorkItem(device) } else { Kind::Dpc(Manner::Plain) };
    spawn(world, Order { kind, script, cancellable: number & 1 == 1, irp: false, operation: false });
}
