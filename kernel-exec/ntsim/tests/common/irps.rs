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
        // SAFETY: in a run.
        let irp = unsafe { ddi::IoAllocateIrp(stack, 0) };
        (!irp.is_null()).then_some(Self(irp))
    }

    /// A read request for one driver.
    pub(crate) fn new() -> Self {
        let irp = Self::try_new(1).unwrap();
        irp.set_next_major(IRP_MJ_READ as u8);
        irp
    }

    pub(crate) fn set_next_major(self, major: u8) {
        // SAFETY: an IRP.
        let next = unsafe { ddi::IoGetNextIrpStackLocation(self.0) };
        // SAFETY: the IRP's location.
        unsafe { (*next).MajorFunction = major };
    }

    pub(crate) fn free(self) {
        // SAFETY: an IRP, or the kernel says that it is none.
        unsafe { ddi::IoFreeIrp(self.0) }
    }

    pub(crate) fn send(self, device: Device) -> NTSTATUS {
        // SAFETY: the drivers of the tests keep their promises.
        unsafe { ddi::IofCallDriver(device.0, self.0) }
    }

    pub(crate) fn set_status(self, status: NTSTATUS) {
        // SAFETY: an IRP.
        unsafe { (*self.0).IoStatus.Status = status };
    }

    pub(crate) fn status(self) -> NTSTATUS {
        // SAFETY: an IRP.
        unsafe { (*self.0).IoStatus.Status }
    }

    pub(crate) fn pending_returned(self) -> bool {
        // SAFETY: an IRP.
        unsafe { (*self.0).PendingReturned != 0 }
    }

    pub(crate) fn is_canceled(self) -> bool {
        // SAFETY: an IRP.
        unsafe { (*self.0).Cancel != 0 }
    }

    pub(crate) fn cancel_irql(self) -> KIRQL {
        // SAFETY: an IRP.
        unsafe { (*self.0).CancelIrql }
    }

    pub(crate) fn complete_as_is(self) {
        // SAFETY: an IRP, or the kernel says that no driver has it.
        unsafe { ddi::IofCompleteRequest(self.0, 0) }
    }

    pub(crate) fn complete(self, status: NTSTATUS) -> NTSTATUS {
        self.set_status(status);
        self.complete_as_is();
        status
    }

    pub(crate) fn mark_pending(self) {
        // SAFETY: an IRP, or the kernel says that no driver has it.
        unsafe { ddi::IoMarkIrpPending(self.0) }
    }

    pub(crate) fn copy_to_next(self) {
        // SAFETY: an IRP that a driver has.
        unsafe { ddi::IoCopyCurrentIrpStackLocationToNext(self.0) }
    }

    pub(crate) fn skip(self) {
        // SAFETY: an IRP, or the kernel says that no driver has it.
        unsafe { ddi::IoSkipCurrentIrpStackLocation(self.0) }
    }

    pub(crate) fn reuse(self, status: NTSTATUS) {
        // SAFETY: an IRP, or the simulated kernel ends the run: it checks that.
        unsafe { ddi::IoReuseIrp(self.0, status) }
    }

    /// The stack location of the driver that has the IRP.
    pub(crate) fn current(self) -> IO_STACK_LOCATION {
        // SAFETY: an IRP, or the kernel says that no driver has it.
        let location = unsafe { ddi::IoGetCurrentIrpStackLocation(self.0) };
        // SAFETY: the IRP's location.
        unsafe { location.read() }
    }

    /// The stack location of the driver that the IRP is sent to next.
    pub(crate) fn next(self) -> PIO_STACK_LOCATION {
        // SAFETY: an IRP, or the simulated kernel ends the run: it checks that there is a next
        // location.
        unsafe { ddi::IoGetNextIrpStackLocation(self.0) }
    }

    pub(crate) fn on_completion(self, f: impl Fn(Self) -> NTSTATUS + 'static) -> Self {
        let body: Completion = Box::new(f);
        // Leaked: the routine may run at any time, or never.
        let context = Box::into_raw(Box::new(body));
        // SAFETY: an IRP with a location left; the routine's context is a closure.
        unsafe { ddi::IoSetCompletionRoutine(self.0, Some(call_completion), context.cast(), 1, 1, 1) };
        self
    }

    pub(crate) fn set_cancel_routine(self, routine: PDRIVER_CANCEL) -> bool {
        // SAFETY: an IRP, or the kernel says that it is none.
        unsafe { ddi::IoSetCancelRoutine(self.0, routine) }.is_some()
    }

    pub(crate) fn cancel(self) -> bool {
        // SAFETY: an IRP, or the kernel says that it is none.
        unsafe { ddi::IoCancelIrp(self.0) != 0 }
    }
}

pub(crate) fn release_cancel_lock(irql: KIRQL) {
    // SAFETY: held, or the kernel says that it is not.
    unsafe { ddi::IoReleaseCancelSpinLock(irql) }
}

pub(crate) fn acquire_cancel_lock() -> KIRQL {
    let mut irql = 0;
    // SAFETY: the argument is valid.
    unsafe { ddi::IoAcquireCancelSpinLock(&raw mut irql) };
    irql
}

/// Makes this the driver's dispatch routine for reads.
pub(crate) fn dispatch_reads(routine: unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS) {
    // SAFETY: the driver object, and an index that it has.
    unsafe { (*ntsim::driver_object()).MajorFunction[IRP_MJ_READ] = routine as *mut c_void };
}
