//! Safe wrappers of IRPs.

use core::ffi::c_void;

use ntsim::{ddi, types::*};

use super::io::Device;

/// An IRP.
#[derive(Clone, Copy)]
pub(crate) struct Irp(pub(crate) PIRP);

type Completion = Box<dyn Fn(Irp) -> NTSTATUS>;

unsafe extern "C" fn call_completion(_device: PDEVICE_OBJECT, irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `on_completion` passed a closure that is never freed.
    let body = unsafe { &*context.cast::<Completion>() };
    body(Irp(irp))
}

impl Irp {
    pub(crate) fn try_new(stack: i8) -> Option<Self> {
        // SAFETY: this runs inside a simulation run.
        let irp = unsafe { ddi::IoAllocateIrp(stack, 0) };
        (!irp.is_null()).then_some(Self(irp))
    }

    /// Returns a read request for one driver.
    pub(crate) fn new() -> Self {
        let irp = Self::try_new(1).unwrap();
        irp.set_next_major(IRP_MJ_READ as u8);
        irp
    }

    pub(crate) fn set_next_major(self, major: u8) {
        // SAFETY: the IRP has not been freed.
        let next = unsafe { ddi::IoGetNextIrpStackLocation(self.0) };
        // SAFETY: the location belongs to an IRP that is not freed.
        unsafe { (*next).MajorFunction = major };
    }

    pub(crate) fn free(self) {
        // SAFETY: `self.0` is an IRP; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoFreeIrp(self.0) }
    }

    pub(crate) fn send(self, device: Device) -> NTSTATUS {
        // SAFETY: the drivers of the tests keep their promises.
        unsafe { ddi::IofCallDriver(device.0, self.0) }
    }

    pub(crate) fn set_status(self, status: NTSTATUS) {
        // SAFETY: the IRP has not been freed.
        unsafe { (*self.0).IoStatus.Status = status };
    }

    pub(crate) fn status(self) -> NTSTATUS {
        // SAFETY: the IRP has not been freed.
        unsafe { (*self.0).IoStatus.Status }
    }

    pub(crate) fn pending_returned(self) -> bool {
        // SAFETY: the IRP has not been freed.
        unsafe { (*self.0).PendingReturned != 0 }
    }

    pub(crate) fn is_canceled(self) -> bool {
        // SAFETY: the IRP has not been freed.
        unsafe { (*self.0).Cancel != 0 }
    }

    pub(crate) fn cancel_irql(self) -> KIRQL {
        // SAFETY: the IRP has not been freed.
        unsafe { (*self.0).CancelIrql }
    }

    pub(crate) fn complete_as_is(self) {
        // SAFETY: `self.0` is an IRP; otherwise the simulated kernel ends the run.
        unsafe { ddi::IofCompleteRequest(self.0, 0) }
    }

    pub(crate) fn complete(self, status: NTSTATUS) -> NTSTATUS {
        self.set_status(status);
        self.complete_as_is();
        status
    }

    pub(crate) fn mark_pending(self) {
        // SAFETY: `self.0` is an IRP; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoMarkIrpPending(self.0) }
    }

    pub(crate) fn copy_to_next(self) {
        // SAFETY: a driver has the IRP.
        unsafe { ddi::IoCopyCurrentIrpStackLocationToNext(self.0) }
    }

    pub(crate) fn skip(self) {
        // SAFETY: `self.0` is an IRP; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoSkipCurrentIrpStackLocation(self.0) }
    }

    pub(crate) fn reuse(self, status: NTSTATUS) {
        // SAFETY: an IRP; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoReuseIrp(self.0, status) }
    }

    /// Returns the stack location of the driver that has the IRP.
    pub(crate) fn current(self) -> IO_STACK_LOCATION {
        // SAFETY: `self.0` is an IRP; otherwise the simulated kernel ends the run.
        let location = unsafe { ddi::IoGetCurrentIrpStackLocation(self.0) };
        // SAFETY: the location belongs to an IRP that is not freed.
        unsafe { location.read() }
    }

    /// Returns the stack location of the driver that the IRP is sent to next.
    pub(crate) fn next(self) -> PIO_STACK_LOCATION {
        // SAFETY: an IRP with a next location; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoGetNextIrpStackLocation(self.0) }
    }

    pub(crate) fn on_completion(self, f: impl Fn(Self) -> NTSTATUS + 'static) -> Self {
        let body: Completion = Box::new(f);
        // The body is leaked, because the routine may run at any time, or never.
        let context = Box::into_raw(Box::new(body));
        // SAFETY: the IRP has a location left; the routine's context is a closure.
        unsafe { ddi::IoSetCompletionRoutine(self.0, Some(call_completion), context.cast(), 1, 1, 1) };
        self
    }

    pub(crate) fn set_cancel_routine(self, routine: PDRIVER_CANCEL) -> bool {
        // SAFETY: `self.0` is an IRP; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoSetCancelRoutine(self.0, routine) }.is_some()
    }

    pub(crate) fn cancel(self) -> bool {
        // SAFETY: `self.0` is an IRP; otherwise the simulated kernel ends the run.
        unsafe { ddi::IoCancelIrp(self.0) != 0 }
    }
}

pub(crate) fn release_cancel_lock(irql: KIRQL) {
    // SAFETY: the lock is held; otherwise the simulated kernel ends the run.
    unsafe { ddi::IoReleaseCancelSpinLock(irql) }
}

pub(crate) fn acquire_cancel_lock() -> KIRQL {
    let mut irql = 0;
    // SAFETY: the argument is valid.
    unsafe { ddi::IoAcquireCancelSpinLock(&raw mut irql) };
    irql
}

/// Sets the driver's dispatch routine for reads.
pub(crate) fn dispatch_reads(routine: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS) {
    // SAFETY: the driver object lives as long as the simulation, and its table has this index.
    unsafe { (*ntsim::driver_object()).MajorFunction[IRP_MJ_READ] = routine as *mut c_void };
}
