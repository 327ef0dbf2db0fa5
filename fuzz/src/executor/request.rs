//! IRPs that tasks serve. This module does the part of the I/O manager, and of the driver's
//! dispatch routine.

use ntcom_exec::{CancelHandle, IrpOutcome, NTSTATUS, spawn_irp_task};
use ntsim::{
    ddi,
    trace::MarkKind,
    types::{IRP_MJ_READ, PDEVICE_OBJECT, PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED},
};

use super::{
    body::body,
    spawn::launch,
    task::{fail, marked},
    world::{self, ExecutorWorld},
};

/// Installs the driver's dispatch routine for reads.
pub(super) fn install() {
    // SAFETY: the driver object is the driver's own, and IRP_MJ_READ is an index into its table.
    unsafe { (*ntsim::driver_object()).MajorFunction[IRP_MJ_READ] = dispatch as *mut _ };
}

/// Sends an IRP that this task serves, and returns its spawn's answer. `None` if there is no memory
/// for an IRP, or no device.
pub(super) fn serve(world: &ExecutorWorld, task: usize) -> Option<Result<Option<CancelHandle>, NTSTATUS>> {
    let (record, device) = (world.task(task), world.devices[0].get());
    if device.is_null() {
        return None;
    }
    // SAFETY: the IRQL is at most DISPATCH_LEVEL, and a run is in progress.
    let irp = unsafe { ddi::IoAllocateIrp(1, 0) };
    if irp.is_null() {
        return None;
    }
    // SAFETY: `irp` is a new IRP with one stack location.
    let next = unsafe { ddi::IoGetNextIrpStackLocation(irp) };
    // SAFETY: `next` is the IRP's stack location.
    unsafe { (*next).MajorFunction = IRP_MJ_READ as u8 };
    let context: PVOID = core::ptr::without_provenance_mut(task);
    // SAFETY: the IRP has a stack location. The routine's context is a task's number.
    unsafe { ddi::IoSetCompletionRoutine(irp, Some(completed), context, 1, 1, 1) };
    record.serves.set(true);
    world.irps.push(task, irp);
    // SAFETY: the device's driver has a dispatch routine for reads.
    let status = unsafe { ddi::IofCallDriver(device, irp) };
    if status != NTSTATUS::PENDING.0 {
        fail(
            "irp",
            task,
            &format!("its dispatch routine answers {:?}, expected STATUS_PENDING", NTSTATUS(status)),
        );
    }
    Some(match record.refusal.get() {
        Some(status) => Err(NTSTATUS::from_u32(status)),
        None => Ok(None),
    })
}

/// The task that serves an IRP.
fn task_of(world: &ExecutorWorld, irp: PIRP) -> usize {
    world.irps.owner_of(&irp).unwrap_or(usize::MAX)
}

unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> i32 {
    world::with(|world| {
        let task = task_of(world, irp);
        let record = world.task(task);
        let inner = body(task, record.script.get());
        let serving = async move {
            inner.await;
            IrpOutcome { status: NTSTATUS::SUCCESS, information: task }
        };
        let spawn = |serving| {
            let spawned = launch(world, task, true, serving);
            if let Err(status) = &spawned {
                record.refusal.set(Some(status.to_u32()));
            }
            spawned?.ok_or(NTSTATUS::UNSUCCESSFUL)
        };
        // SAFETY: the IRP is new, and the dispatch routine does not use it after this call.
        unsafe { spawn_irp_task(irp, serving, spawn) }.0
    })
}

/// Tells the sender of an IRP its end. It must come once, and after the body has gone.
unsafe extern "C" fn completed(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> i32 {
    world::with(|world| {
        let task = context.addr();
        let record = world.task(task);
        // SAFETY: the IRP is being completed, so it is alive.
        let status = unsafe { (*irp).IoStatus };
        marked(MarkKind::Call, task, "its IRP is completed");
        let told = (status.Status.cast_unsigned(), status.Information as usize);
        if let Some(before) = record.completed.replace(Some(told)) {
            fail("irp", task, &format!("its IRP is completed a second time: {before:x?}, {told:x?}"));
        }
        if record.body.drops.get() != 1 {
            fail("irp", task, "its IRP is completed, but its body is not dropped");
        }
    });
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Cancels the n-th IRP, modulo their number. `None` if there are no IRPs.
pub(super) fn cancel(world: &ExecutorWorld, n: u8) -> Option<()> {
    let (task, irp) = world.irps.nth(n, |irp| *irp)?;
    let record = world.task(task);
    // The cancel routine is called once. Until the dispatch routine has set it, the dispatch
    // routine sees that the IRP is cancelled.
    if !record.irp_canceled.replace(true) {
        record.body.ask();
        marked(MarkKind::Cancel, task, "its IRP");
    }
    // SAFETY: the IRP has been sent and not been freed.
    unsafe { ddi::IoCancelIrp(irp) };
    Some(())
}

/// Checks at the end that each IRP was completed according to the end of its body or spawn, and
/// frees it.
pub(super) fn settle(world: &ExecutorWorld) {
    for (task, irp) in world.irps.take_all() {
        let record = world.task(task);
        let expected = match record.refusal.get() {
            Some(status) => (status, 0),
            None if record.body.ready.get() => (NTSTATUS::SUCCESS.to_u32(), task),
            None => (NTSTATUS::CANCELLED.to_u32(), 0),
        };
        match record.completed.get() {
            Some(told) if told == expected => {}
            told => {
                fail("irp", task, &format!("its IRP was completed with {told:x?}, expected {expected:x?}"))
            }
        }
        // SAFETY: the IRP is completed, and the completion routine kept it from being freed.
        unsafe { ddi::IoFreeIrp(irp) };
    }
}
