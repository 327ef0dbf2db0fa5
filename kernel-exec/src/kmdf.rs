//! KMDF: its devices and its requests. For drivers whose `wdk-sys` is built for KMDF.
//!
//! Tasks and operations run on WDM work items there too: a work item of KMDF's is an object that is allocated, and a wake never allocates.

use core::mem::size_of;

use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_SYNCHRONIZATION_SCOPE, PCWDF_OBJECT_CONTEXT_TYPE_INFO, WDF_OBJECT_ATTRIBUTES,
    WDF_OBJECT_CONTEXT_TYPE_INFO, WDFDEVICE, WDFOBJECT, WDFREQUEST, call_unsafe_wdf_function_binding,
};

use crate::{
    IrpOutcome, nt,
    request::{Request, RequestRoom, request_canceled},
    sync::{AtomicUsize, Ordering},
};

/// The WDM device object of a KMDF device (`WdfDeviceWdmGetDeviceObject`): what tasks on work items, [`OnWorkItems`](crate::OnWorkItems) and
/// [`OnDevice`](crate::OnDevice) take.
///
/// IRQL: ≤ DISPATCH_LEVEL.
///
/// # Safety
/// A device of this driver, which exists.
#[must_use]
pub unsafe fn wdm_device_object(device: WDFDEVICE) -> nt::PDEVICE_OBJECT {
    // SAFETY: this function's contract.
    unsafe { call_unsafe_wdf_function_binding!(WdfDeviceWdmGetDeviceObject, device) }
}

/// What a request's context holds.
#[repr(C)]
struct RequestContext {
    room: RequestRoom,
    /// 1: it is cancelable, and nobody has begun to change that. `WdfRequestUnmarkCancelable` is for such requests only.
    cancelable: AtomicUsize,
}

/// A static that points to itself.
#[repr(transparent)]
struct ContextType(WDF_OBJECT_CONTEXT_TYPE_INFO);

// SAFETY: read only.
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

/// The attributes that the requests of a device must have for tasks to serve them: for `WdfDeviceInitSetRequestAttributes`, before the device is
/// created.
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

/// A WDFREQUEST that a task serves: what [`spawn_request_task`](crate::spawn_request_task) takes in a KMDF driver. It is completed with
/// `WdfRequestCompleteWithInformation`.
#[derive(Clone, Copy, Debug)]
pub struct WdfRequest(WDFREQUEST);

// SAFETY: a request may be used in any thread and on any processor, by those who have it.
unsafe impl Send for WdfRequest {}

impl WdfRequest {
    /// Names a request. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Safety
    /// A request that a queue of this driver has delivered, and that has not been completed, forwarded or made cancelable; of a device that was created with
    /// [`wdf_request_attributes`].
    #[must_use]
    pub unsafe fn new(request: WDFREQUEST) -> Self {
        Self(request)
    }

    fn context(self) -> *mut RequestContext {
        let object: WDFOBJECT = self.0.cast();
        let kind = context_type();
        // SAFETY: a request that exists, by the contract of every call that leads here.
        let context =
            unsafe { call_unsafe_wdf_function_binding!(WdfObjectGetTypedContextWorker, object, kind) };
        context.cast()
    }

    fn cancelable(&self) -> &AtomicUsize {
        // SAFETY: WDF keeps the context, zeroed at first, as long as the request.
        unsafe { &(*self.context()).cancelable }
    }
}

/// EvtRequestCancel: ≤ DISPATCH_LEVEL.
unsafe extern "C" fn evt_request_cancel(request: WDFREQUEST) {
    // SAFETY: a request of a task, in its cancel routine, which WDF calls once.
    unsafe { request_canceled(WdfRequest(request)) }
}

// SAFETY: 1. the room is in the request's context; 2. WDF calls the routine, or tells the one who unmarks the request that it does not; 3. by its
// lock; 4. the functions are documented for ≤ DISPATCH_LEVEL.
unsafe impl Request for WdfRequest {
    fn room(self) -> *mut RequestRoom {
        // At offset 0.
        self.context().cast()
    }

    unsafe fn begin(self) {}

    unsafe fn set_cancelable(self) -> bool {
        let (request, routine) = (self.0, Some(evt_request_cancel as unsafe extern "C" fn(WDFREQUEST)));
        // SAFETY: the driver has the request, which is not cancelable.
        let status =
            unsafe { call_unsafe_wdf_function_binding!(WdfRequestMarkCancelableEx, request, routine) };
        if status < 0 {
            // STATUS_CANCELLED, or another failure: the routine will not be called, and the task is asked to stop.
            return false;
        }
        // Who has ended before this finds nothing to take; `spawn_request_task` looks for him afterwards. The party that the routine has may have
        // gone already, but the caller's keeps the request.
        self.cancelable().store(1, Ordering::SeqCst);
        true
    }

    unsafe fn take_cancelable(self) -> bool {
        if self.cancelable().swap(0, Ordering::SeqCst) == 0 {
            return false;
        }
        let request = self.0;
        // SAFETY: the driver has the request, which was made cancelable, and nobody else unmarks it.
        let status = unsafe { call_unsafe_wdf_function_binding!(WdfRequestUnmarkCancelable, request) };
        // STATUS_CANCELLED: the routine has been called, or will be.
        status >= 0
    }

    unsafe fn complete(self, outcome: IrpOutcome) {
        let (request, status, information) = (self.0, outcome.status.0, outcome.information as u64);
        // SAFETY: the driver has the request, which is not cancelable.
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
