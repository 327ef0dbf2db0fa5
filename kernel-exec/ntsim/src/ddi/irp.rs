//! I/O request packets (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-ioallocateirp`, `nf-wdm-iofreeirp`, `nf-wdm-iofcalldriver`, `nf-wdm-iofcompleterequest`,
//! `nf-wdm-iomarkirppending`, `nf-wdm-iosetcompletionroutine` and the pages of the other functions,
//! most of which are inline in C).
//!
//! An IRP is a block of the kernel's own, known by its address. An address that is not an IRP is
//! never accessed.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use alloc::{boxed::Box, string::String};

use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::irp::{Call, Fate},
    kernel::pool::Request,
    trace::Value,
    types::{
        BOOLEAN, CCHAR, DISPATCH_LEVEL, IO_STACK_LOCATION, IRP, NTSTATUS, PDEVICE_OBJECT, PDRIVER_DISPATCH,
        PIO_COMPLETION_ROUTINE, PIO_STACK_LOCATION, PIRP, PVOID, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR,
        SL_INVOKE_ON_SUCCESS, SL_PENDING_RETURNED, STATUS_ACCESS_VIOLATION, STATUS_PENDING,
    },
    verifier::{
        Checked, Violation,
        bugcheck::{
            access::null_routine,
            exception::raised_by_call,
            irp::{self as violated, IrpUse},
        },
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

impl Machine {
    /// Returns the serial number of an IRP, or the violation for this use if `caller` was given
    /// something else.
    pub(crate) fn irp(&self, irp: PIRP, used: IrpUse, caller: &str) -> Checked<u64> {
        let found = self.kernel.borrow().irps.serial(irp as usize);
        found.ok_or_else(|| {
            let given = self.describe_address(irp as usize);
            violated::not_an_irp(used, irp as usize, caller, given)
        })
    }

    /// Describes an address for a message: the freed block that began there, or its name.
    fn describe_address(&self, address: usize) -> String {
        let offset = self.arena.offset(address);
        let block = offset.and_then(|offset| self.kernel.borrow().pool.find(offset).copied());
        match block.filter(|block| !block.live && Some(block.offset) == offset) {
            Some(block) => describe(&block),
            None => self.name(address).into(),
        }
    }

    /// Returns the current location of an IRP that a driver has.
    pub(super) fn current_location(&self, irp: PIRP, ddi: Ddi) -> Checked<i8> {
        self.irp(irp, IrpUse::Owned, ddi.name())?;
        let IRP { CurrentLocation: current, StackCount: count, .. } = read(irp);
        if (1..=count).contains(&current) {
            return Ok(current);
        }
        Err(violated::no_driver_has_it(irp as usize, self.name(irp as usize), ddi.name()))
    }

    /// Returns the location of the driver that the IRP is sent to next.
    fn next_location(&self, irp: PIRP, ddi: Ddi) -> Checked<i8> {
        self.irp(irp, IrpUse::Sent, ddi.name())?;
        match read(irp).CurrentLocation {
            current @ 2.. => Ok(current - 1),
            _ => Err(violated::no_stack_location_left(irp as usize, self.name(irp as usize), ddi.name())),
        }
    }

    fn allocate_irp(&self, stack: CCHAR, quota: bool) -> Checked<PIRP> {
        let locations = usize::try_from(stack).unwrap_or(0);
        let size = size_of::<IRP>() + locations * size_of::<IO_STACK_LOCATION>();
        let irp: PIRP = self.allocate(Request::kernel(size, TAG))?.cast();
        if irp.is_null() {
            return Ok(irp);
        }
        let flags = match (stack <= LARGE_IRP, quota) {
            (false, _) => 0,
            (true, false) => IRP_ALLOCATED_FIXED_SIZE,
            (true, true) => IRP_ALLOCATED_FIXED_SIZE | IRP_LOOKASIDE_ALLOCATION,
        };
        super::irp_reuse::initialize(irp, size as u16, stack, flags);
        self.kernel.borrow_mut().irps.add(irp.expose_provenance());
        Ok(irp)
    }

    fn free_irp(&self, irp: PIRP) -> Checked<()> {
        self.irp(irp, IrpUse::Freed, Ddi::IoFreeIrp.name())?;
        let IRP { CurrentLocation: current, StackCount: count, .. } = read(irp);
        if current <= count {
            return Err(violated::freed_while_owned(irp as usize, self.name(irp as usize)));
        }
        self.kernel.borrow_mut().irps.remove(irp as usize);
        self.free_kernel(irp as usize)
    }

    /// Returns the dispatch routine of a device for a major function.
    fn dispatch_routine(&self, device: PDEVICE_OBJECT, major: u8) -> PDRIVER_DISPATCH {
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
    fn no_routine(&self, major: u8) -> Box<Violation> {
        let irql = self.irql();
        let what = alloc::format!("the driver's MajorFunction[{major:#x}] was called, but is null");
        if irql < DISPATCH {
            raised_by_call(STATUS_ACCESS_VIOLATION, &what)
        } else {
            null_routine(irql, what)
        }
    }

    fn call_driver(&self, device: PDEVICE_OBJECT, irp: PIRP) -> Checked<NTSTATUS> {
        let irql = self.irql();
        let serial = self.irp(irp, IrpUse::Sent, Ddi::IofCallDriver.name())?;
        if u32::from(irql) > DISPATCH_LEVEL {
            return Err(violated::sent_above_dispatch(irql));
        }
        self.check_no_spin_lock(Ddi::IofCallDriver)?;
        if self.kernel.borrow().devices.get(device as usize).is_none() {
            let name = self.name(device as usize);
            return Err(violated::sent_to_no_device(device as usize, name));
        }
        if read(irp).CancelRoutine.is_some() {
            return Err(violated::sent_with_cancel_routine(irp as usize, self.name(irp as usize)));
        }
        let number = self.next_location(irp, Ddi::IofCallDriver)?;
        let mut kernel = self.kernel.borrow_mut();
        kernel.irps.note(serial, number + 1, |call| call.fate = Fate::Forwarded);
        // A driver that has skipped its location passes that location to the driver below.
        kernel.irps.note(serial, number, |call| call.fate = Fate::Forwarded);
        let call = kernel.irps.begin_call(serial, number);
        drop(kernel);
        write(irp, IRP { CurrentLocation: number, CurrentStackLocation: location(irp, number), ..read(irp) });
        let stack = IO_STACK_LOCATION { DeviceObject: device, ..read_location(irp, number) };
        write_location(irp, number, stack);
        self.reference_io_object(device as usize)?;
        let locks = self.locks_held();
        let status = match self.dispatch_routine(device, stack.MajorFunction) {
            // SAFETY: the driver's routine gets one of its devices and an IRP for it; no borrow of
            // the machine is open [M1].
            Some(routine) => self.in_dispatch(|| self.call_out(|| unsafe { routine(device, irp) })),
            None => return Err(self.no_routine(stack.MajorFunction)),
        };
        self.dereference_io_object(device as usize)?;
        if self.irql() != irql {
            return Err(violated::dispatch_changed_irql(device as usize, irql, self.irql()));
        }
        self.check_locks_given_back("a dispatch routine", locks)?;
        let still_has_it = self.kernel.borrow().irps.serial(irp as usize) == Some(serial)
            && read(irp).CurrentLocation == number;
        if still_has_it {
            self.note_mark(irp, serial, number);
        }
        let call = self.kernel.borrow_mut().irps.end_call(call);
        self.judge_dispatch(irp, call, status)?;
        Ok(status)
    }

    /// Notes that the driver at this location has marked the IRP pending, if it has. In C that is
    /// inline, and not a call.
    pub(super) fn note_mark(&self, irp: PIRP, serial: u64, number: i8) {
        if read_location(irp, number).Control & SL_PENDING_RETURNED != 0 {
            self.kernel.borrow_mut().irps.note(serial, number, |call| call.marked = true);
        }
    }

    /// Checks the status that a dispatch routine returned against its treatment of the IRP.
    fn judge_dispatch(&self, irp: PIRP, call: Option<Call>, status: NTSTATUS) -> Checked<()> {
        let Some(Call { marked, fate, .. }) = call else { return Ok(()) };
        let pending = status == STATUS_PENDING;
        let violated = match fate {
            _ if marked && !pending => violated::marked_pending_only,
            Fate::Forwarded => return Ok(()),
            _ if pending && !marked => violated::returned_pending_only,
            Fate::Kept if !pending => violated::kept_but_not_pending,
            Fate::Completed(completed) if !pending && completed != status => {
                violated::completed_with_another_status
            }
            _ => return Ok(()),
        };
        Err(violated(irp as usize, self.name(irp as usize)))
    }
}

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
    let irp = machine.checked(machine.allocate_irp(StackSize, ChargeQuota != 0));
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
    machine.checked(machine.free_irp(Irp));
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
    machine.checked(machine.call_driver(DeviceObject, Irp))
}

/// Marks the IRP pending, which means that the dispatch routine will return STATUS_PENDING. Any
/// IRQL. Bug check 0x44 if no driver has the IRP (`nf-wdm-iomarkirppending`).
///
/// # Safety
/// None beyond being called in a simulation run, because the call checks that `Irp` is an IRP.
pub unsafe extern "C" fn IoMarkIrpPending(Irp: PIRP) {
    let machine = &*enter(Ddi::IoMarkIrpPending);
    machine.called(Ddi::IoMarkIrpPending, |machine| ([machine.pointer(Irp as usize)], None));
    let number = machine.checked(machine.current_location(Irp, Ddi::IoMarkIrpPending));
    let stack = read_location(Irp, number);
    write_location(Irp, number, IO_STACK_LOCATION { Control: stack.Control | SL_PENDING_RETURNED, ..stack });
    let serial = machine.checked(machine.irp(Irp, IrpUse::Owned, Ddi::IoMarkIrpPending.name()));
    machine.kernel.borrow_mut().irps.note(serial, number, |call| call.marked = true);
}

/// Returns the stack location of the driver that has the IRP. Any IRQL. Bug check 0x44 if no driver
/// has it (`nf-wdm-iogetcurrentirpstacklocation`).
///
/// # Safety
/// The same as for [`IoMarkIrpPending`]; the location is the IRP's.
pub unsafe extern "C" fn IoGetCurrentIrpStackLocation(Irp: PIRP) -> PIO_STACK_LOCATION {
    let machine = &*enter(Ddi::IoGetCurrentIrpStackLocation);
    let number = machine.checked(machine.current_location(Irp, Ddi::IoGetCurrentIrpStackLocation));
    machine.called(Ddi::IoGetCurrentIrpStackLocation, |machine| ([machine.pointer(Irp as usize)], None));
    location(Irp, number)
}

/// Returns the stack location of the driver that the IRP is sent to next. Any IRQL. Bug check 0x35
/// without a location left (`nf-wdm-iogetnextirpstacklocation`).
///
/// # Safety
/// The same as for [`IoGetCurrentIrpStackLocation`].
pub unsafe extern "C" fn IoGetNextIrpStackLocation(Irp: PIRP) -> PIO_STACK_LOCATION {
    let machine = &*enter(Ddi::IoGetNextIrpStackLocation);
    let number = machine.checked(machine.next_location(Irp, Ddi::IoGetNextIrpStackLocation));
    machine.called(Ddi::IoGetNextIrpStackLocation, |machine| ([machine.pointer(Irp as usize)], None));
    location(Irp, number)
}

/// Sets the routine that is called when the driver below has completed the IRP, with success, with
/// an error, or after a cancel. IRQL ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x4E530002. Bug
/// check 0x35 without a location left (`nf-wdm-iosetcompletionroutine`).
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
    machine.checked(machine.check_documented_irql(Ddi::IoSetCompletionRoutine, DISPATCH));
    let number = machine.checked(machine.next_location(Irp, Ddi::IoSetCompletionRoutine));
    let flags = [
        (InvokeOnSuccess, SL_INVOKE_ON_SUCCESS),
        (InvokeOnError, SL_INVOKE_ON_ERROR),
        (InvokeOnCancel, SL_INVOKE_ON_CANCEL),
    ];
    let control = flags.iter().filter(|(wanted, _)| *wanted != 0).fold(0, |control, (_, bit)| control | bit);
    let stack = read_location(Irp, number);
    write_location(Irp, number, IO_STACK_LOCATION { CompletionRoutine, Context, Control: control, ..stack });
}

/// Copies the current location's parameters to the location of the driver below. IRQL ≤
/// DISPATCH_LEVEL, otherwise bug check 0xC4/0x4E530002. Bug check 0x44 if no driver has the IRP;
/// 0x35 without a location left (`nf-wdm-iocopycurrentirpstacklocationtonext`).
///
/// # Safety
/// The same as for [`IoMarkIrpPending`].
pub unsafe extern "C" fn IoCopyCurrentIrpStackLocationToNext(Irp: PIRP) {
    let machine = &*enter(Ddi::IoCopyCurrentIrpStackLocationToNext);
    machine
        .called(Ddi::IoCopyCurrentIrpStackLocationToNext, |machine| ([machine.pointer(Irp as usize)], None));
    machine.checked(machine.check_documented_irql(Ddi::IoCopyCurrentIrpStackLocationToNext, DISPATCH));
    let number = machine.checked(machine.current_location(Irp, Ddi::IoCopyCurrentIrpStackLocationToNext));
    let next = machine.checked(machine.next_location(Irp, Ddi::IoCopyCurrentIrpStackLocationToNext));
    let IO_STACK_LOCATION { CompletionRoutine, Context, .. } = read_location(Irp, next);
    let copy = IO_STACK_LOCATION { Control: 0, CompletionRoutine, Context, ..read_location(Irp, number) };
    write_location(Irp, next, copy);
}

/// Passes the current stack location itself to the driver below, with the completion routine of the
/// driver above. A driver may do so if it sets no routine of its own and has not marked the IRP
/// pending. Any IRQL. Bug check 0x44 if no driver has the IRP
/// (`nf-wdm-ioskipcurrentirpstacklocation`).
///
/// # Safety
/// The same as for [`IoMarkIrpPending`].
pub unsafe extern "C" fn IoSkipCurrentIrpStackLocation(Irp: PIRP) {
    let machine = &*enter(Ddi::IoSkipCurrentIrpStackLocation);
    machine.called(Ddi::IoSkipCurrentIrpStackLocation, |machine| ([machine.pointer(Irp as usize)], None));
    let number = machine.checked(machine.current_location(Irp, Ddi::IoSkipCurrentIrpStackLocation)) + 1;
    write(Irp, IRP { CurrentLocation: number, CurrentStackLocation: location(Irp, number), ..read(Irp) });
}
