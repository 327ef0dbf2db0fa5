//! I/O request packets.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-ioallocateirp`,
//! `nf-wdm-iofreeirp`, `nf-wdm-iofcalldriver`, `nf-wdm-iofcompleterequest`,
//! `nf-wdm-iomarkirppending`, `nf-wdm-iosetcompletionroutine` and the pages of the other functions,
//! most of which are inline in C.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use crate::{
    engine::entry::enter,
    subsystem::irp,
    trace::Value,
    types::{
        BOOLEAN, CCHAR, NTSTATUS, PDEVICE_OBJECT, PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION, PIRP, PVOID,
        SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    },
    verifier::irql::Ddi,
};

/// Allocates an IRP with `StackSize` stack locations, one for each driver below. Returns null if
/// memory is low. IRQL ≤ DISPATCH_LEVEL.
///
/// An IRP left at unload is a leak of pool (bug check 0xC4/0x62). Zero locations end the run as not
/// supported. Quota is the system process's, which has no limit (`nf-wdm-ioallocateirp`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn IoAllocateIrp(StackSize: CCHAR, ChargeQuota: BOOLEAN) -> PIRP {
    let machine = &*enter(Ddi::IoAllocateIrp);
    if !(1..CCHAR::MAX).contains(&StackSize) {
        machine.fail("not supported", alloc::format!("IoAllocateIrp with {StackSize} stack locations"));
    }
    let irp = machine.checked(irp::allocate(machine, StackSize, ChargeQuota != 0));
    machine.called(Ddi::IoAllocateIrp, |machine| {
        ([Value::Signed(StackSize.into())], Some(machine.pointer(irp as usize)))
    });
    irp
}

/// Frees an IRP of [`IoAllocateIrp`]. IRQL ≤ DISPATCH_LEVEL. Bug check 0xC9 (1) if `Irp` is not an
/// IRP, or was freed before; 0xC9 (0x20B) while a driver has it (`nf-wdm-iofreeirp`).
///
/// # Safety
/// The IRP is not used any more.
pub unsafe extern "C" fn IoFreeIrp(Irp: PIRP) {
    let machine = &*enter(Ddi::IoFreeIrp);
    machine.called(Ddi::IoFreeIrp, |machine| ([machine.pointer(Irp as usize)], None));
    machine.checked(irp::free(machine, Irp));
}

/// Sends an IRP to a device by calling its driver's dispatch routine for the next stack location's
/// major function, and returns the routine's status.
///
/// The driver object's routines complete an IRP with STATUS_INVALID_DEVICE_REQUEST until the driver
/// sets others. A null routine is bug check 0x1E, or 0xD1 at DISPATCH_LEVEL.
///
/// IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC9 (0x10). Bug checks for the call:
///
/// - 0xC4/0x4E530001 while holding a spin lock;
/// - 0xC9 (3) if `Irp` is not an IRP, 0xC9 (4) if `DeviceObject` is not a device;
/// - 0x35 without a location left;
/// - 0xC9 (0x203) if the cancel routine is set.
///
/// Bug checks when the routine returns:
///
/// - 0xC9 (5) at another IRQL;
/// - 0xC9 (0x226) if it has neither completed the IRP, sent it on, nor returned STATUS_PENDING;
/// - 0xC9 (0x23E) if it marked the IRP pending and returns another status, 0xC9 (0x23D) for the
///   reverse;
/// - 0xC9 (0x224) if it returns another status than it completed the IRP with;
/// - 0xC4/0x1006 if it holds a spin lock that it has acquired (`nf-wdm-iofcalldriver`).
///
/// # Safety
/// The driver's routines may be called with this IRP.
pub unsafe extern "C" fn IofCallDriver(DeviceObject: PDEVICE_OBJECT, Irp: PIRP) -> NTSTATUS {
    let machine = &*enter(Ddi::IofCallDriver);
    machine.called(Ddi::IofCallDriver, |machine| {
        ([machine.pointer(DeviceObject as usize), machine.pointer(Irp as usize)], None)
    });
    machine.checked(irp::call_driver(machine, DeviceObject, Irp))
}

/// Marks the IRP pending, which means that the dispatch routine will return STATUS_PENDING. Any
/// IRQL. Bug check 0x44 if no driver has the IRP (`nf-wdm-iomarkirppending`).
///
/// # Safety
/// None beyond being called in a simulation run, because the call checks that `Irp` is an IRP.
pub unsafe extern "C" fn IoMarkIrpPending(Irp: PIRP) {
    let machine = &*enter(Ddi::IoMarkIrpPending);
    machine.called(Ddi::IoMarkIrpPending, |machine| ([machine.pointer(Irp as usize)], None));
    machine.checked(irp::mark_pending(machine, Irp));
}

/// Returns the stack location of the driver that has the IRP. Any IRQL. Bug check 0x44 if no driver
/// has it (`nf-wdm-iogetcurrentirpstacklocation`).
///
/// # Safety
/// The same as for [`IoMarkIrpPending`]; the location is the IRP's.
pub unsafe extern "C" fn IoGetCurrentIrpStackLocation(Irp: PIRP) -> PIO_STACK_LOCATION {
    let machine = &*enter(Ddi::IoGetCurrentIrpStackLocation);
    let number = machine.checked(irp::current_location(machine, Irp, Ddi::IoGetCurrentIrpStackLocation));
    machine.called(Ddi::IoGetCurrentIrpStackLocation, |machine| ([machine.pointer(Irp as usize)], None));
    irp::location(Irp, number)
}

/// Returns the stack location of the driver that the IRP is sent to next. Any IRQL. Bug check 0x35
/// without a location left (`nf-wdm-iogetnextirpstacklocation`).
///
/// # Safety
/// The same as for [`IoGetCurrentIrpStackLocation`].
pub unsafe extern "C" fn IoGetNextIrpStackLocation(Irp: PIRP) -> PIO_STACK_LOCATION {
    let machine = &*enter(Ddi::IoGetNextIrpStackLocation);
    let number = machine.checked(irp::next_location(machine, Irp, Ddi::IoGetNextIrpStackLocation));
    machine.called(Ddi::IoGetNextIrpStackLocation, |machine| ([machine.pointer(Irp as usize)], None));
    irp::location(Irp, number)
}

/// Sets the routine that is called when the driver below has completed the IRP, with success, with
/// an error, or after a cancel.
///
/// IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x4E530002. Bug check 0x35 without a location
/// left (`nf-wdm-iosetcompletionroutine`).
///
/// # Safety
/// The same as for [`IoMarkIrpPending`]; the routine may be called with `Context`.
pub unsafe extern "C" fn IoSetCompletionRoutine(
    Irp: PIRP,
    CompletionRoutine: PIO_COMPLETION_ROUTINE,
    Context: PVOID,
    InvokeOnSuccess: BOOLEAN,
    InvokeOnError: BOOLEAN,
    InvokeOnCancel: BOOLEAN,
) {
    let machine = &*enter(Ddi::IoSetCompletionRoutine);
    machine.called(Ddi::IoSetCompletionRoutine, |machine| ([machine.pointer(Irp as usize)], None));
    let flags = [
        (InvokeOnSuccess, SL_INVOKE_ON_SUCCESS),
        (InvokeOnError, SL_INVOKE_ON_ERROR),
        (InvokeOnCancel, SL_INVOKE_ON_CANCEL),
    ];
    let control = flags.iter().filter(|(wanted, _)| *wanted != 0).fold(0, |control, (_, bit)| control | bit);
    machine.checked(irp::set_completion_routine(machine, Irp, CompletionRoutine, Context, control));
}

/// Copies the current location's parameters to the location of the driver below.
///
/// IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x4E530002. Bug check 0x44 if no driver has the
/// IRP; 0x35 without a location left (`nf-wdm-iocopycurrentirpstacklocationtonext`).
///
/// # Safety
/// The same as for [`IoMarkIrpPending`].
pub unsafe extern "C" fn IoCopyCurrentIrpStackLocationToNext(Irp: PIRP) {
    let machine = &*enter(Ddi::IoCopyCurrentIrpStackLocationToNext);
    machine
        .called(Ddi::IoCopyCurrentIrpStackLocationToNext, |machine| ([machine.pointer(Irp as usize)], None));
    machine.checked(irp::copy_to_next(machine, Irp));
}

/// Passes the current stack location itself to the driver below, with the completion routine of the
/// driver above.
///
/// A driver may do so if it sets no routine of its own and has not marked the IRP pending. Any
/// IRQL. Bug check 0x44 if no driver has the IRP (`nf-wdm-ioskipcurrentirpstacklocation`).
///
/// # Safety
/// The same as for [`IoMarkIrpPending`].
pub unsafe extern "C" fn IoSkipCurrentIrpStackLocation(Irp: PIRP) {
    let machine = &*enter(Ddi::IoSkipCurrentIrpStackLocation);
    machine.called(Ddi::IoSkipCurrentIrpStackLocation, |machine| ([machine.pointer(Irp as usize)], None));
    machine.checked(irp::skip_current(machine, Irp));
}
