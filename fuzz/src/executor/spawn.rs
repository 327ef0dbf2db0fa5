//! Spawning of tasks, and the checks of its answers.

use core::{future::Future, time::Duration};

use ntcom_exec::{
    CancelHandle, DpcOptions, Importance, Migrating, NTSTATUS, OnWorkItems, PoolAllocator, TaskBuilder,
    spawn_dpc_task, spawn_dpc_task_cancellable,
};
use ntsim::trace::MarkKind;

use super::{
    TASKS,
    body::body,
    held::put_handle,
    operation,
    ops::{FRUGAL, SpawnMode, TaskKind},
    request,
    script::{CHILDREN, Script},
    task::{fail, marked},
    world::{ExecutorWorld, storage},
};

/// A spawn.
#[derive(Clone, Copy)]
pub(super) struct Order {
    /// What the task runs on.
    pub(super) kind: TaskKind,
    /// The task's body.
    pub(super) script: Script,
    /// Whether the spawner gets a cancel handle.
    pub(super) cancellable: bool,
    /// Whether the task serves an IRP.
    pub(super) irp: bool,
    /// Whether the task is an operation.
    pub(super) operation: bool,
}

/// Spawns a task, if there is room for one.
pub(super) fn spawn(world: &ExecutorWorld, order: Order) -> Option<()> {
    let task = world.count.get();
    if task >= TASKS {
        return None;
    }
    world.count.set(task + 1);
    let Order { kind, script, .. } = order;
    let record = world.task(task);
    record.kind.set(kind);
    record.script.set(script);
    record.body.maybe_asked.set(world.asking.get() > 0);
    let closed = world.closed.get();
    let storage = match kind {
        TaskKind::Dpc(SpawnMode::InPlace(number)) => Some(&world.used[usize::from(number)]),
        _ => None,
    };
    if let Some(used) = storage {
        used.set(used.get() + 1);
    }
    record.spawning.set(Some(ntsim::irql()));
    marked(MarkKind::Spawn, task, "");
    let spawned = if order.irp {
        request::serve(world, task)?
    } else if order.operation || kind == TaskKind::Dpc(SpawnMode::Operation) {
        operation::begin(world, task, order.cancellable, body(task, script))
    } else {
        launch(world, task, order.cancellable, body(task, script))
    };
    record.spawning.set(None);
    let homeless = !matches!(kind, TaskKind::Dpc(_)) && world.device(kind).is_null();
    match spawned {
        Ok(handle) => {
            if record.refused.get() {
                fail("C10", task, "its spawn succeeds, but it has dropped the body unpolled");
            }
            if closed {
                fail("C18", task, "its spawn succeeds, but the tracker is closed");
            }
            if homeless || matches!(kind, TaskKind::Dpc(SpawnMode::Wrong(_))) {
                fail("status", task, "its spawn succeeds, but the device is null or the options are wrong");
            }
            record.spawned.set(true);
            if let Some(handle) = handle {
                record.handles.set(record.handles.get() + 1);
                put_handle(world, task, handle);
            }
        }
        Err(status) => {
            record.refusal.set(Some(status.to_u32()));
            // Another task may be in the storage, or was in it when this spawn came.
            let crowded = storage.is_some_and(|used| used.get() > 1);
            refused(world, task, homeless, crowded, status);
        }
    }
    Some(())
}

/// Checks that a failed spawn answers a status that fits its reason and has dropped its body.
fn refused(world: &ExecutorWorld, task: usize, homeless: bool, crowded: bool, status: NTSTATUS) {
    let record = world.task(task);
    if record.body.polls.get() > 0 || record.body.drops.get() != 1 || !record.refused.get() {
        let (polls, drops) = (record.body.polls.get(), record.body.drops.get());
        fail(
            "C8",
            task,
            &format!(
                "its spawn answers {status}; its body has {polls} polls and {drops} drops, expected 0 and 1"
            ),
        );
    }
    let right = match status {
        // The executor checks memory first, then the device, then the tracker.
        NTSTATUS::INSUFFICIENT_RESOURCES => world.starved.get() || crowded,
        NTSTATUS::INVALID_PARAMETER => {
            homeless || matches!(record.kind.get(), TaskKind::Dpc(SpawnMode::Wrong(_)))
        }
        NTSTATUS::DELETE_PENDING => world.closing.get() && !homeless,
        _ => false,
    };
    if !right {
        fail("status", task, &format!("its spawn answers {status}, for which there is no cause"));
    }
}

fn options(processors: usize, manner: SpawnMode) -> DpcOptions {
    let options = DpcOptions::new();
    match manner {
        SpawnMode::Plain | SpawnMode::Operation | SpawnMode::InPlace(_) => options,
        SpawnMode::Important(importance) => {
            let all = [Importance::Low, Importance::Medium, Importance::High, Importance::MediumHigh];
            options.importance(all[usize::from(importance)])
        }
        SpawnMode::Pinned(number) => options.processor(0, (usize::from(number) % processors) as u8),
        SpawnMode::Frugal(polls) => options.poll_budget(polls.into()).time_budget(FRUGAL),
        SpawnMode::Wrong(0) => options.poll_budget(0),
        SpawnMode::Wrong(1) => options.time_budget(Duration::MAX),
        SpawnMode::Wrong(2) => options.processor(0, 63),
        // The tag is the allocator's.
        SpawnMode::Wrong(_) => options,
    }
}

/// The pool of a task's block.
fn pool(manner: SpawnMode) -> PoolAllocator {
    PoolAllocator::with_tag(match manner {
        SpawnMode::Important(_) => *b"Fuzz",
        SpawnMode::Wrong(wrong) if wrong > 2 => [0; 4],
        _ => *b"Ntcm",
    })
}

/// Spawns a body, or a future that serves an IRP with it, on the executor.
pub(super) fn launch<F>(
    world: &ExecutorWorld,
    task: usize,
    cancellable: bool,
    body: F,
) -> Result<Option<CancelHandle>, NTSTATUS>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (kind, processors) = (world.task(task).kind.get(), world.processors.get());
    let device = world.device(kind);
    let kept = |handle| cancellable.then_some(handle);
    match (kind, cancellable) {
        (TaskKind::Dpc(SpawnMode::Plain | SpawnMode::Operation), false) => {
            spawn_dpc_task(body).map(|()| None)
        }
        (TaskKind::Dpc(SpawnMode::Plain | SpawnMode::Operation), true) => {
            spawn_dpc_task_cancellable(body).map(Some)
        }
        (TaskKind::Dpc(SpawnMode::InPlace(number)), _) => {
            TaskBuilder::new().allocator(storage(number.into())).spawn(body).map(Some)
        }
        (TaskKind::Dpc(manner), _) => {
            let builder = TaskBuilder::new().on(options(processors, manner)).allocator(pool(manner));
            builder.spawn(body).map(kept)
        }
        (TaskKind::WorkItem(_), _) => {
            // SAFETY: null, or a device of the driver, which holds a reference to it until it has
            // been drained.
            let placement = unsafe { OnWorkItems::of(device) };
            TaskBuilder::new().on(placement).spawn(body).map(kept)
        }
        (TaskKind::Moving(_), _) => {
            // SAFETY: null, or a device of the driver, which holds a reference to it until it has
            // been drained.
            let placement = unsafe { Migrating::new(DpcOptions::new(), device) };
            TaskBuilder::new().on(placement).spawn(body).map(Some)
        }
    }
}

/// Spawns a task from a body.
pub(super) fn child(world: &ExecutorWorld, parent: usize, number: u8) {
    let (on_work_item, script) = CHILDREN[usize::from(number) % CHILDREN.len()];
    let device = match world.task(parent).kind.get() {
        TaskKind::WorkItem(device) | TaskKind::Moving(device) => device,
        TaskKind::Dpc(_) => Some(0),
    };
    let kind = if on_work_item { TaskKind::WorkItem(device) } else { TaskKind::Dpc(SpawnMode::Plain) };
    spawn(world, Order { kind, script, cancellable: number & 1 == 1, irp: false, operation: false });
}
