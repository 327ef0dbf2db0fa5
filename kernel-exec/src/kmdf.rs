//! KMDF's devices and requests, for drivers that build `wdk-sys` for KMDF.
//!
//! Tasks and operations run on WDM work items there too. A work item of KMDF is an object that is
//! allocated, and a wake never allocates.

use core::mem::size_of;

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, PCWDF_OBJECT_CONTEXT_TYPE_INFO, WDF_OBJECT_ATTRIBUTES,
    WDF_OBJECT_CONTEXT_TYPE_INFO, WDFDEVICE, WDFOBJECT, WDFREQUEST, call_unsafe_wdf_function_binding,
};

use crate::{
    nt,
    request::{IrpOutcome, Request, RequestStorage, request_cancelled},
    sync::{AtomicUsize, Ordering},
};

/// Returns the WDM device object of a KMDF device (`WdfDeviceWdmGetDeviceObject`).
///
/// [`OnWorkItems`](crate::OnWorkItems) and [`Migrating`](crate::Migrating) take it, for tasks on
/// work items.
///
/// IRQL: ≤ DISPATCH_LEVEL.
///
/// # Safety
/// `device` is a device of this driver that exists.
#[must_use]
pub unsafe fn wdm_device_object(device: WDFDEVICE) -> nt::PDEVICE_OBJECT {
    // SAFETY: the caller guarantees that the device exists.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceWdmGetDeviceObject, device) }
}

/// The context of a request.
#[repr(C)]
struct RequestContext {
    storage: RequestStorage,
    /// 1 if the request is cancellable and no code has begun to change that.
    /// `WdfRequestUnmarkCancelable` may be called for such requests only.
    cancellable: AtomicUsize,
}

/// The context type, a static that points to itself.
#[repr(transparent)]
struct ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO);

// SAFETY: the static is only read.
unsafe impl Sync for ContextType {}

static REQUEST_CONTEXT: ContextType = ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO {
    Size: size_of::<WDF_OBJECT_CONTEXT_TYPE_INFO>() as u32,
    ContextName: c"NtcomRequestContext".as_ptr().cast_mut().cast(),
    ContextSize: size_of::<RequestContext>(),
    UniqueType: (&raw const REQUEST_CONTEXT).cast(),
    EvtDriverGetUniqueContextType: None,
});

fn context_type() -> PCWDF_OBJECT_CONTEXT_TYPE_INFO {
    &raw const REQUEST_CONTEXT.0
}

/// Returns the attributes that the requests of a device must have for tasks to serve them.
///
/// Pass them to `WdfDeviceInitSetRequestAttributes`, before the device is created. IRQL: any.
#[must_use]
pub fn wdf_request_attributes() -> WDF_OBJECT_ATTRIBUTES {
    WDF_OBJECT_ATTRIBUTES {
        Size: size_of::<WDF_OBJECT_ATTRIBUTES>() as u32,
        EvtCleanupCallback: None,
        EvtDestroyCallback: None,
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelInheritFromParent,
        SynchronizationScope: _WDF_SYNCHRONIZATION_SCOPE::WdfSynchronizationScopeInheritFromParent,
        ParentObject: core::ptr::null_mut(),
        ContextSizeOverride: 0,
        ContextTypeInfo: context_type(),
    }
}

/// A WDFREQUEST that a task serves.
///
/// A KMDF driver passes it to [`spawn_request_task`](crate::spawn_request_task). The task's end
/// completes it with `WdfRequestCompleteWithInformation`.
#[derive(Clone, Copy, Debug)]
pub struct WdfRequest(WDFREQUEST);

// SAFETY: the code that has a request may use it in any thread and on any processor.
unsafe impl Send for WdfRequest {}

impl WdfRequest {
    /// Wraps a request. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `request` is a request that a queue of this driver has delivered, and that has not been
    /// completed, forwarded or made cancellable. Its device was created with
    /// [`wdf_request_attributes`].
    #[must_use]
    pub unsafe fn new(request: WDFREQUEST) -> Self {
        Self(request)
    }

    fn context(self) -> *mut RequestContext {
        let object: WDFOBJECT = self.0.cast();
        let kind = context_type();
        // SAFETY: the callers of `new` and of the `Request` methods guarantee that the request
        // exists.
        let context =
            unsafe { call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, kind) };
        context.cast()
    }

    fn cancellable(&self) -> &AtomicUsize {
        // SAFETY: WDF keeps the context as long as the request, and zeroes it at first.
        unsafe { &(*self.context()).cancellable }
    }
}

/// Cancels the task of a request, as its EvtRequestCancel. IRQL: ≤ DISPATCH_LEVEL.
unsafe extern "C" fn evt_request_cancel(request: WDFREQUEST) {
    // SAFETY: the request belongs to a task, and WDF calls its cancel routine once.
    unsafe { request_cancelled(WdfRequest(request)) }
}

// SAFETY: 1. The storage is in the request's context. 2. WDF calls the routine, or tells the caller
// that unmarks the request that it does not. 3. WDF's lock orders the two. 4. The functions are
// documented for ≤ DISPATCH_LEVEL.
unsafe impl Request for WdfRequest {
    fn storage(self) -> *mut RequestStorage {
        // The storage is the first field of the context, at offset 0.
        self.context().cast()
    }

    unsafe fn begin(self) {}

    unsafe fn set_cancel_routine(self) -> bool {
        let (request, routine) = (self.0, Some(evt_request_cancel as unsafe extern "C" fn(WDFREQUEST)));
        // SAFETY: the driver has the request, which is not cancellable.
        let status =
            unsafe { call_unsafe_wdf_function_binding!(WdfRequestMarkCancelableEx, request, routine) };
        if status < 0 {
            // STATUS_CANCELLED, or another failure: the routine will not be called, and the caller
            // asks the task to stop.
            return false;
        }
        // A task that has ended before this store finds nothing to take; `spawn_request_task`
        // checks for it afterwards. The routine's reference may have gone already, but the caller's
        // reference keeps the request.
        self.cancellable().store(1, Ordering::SeqCst);
        true
    }

    unsafe fn clear_cancel_routine(self) -> bool {
        if self.cancellable().swap(0, Ordering::SeqCst) == 0 {
            return false;
        }
        let request = self.0;
        // SAFETY: the driver has the request, which was made cancellable; the swap above lets one
        // caller unmark it.
        let status = unsafe { call_unsafe_wdf_function_binding!(WdfRequestUnmarkCancelable, request) };
        // STATUS_CANCELLED means that the routine has been called, or will be.
        status >= 0
    }

    unsafe fn complete(self, outcome: IrpOutcome) {
        let (request, status, information) = (self.0, outcome.status.0, outcome.information as u64);
        // SAFETY: the driver has the request, which is not cancellable.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestCompleteWithInformation,
                request,
                status,
                information
            );
        }
    }
}
