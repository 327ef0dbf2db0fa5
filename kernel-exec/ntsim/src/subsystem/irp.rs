//! Allocates IRPs, sends them to drivers, and checks what dispatch routines do with them.
//!
//! An IRP is a block of the kernel's own, known by its address. An address that is not an IRP is
//! never accessed.

extern crate alloc;

use alloc::{boxed::Box, string::String};

use super::{device, pool, spin_lock};
use crate::{
    engine::machine::Machine,
    kernel::{
        irp::{DispatchCall, IrpDisposition},
        pool::Request,
    },
    types::{
        CCHAR, DISPATCH_LEVEL, IO_STACK_LOCATION, IRP, NTSTATUS, PDEVICE_OBJECT, PDRIVER_DISPATCH,
        PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION, PIRP, PVOID, SL_PENDING_RETURNED,
        STATUS_ACCESS_VIOLATION, STATUS_PENDING,
    },
    verifier::{
        Checked, Violation,
        bugcheck::{access::null_routine, exception::raised_by_call, irp as violated, irp::IrpUse},
        irql::Ddi,
        memory::describe,
    },
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

/// An IRP's `AllocationFlags`. The first says that it has one of the sizes for which NT has
/// lookaside lists. The second says that it is from such a list, and is set if quota is asked for.
const IRP_ALLOCATED_FIXED_SIZE: u8 = 0x04;
const IRP_LOOKASIDE_ALLOCATION: u8 = 0x08;
/// The most stack locations of those sizes.
const LARGE_IRP: CCHAR = 8;

/// The tag of IRPs.
const TAG: [u8; 4] = *b"Irp ";

/// Reads an IRP that is known to be one.
pub(crate) fn read(irp: PIRP) -> IRP {
    // SAFETY: every caller has looked up the IRP, so it is one of the machine's and alive.
    unsafe { irp.read() }
}

/// Writes an IRP that is known to be one.
pub(crate) fn write(irp: PIRP, value: IRP) {
    // SAFETY: every caller has looked up the IRP, so it is one of the machine's and alive.
    unsafe { irp.write(value) }
}

/// Returns the stack location with this number, counted from 1. The last location is for the driver
/// that gets the IRP first.
pub(crate) fn location(irp: PIRP, number: i8) -> PIO_STACK_LOCATION {
    let first: PIO_STACK_LOCATION = irp.wrapping_add(1).cast();
    first.wrapping_offset(isize::from(number) - 1)
}

/// Reads a stack location that the IRP has.
pub(crate) fn read_location(irp: PIRP, number: i8) -> IO_STACK_LOCATION {
    // SAFETY: the IRP's count of locations says that the location is in the IRP's block.
    unsafe { location(irp, number).read() }
}

/// Writes a stack location that the IRP has.
pub(crate) fn write_location(irp: PIRP, number: i8, value: IO_STACK_LOCATION) {
    // SAFETY: the IRP's count of locations says that the location is in the IRP's block.
    unsafe { location(irp, number).write(value) }
}

/// Returns the serial number of an IRP, or the violation for this use if `caller` was given
/// something else.
pub(crate) fn serial(machine: &Machine, irp: PIRP, used: IrpUse, caller: &str) -> Checked<u64> {
    let found = machine.kernel.borrow().irps.serial(irp as usize);
    found.ok_or_else(|| {
        let given = describe_address(machine, irp as usize);
        violated::not_an_irp(used, irp as usize, caller, given)
    })
}

/// Describes an address for a message: the freed block that began there, or its name.
fn describe_address(machine: &Machine, address: usize) -> String {
    let offset = machine.arena.offset(address);
    let block = offset.and_then(|offset| machine.kernel.borrow().pool.find(offset).copied());
    match block.filter(|block| !block.live && Some(block.offset) == offset) {
        Some(block) => describe(machine, &block),
        None => machine.name(address).into(),
    }
}

/// Returns the current location of an IRP that a driver has.
pub(crate) fn current_location(machine: &Machine, irp: PIRP, ddi: Ddi) -> Checked<i8> {
    serial(machine, irp, IrpUse::Owned, ddi.name())?;
    let IRP { CurrentLocation: current, StackCount: count, .. } = read(irp);
    if (1..=count).contains(&current) {
        return Ok(current);
    }
    Err(violated::no_driver_has_it(irp as usize, machine.name(irp as usize), ddi.name()))
}

/// Returns the location of the driver that the IRP is sent to next.
pub(crate) fn next_location(machine: &Machine, irp: PIRP, ddi: Ddi) -> Checked<i8> {
    serial(machine, irp, IrpUse::Sent, ddi.name())?;
    match read(irp).CurrentLocation {
        current @ 2.. => Ok(current - 1),
        _ => Err(violated::no_stack_location_left(irp as usize, machine.name(irp as usize), ddi.name())),
    }
}

/// Allocates an IRP. Null if memory is low.
pub(crate) fn allocate(machine: &Machine, stack: CCHAR, quota: bool) -> Checked<PIRP> {
    let irp = pool::allocate(machine, request(stack))?.cast();
    Ok(made(machine, irp, stack, quota))
}

/// Allocates an IRP from the system's reserve. Null only if the arena has no room.
pub(crate) fn allocate_of_reserve(machine: &Machine, stack: CCHAR) -> Checked<PIRP> {
    let irp = pool::allocate_of_reserve(machine, request(stack))?.cast();
    Ok(made(machine, irp, stack, false))
}

/// Returns the request for the block of an IRP.
fn request(stack: CCHAR) -> Request {
    let locations = usize::try_from(stack).unwrap_or(0);
    Request::kernel(size_of::<IRP>() + locations * size_of::<IO_STACK_LOCATION>(), TAG)
}

/// Initialises a new IRP, unless it is null.
fn made(machine: &Machine, irp: PIRP, stack: CCHAR, quota: bool) -> PIRP {
    if irp.is_null() {
        return irp;
    }
    let flags = match (stack <= LARGE_IRP, quota) {
        (false, _) => 0,
        (true, false) => IRP_ALLOCATED_FIXED_SIZE,
        (true, true) => IRP_ALLOCATED_FIXED_SIZE | IRP_LOOKASIDE_ALLOCATION,
    };
    super::irp_reuse::initialize(irp, request(stack).size as u16, stack, flags);
    machine.kernel.borrow_mut().irps.add(irp.expose_provenance());
    irp
}

/// Frees an IRP that no driver has.
pub(crate) fn free(machine: &Machine, irp: PIRP) -> Checked<()> {
    serial(machine, irp, IrpUse::Freed, Ddi::IoFreeIrp.name())?;
    let IRP { CurrentLocation: current, StackCount: count, .. } = read(irp);
    if current <= count {
        return Err(violated::freed_while_owned(irp as usize, machine.name(irp as usize)));
    }
    machine.kernel.borrow_mut().irps.remove(irp as usize);
    pool::free_kernel(machine, irp as usize)
}

/// Returns the dispatch routine of a device for a major function.
fn dispatch_routine(device: PDEVICE_OBJECT, major: u8) -> PDRIVER_DISPATCH {
    // SAFETY: the caller has looked up the device, so it is one of the machine's and alive.
    let driver = unsafe { device.read() }.DriverObject;
    // SAFETY: a device points to the machine's driver object, which lives as long as the
    // simulation.
    let table = unsafe { driver.read() }.MajorFunction;
    let routine = table.get(usize::from(major)).copied().filter(|routine| !routine.is_null())?;
    // SAFETY: the driver put a routine of this type there.
    Some(unsafe {
        core::mem::transmute::<PVOID, unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS>(routine)
    })
}

/// Returns the bug check for a call of a dispatch routine after the driver has set its entry to
/// null.
fn no_routine(machine: &Machine, major: u8) -> Box<Violation> {
    let irql = machine.irql();
    let what = alloc::format!("the driver's MajorFunction[{major:#x}] was called, but is null");
    if irql < DISPATCH { raised_by_call(STATUS_ACCESS_VIOLATION, &what) } else { null_routine(irql, what) }
}

/// Calls the dispatch routine of a device for an IRP and returns the routine's status.
pub(crate) fn call_driver(machine: &Machine, device: PDEVICE_OBJECT, irp: PIRP) -> Checked<NTSTATUS> {
    let irql = machine.irql();
    let serial = serial(machine, irp, IrpUse::Sent, Ddi::IofCallDriver.name())?;
    if u32::from(irql) > DISPATCH_LEVEL {
        return Err(violated::sent_above_dispatch(irql));
    }
    machine.check_no_spin_lock(Ddi::IofCallDriver)?;
    if machine.kernel.borrow().devices.get(device as usize).is_none() {
        let name = machine.name(device as usize);
        return Err(violated::sent_to_no_device(device as usize, name));
    }
    if read(irp).CancelRoutine.is_some() {
        return Err(violated::sent_with_cancel_routine(irp as usize, machine.name(irp as usize)));
    }
    let number = next_location(machine, irp, Ddi::IofCallDriver)?;
    let mut kernel = machine.kernel.borrow_mut();
    kernel.irps.note(serial, number + 1, |call| call.disposition = IrpDisposition::Forwarded);
    // A driver that has skipped its location passes that location to the driver below.
    kernel.irps.note(serial, number, |call| call.disposition = IrpDisposition::Forwarded);
    let call = kernel.irps.begin_call(serial, number);
    drop(kernel);
    write(irp, IRP { CurrentLocation: number, CurrentStackLocation: location(irp, number), ..read(irp) });
    let stack = IO_STACK_LOCATION { DeviceObject: device, ..read_location(irp, number) };
    write_location(irp, number, stack);
    device::reference(machine, device as usize)?;
    let locks = spin_lock::held(machine);
    let status = match dispatch_routine(device, stack.MajorFunction) {
        // SAFETY: the driver's routine gets one of its devices and an IRP for it; no borrow of
        // the machine is open [M1].
        Some(routine) => machine.in_dispatch(|| machine.call_out(|| unsafe { routine(device, irp) })),
        None => return Err(no_routine(machine, stack.MajorFunction)),
    };
    device::dereference(machine, device as usize)?;
    if machine.irql() != irql {
        return Err(violated::dispatch_changed_irql(device as usize, irql, machine.irql()));
    }
    spin_lock::check_given_back(machine, "a dispatch routine", locks)?;
    let still_has_it = machine.kernel.borrow().irps.serial(irp as usize) == Some(serial)
        && read(irp).CurrentLocation == number;
    if still_has_it {
        note_mark(machine, irp, serial, number);
    }
    let call = machine.kernel.borrow_mut().irps.end_call(call);
    check_disposition(machine, irp, call, status)?;
    Ok(status)
}

/// Notes that the driver at this location has marked the IRP pending, if it has. In C that is
/// inline, and not a call.
pub(crate) fn note_mark(machine: &Machine, irp: PIRP, serial: u64, number: i8) {
    if read_location(irp, number).Control & SL_PENDING_RETURNED != 0 {
        machine.kernel.borrow_mut().irps.note(serial, number, |call| call.marked = true);
    }
}

/// Checks the status that a dispatch routine returned against its treatment of the IRP.
fn check_disposition(
    machine: &Machine,
    irp: PIRP,
    call: Option<DispatchCall>,
    status: NTSTATUS,
) -> Checked<()> {
    let Some(DispatchCall { marked, disposition, .. }) = call else { return Ok(()) };
    let pending = status == STATUS_PENDING;
    let violated = match disposition {
        _ if marked && !pending => violated::marked_pending_only,
        IrpDisposition::Forwarded => return Ok(()),
        _ if pending && !marked => violated::returned_pending_only,
        IrpDisposition::Kept if !pending => violated::kept_but_not_pending,
        IrpDisposition::Completed(completed) if !pending && completed != status => {
            violated::completed_with_another_status
        }
        _ => return Ok(()),
    };
    Err(violated(irp as usize, machine.name(irp as usize)))
}

/// Marks an IRP pending for the driver that has it.
pub(crate) fn mark_pending(machine: &Machine, irp: PIRP) -> Checked<()> {
    let ddi = Ddi::IoMarkIrpPending;
    let number = current_location(machine, irp, ddi)?;
    let stack = read_location(irp, number);
    write_location(irp, number, IO_STACK_LOCATION { Control: stack.Control | SL_PENDING_RETURNED, ..stack });
    let serial = serial(machine, irp, IrpUse::Owned, ddi.name())?;
    machine.kernel.borrow_mut().irps.note(serial, number, |call| call.marked = true);
    Ok(())
}

/// Sets the completion routine of the driver that sends an IRP on; `control` says when it is
/// called.
pub(crate) fn set_completion_routine(
    machine: &Machine,
    irp: PIRP,
    routine: PIO_COMPLETION_ROUTINE,
    context: PVOID,
    control: u8,
) -> Checked<()> {
    let ddi = Ddi::IoSetCompletionRoutine;
    machine.check_documented_irql(ddi, DISPATCH)?;
    let number = next_location(machine, irp, ddi)?;
    let set = IO_STACK_LOCATION {
        CompletionRoutine: routine,
        Context: context,
        Control: control,
        ..read_location(irp, number)
    };
    write_location(irp, number, set);
    Ok(())
}

/// Copies the parameters of an IRP's current location to the next.
pub(crate) fn copy_to_next(machine: &Machine, irp: PIRP) -> Checked<()> {
    let ddi = Ddi::IoCopyCurrentIrpStackLocationToNext;
    machine.check_documented_irql(ddi, DISPATCH)?;
    let number = current_location(machine, irp, ddi)?;
    let next = next_location(machine, irp, ddi)?;
    let IO_STACK_LOCATION { CompletionRoutine, Context, .. } = read_location(irp, next);
    let copy = IO_STACK_LOCATION { Control: 0, CompletionRoutine, Context, ..read_location(irp, number) };
    write_location(irp, next, copy);
    Ok(())
}

/// Makes the next driver get an IRP's current location.
pub(crate) fn skip_current(machine: &Machine, irp: PIRP) -> Checked<()> {
    let number = current_location(machine, irp, Ddi::IoSkipCurrentIrpStackLocation)? + 1;
    write(irp, IRP { CurrentLocation: number, CurrentStackLocation: location(irp, number), ..read(irp) });
    Ok(())
}
