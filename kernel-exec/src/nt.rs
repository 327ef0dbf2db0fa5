//! The kernel's types that functions of this crate take.
//!
//! They are those of [`wdk-sys`](https://docs.rs/wdk-sys) on the real kernel, and those of
//! [`ntsim`](https://docs.rs/ntsim) on the simulated one, with the same layout. A driver that runs
//! on both names them by this path. Without a kernel the module is empty.
// The rest of this file is the only code that knows which kernel the executor is on. Both kernels
// offer the same names, and the executor's code over them is the same on both. Without a kernel,
// memory comes from the host, failing fast is an abort, and nothing can be spawned. `build.rs`
// chooses the kernel.

#[cfg(kernel)]
pub use ddi::{DEVICE_OBJECT, IRP, KEVENT, PDEVICE_OBJECT, PIRP};

/// A list of every DDI that the executor calls, with its signature in both kernels.
///
/// The structs are each kernel's own. All other types are written out, so that a `BOOLEAN` or a
/// `ULONG` has the same width in both.
///
/// `ddis!(take …)` imports the functions from a module. `ddis!(check …)` only holds the module's
/// functions to their signatures.
#[cfg(kernel)]
macro_rules! ddis {
    ($how:ident $kernel:ident::$module:ident) => {
        ddis! { @$how $kernel::$module
            EtwProviderEnabled: unsafe extern "C" fn(u64, u8, u64) -> u8,
            EtwRegister: unsafe extern "C" fn(*const GUID, PETWENABLECALLBACK, *mut c_void, *mut u64) -> i32,
            EtwUnregister: unsafe extern "C" fn(u64) -> i32,
            EtwWriteString: unsafe extern "C" fn(u64, u8, u64, *const GUID, *const u16) -> i32,
            ExAllocatePool2: unsafe extern "C" fn(u64, u64, u32) -> *mut c_void,
            ExFreePoolWithTag: unsafe extern "C" fn(*mut c_void, u32),
            IoInitializeWorkItem: unsafe extern "C" fn(*mut c_void, PIO_WORKITEM),
            IoQueueWorkItemEx: unsafe extern "C" fn(
                PIO_WORKITEM,
                Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PIO_WORKITEM)>,
                i32,
                *mut c_void,
            ),
            IoSizeofWorkItem: unsafe extern "C" fn() -> u32,
            IoReleaseCancelSpinLock: unsafe extern "C" fn(u8),
            IoUninitializeWorkItem: unsafe extern "C" fn(PIO_WORKITEM),
            IofCompleteRequest: unsafe extern "C" fn(PIRP, i8),
            KeAcquireInStackQueuedSpinLock: unsafe extern "C" fn(*mut KSPIN_LOCK, *mut KLOCK_QUEUE_HANDLE),
            KeAcquireSpinLockAtDpcLevel: unsafe extern "C" fn(*mut KSPIN_LOCK),
            KeAcquireSpinLockRaiseToDpc: unsafe extern "C" fn(*mut KSPIN_LOCK) -> u8,
            KeBugCheckEx: unsafe extern "C" fn(u32, u64, u64, u64, u64) -> !,
            KeCancelTimer: unsafe extern "C" fn(*mut KTIMER) -> u8,
            KeFlushQueuedDpcs: unsafe extern "C" fn(),
            KeGetCurrentIrql: unsafe extern "C" fn() -> u8,
            KeGetCurrentProcessorNumberEx: unsafe extern "C" fn(*mut PROCESSOR_NUMBER) -> u32,
            KeGetCurrentThread: unsafe extern "C" fn() -> PKTHREAD,
            KeInitializeDpc: unsafe extern "C" fn(
                *mut KDPC,
                Option<unsafe extern "C" fn(*mut KDPC, *mut c_void, *mut c_void, *mut c_void)>,
                *mut c_void,
            ),
            KeInitializeEvent: unsafe extern "C" fn(*mut KEVENT, i32, u8),
            KeInitializeTimerEx: unsafe extern "C" fn(*mut KTIMER, i32),
            KeInsertQueueDpc: unsafe extern "C" fn(*mut KDPC, *mut c_void, *mut c_void) -> u8,
            KeQueryInterruptTimePrecise: unsafe extern "C" fn(*mut u64) -> u64,
            KeReleaseInStackQueuedSpinLock: unsafe extern "C" fn(*mut KLOCK_QUEUE_HANDLE),
            KeReleaseSpinLock: unsafe extern "C" fn(*mut KSPIN_LOCK, u8),
            KeReleaseSpinLockFromDpcLevel: unsafe extern "C" fn(*mut KSPIN_LOCK),
            KeSetCoalescableTimer: unsafe extern "C" fn(*mut KTIMER, LARGE_INTEGER, u32, u32, *mut KDPC) -> u8,
            KeSetImportanceDpc: unsafe extern "C" fn(*mut KDPC, i32),
            KeShouldYieldProcessor: unsafe extern "C" fn() -> u32,
            KeSetTargetProcessorDpcEx: unsafe extern "C" fn(*mut KDPC, *mut PROCESSOR_NUMBER) -> i32,
            KeSetEvent: unsafe extern "C" fn(*mut KEVENT, i32, u8) -> i32,
            KeSetTimerEx: unsafe extern "C" fn(*mut KTIMER, LARGE_INTEGER, i32, *mut KDPC) -> u8,
            KeWaitForSingleObject: unsafe extern "C" fn(*mut c_void, i32, i8, u8, *mut LARGE_INTEGER) -> i32,
            ObfDereferenceObject: unsafe extern "C" fn(*mut c_void) -> LONG_PTR,
            ObfReferenceObject: unsafe extern "C" fn(*mut c_void) -> LONG_PTR,
        }
    };
    (@take $kernel:ident::$module:ident $($ddi:ident: $signature:ty,)*) => {
        $(pub(crate) use $kernel::$module::$ddi;)*
        ddis! { @check $kernel::$module $($ddi: $signature,)* }
    };
    (@check $kernel:ident::$module:ident $($ddi:ident: $signature:ty,)*) => {
        const _: () = {
            use core::ffi::c_void;
            $(let _: $signature = $kernel::$module::$ddi;)*
        };
    };
}

/// Checks, before a task is woken, that the IRQL is ≤ DISPATCH_LEVEL. The simulated kernel's
/// verifier makes the check.
#[cfg(kernel = "sim")]
#[inline]
pub(crate) fn check_wake(task: *const ()) {
    ntsim::check_wake(task);
}

/// Does nothing. This kernel does not check that a task is woken at IRQL ≤ DISPATCH_LEVEL.
#[cfg(not(kernel = "sim"))]
#[inline]
pub(crate) fn check_wake(_task: *const ()) {}

/// A step in the life of a task, for timelines.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TaskStep {
    Spawn,
    Wake,
    Cancel,
    PollStart,
    PollEnd,
    End,
}

/// Marks a task's step in the trace of the simulated kernel, if there is one. `task` is the address
/// of its header.
#[cfg(kernel = "sim")]
#[inline]
pub(crate) fn mark_task(step: TaskStep, task: *const (), detail: &'static str) {
    use ntsim::trace::MarkKind;
    let kind = match step {
        TaskStep::Spawn => MarkKind::Spawn,
        TaskStep::Wake => MarkKind::Wake,
        TaskStep::Cancel => MarkKind::Cancel,
        TaskStep::PollStart => MarkKind::PollStart,
        TaskStep::PollEnd => MarkKind::PollEnd,
        TaskStep::End => MarkKind::End,
    };
    ntsim::mark_object(kind, "task", task, detail);
}

/// Does nothing. This kernel has no trace.
#[cfg(not(kernel = "sim"))]
#[inline]
pub(crate) fn mark_task(_step: TaskStep, _task: *const (), _detail: &'static str) {}

#[cfg(kernel = "sim")]
mod ddi {
    //! The simulated kernel.
    pub(crate) use ntsim::types::{
        _EVENT_TYPE, _KWAIT_REASON, _MODE, _TIMER_TYPE, _WORK_QUEUE_TYPE, DISPATCH_LEVEL, GUID, KDPC,
        KLOCK_QUEUE_HANDLE, KSPIN_LOCK, KTIMER, LARGE_INTEGER, LONG_PTR, PASSIVE_LEVEL, PETWENABLECALLBACK,
        PIO_WORKITEM, PKTHREAD, POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED, POOL_FLAG_UNINITIALIZED,
        PROCESSOR_NUMBER, PVOID,
    };
    pub use ntsim::types::{DEVICE_OBJECT, IRP, KEVENT, PDEVICE_OBJECT, PIRP};

    ddis!(take ntsim::ddi);
}

#[cfg(kernel = "wdk")]
mod ddi {
    //! The real kernel.
    pub(crate) use wdk_sys::{
        _EVENT_TYPE, _KWAIT_REASON, _MODE, _TIMER_TYPE, _WORK_QUEUE_TYPE, DISPATCH_LEVEL, GUID, KDPC,
        KLOCK_QUEUE_HANDLE, KSPIN_LOCK, KTIMER, LARGE_INTEGER, LONG_PTR, PASSIVE_LEVEL, PETWENABLECALLBACK,
        PIO_WORKITEM, PKTHREAD, POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED, POOL_FLAG_UNINITIALIZED,
        PROCESSOR_NUMBER, PVOID,
    };
    pub use wdk_sys::{DEVICE_OBJECT, IRP, KEVENT, PDEVICE_OBJECT, PIRP};

    ddis!(take wdk_sys::ntddk);
}

#[cfg(kernel)]
pub(crate) mod irp;

#[cfg(all(test, kernel = "wdk"))]
mod parity;

#[cfg(kernel)]
mod backend {
    //! The executor's wrappers of the kernel's calls.
    pub(crate) use super::ddi::{
        _EVENT_TYPE, _TIMER_TYPE, _WORK_QUEUE_TYPE, IoInitializeWorkItem, IoQueueWorkItemEx,
        IoSizeofWorkItem, IoUninitializeWorkItem, KDPC, KLOCK_QUEUE_HANDLE, KSPIN_LOCK, KTIMER,
        KeAcquireInStackQueuedSpinLock, KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc,
        KeCancelTimer, KeInitializeDpc, KeInitializeEvent, KeInitializeTimerEx, KeInsertQueueDpc,
        KeReleaseInStackQueuedSpinLock, KeReleaseSpinLock, KeReleaseSpinLockFromDpcLevel,
        KeSetCoalescableTimer, KeSetEvent, KeSetImportanceDpc, KeSetTargetProcessorDpcEx, KeSetTimerEx,
        LARGE_INTEGER, ObfDereferenceObject, ObfReferenceObject, PIO_WORKITEM, PROCESSOR_NUMBER, PVOID,
    };
    use super::ddi::{
        _KWAIT_REASON, _MODE, DISPATCH_LEVEL, EtwProviderEnabled, EtwRegister, EtwUnregister, EtwWriteString,
        ExAllocatePool2, ExFreePoolWithTag, GUID, KEVENT, KeBugCheckEx, KeFlushQueuedDpcs, KeGetCurrentIrql,
        KeGetCurrentProcessorNumberEx, KeGetCurrentThread, KeQueryInterruptTimePrecise,
        KeShouldYieldProcessor, KeWaitForSingleObject, PASSIVE_LEVEL, POOL_FLAG_NON_PAGED, POOL_FLAG_PAGED,
        POOL_FLAG_UNINITIALIZED,
    };

    /// Stops the machine with bug check 0x139, this reason, and details for a debugger.
    pub(crate) fn fail_fast(reason: u32, details: [u64; 3]) -> ! {
        let [second, third, fourth] = details;
        // SAFETY: callable at any IRQL with any parameters.
        unsafe { KeBugCheckEx(0x139, reason.into(), second, third, fourth) }
    }

    /// Allocates non-paged pool, not zeroed and 16-byte aligned, or returns null.
    /// IRQL: ≤ DISPATCH_LEVEL.
    pub(crate) fn allocate_pool(size: usize, tag: u32) -> *mut u8 {
        // SAFETY: the caller is at ≤ DISPATCH_LEVEL; flags and tag are valid, the size is not zero.
        unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, size as u64, tag) }.cast()
    }

    /// Allocates paged pool, otherwise as [`allocate_pool`]. IRQL: ≤ APC_LEVEL.
    pub(crate) fn allocate_paged_pool(size: usize, tag: u32) -> *mut u8 {
        // SAFETY: the caller is at ≤ APC_LEVEL; flags and tag are valid, the size is not zero.
        unsafe { ExAllocatePool2(POOL_FLAG_PAGED | POOL_FLAG_UNINITIALIZED, size as u64, tag) }.cast()
    }

    /// # Safety
    /// `memory` is from [`allocate_pool`] or [`allocate_paged_pool`] with this tag and size, and is
    /// not used again. IRQL: as for that function.
    pub(crate) unsafe fn free_pool(memory: *mut u8, _size: usize, tag: u32) {
        // SAFETY: the caller allocated the memory with this tag, and does not use it again.
        unsafe { ExFreePoolWithTag(memory.cast(), tag) }
    }

    /// Tells whether the IRQL is PASSIVE_LEVEL, where a thread may wait for DPCs.
    pub(crate) fn is_passive() -> bool {
        // SAFETY: callable at any IRQL.
        let irql = unsafe { KeGetCurrentIrql() };
        u32::from(irql) == PASSIVE_LEVEL
    }

    /// Returns the time since the machine was started, in units of 100 ns. It never goes back.
    /// IRQL: any.
    pub(crate) fn interrupt_time() -> u64 {
        let mut performance_counter = 0;
        // SAFETY: callable at any IRQL; the argument is valid for a write.
        unsafe { KeQueryInterruptTimePrecise(&raw mut performance_counter) }
    }

    /// Tells whether this processor must leave its DPCs, so that other code runs.
    /// IRQL: DISPATCH_LEVEL.
    pub(crate) fn should_yield() -> bool {
        // SAFETY: the caller is at DISPATCH_LEVEL.
        unsafe { KeShouldYieldProcessor() != 0 }
    }

    /// Waits for an event, with a timeout as KeWaitForSingleObject takes it. A negative value
    /// counts from now on, a positive one is a moment of system time, and `None` waits for ever.
    ///
    /// # Safety
    /// The event is initialised and stays where it is; IRQL ≤ APC_LEVEL.
    pub(crate) unsafe fn wait_for_event(event: *mut KEVENT, timeout: Option<i64>) {
        let mut due = LARGE_INTEGER { QuadPart: timeout.unwrap_or(0) };
        let due = if timeout.is_some() { &raw mut due } else { core::ptr::null_mut() };
        let (reason, mode) = (_KWAIT_REASON::Executive, _MODE::KernelMode as i8);
        // SAFETY: the caller keeps the event in place, at ≤ APC_LEVEL. The wait is not alertable
        // and in kernel mode, so the stack stays resident.
        let _status = unsafe { KeWaitForSingleObject(event.cast(), reason, mode, 0, due) };
    }

    /// Tries to wait for an event, with a timeout of zero. Returns `STATUS_SUCCESS` or
    /// `STATUS_TIMEOUT`.
    ///
    /// # Safety
    /// The event is initialised and stays where it is; IRQL ≤ DISPATCH_LEVEL.
    pub(crate) unsafe fn look_at_event(event: *mut KEVENT) -> crate::NTSTATUS {
        let mut now = LARGE_INTEGER { QuadPart: 0 };
        let (reason, mode) = (_KWAIT_REASON::Executive, _MODE::KernelMode as i8);
        // SAFETY: the caller keeps the event in place; a timeout of zero is allowed at
        // DISPATCH_LEVEL.
        crate::NTSTATUS(unsafe { KeWaitForSingleObject(event.cast(), reason, mode, 0, &raw mut now) })
    }

    /// Waits until every DPC routine that runs, or stands in a queue, has returned.
    /// IRQL: PASSIVE_LEVEL.
    pub(crate) fn flush_dpcs() {
        // SAFETY: the caller is at PASSIVE_LEVEL.
        unsafe { KeFlushQueuedDpcs() }
    }

    /// Registers an ETW provider with the GUID of these digits, without a callback. Returns its
    /// handle. IRQL: PASSIVE_LEVEL.
    pub(crate) fn register_provider(id: u128) -> Result<u64, crate::NTSTATUS> {
        let id = GUID {
            Data1: (id >> 96) as u32,
            Data2: (id >> 80) as u16,
            Data3: (id >> 64) as u16,
            Data4: (id as u64).to_be_bytes(),
        };
        let mut handle = 0;
        // SAFETY: the caller is at PASSIVE_LEVEL; the GUID, and the place for the handle, are
        // valid.
        let status = unsafe { EtwRegister(&raw const id, None, core::ptr::null_mut(), &raw mut handle) };
        if status < 0 { Err(crate::NTSTATUS(status)) } else { Ok(handle) }
    }

    /// Unregisters a provider. IRQL: PASSIVE_LEVEL.
    ///
    /// # Safety
    /// `handle` is from [`register_provider`], and no code uses it any more.
    pub(crate) unsafe fn unregister_provider(handle: u64) {
        // SAFETY: the handle is a registered one that no code uses any more, at PASSIVE_LEVEL.
        let _success = unsafe { EtwUnregister(handle) };
    }

    /// Tells whether a session asks for events of this level and keyword. IRQL: any.
    ///
    /// # Safety
    /// `handle` is from [`register_provider`], and is not unregistered meanwhile.
    pub(crate) unsafe fn is_provider_enabled(handle: u64, level: u8, keyword: u64) -> bool {
        // SAFETY: the caller keeps the handle registered.
        unsafe { EtwProviderEnabled(handle, level, keyword) != 0 }
    }

    /// Writes an event that is a string. A session counts the events that it loses. IRQL: any, if
    /// the string is in resident memory.
    ///
    /// # Safety
    /// As for [`is_provider_enabled`]; the text ends with a zero.
    pub(crate) unsafe fn write_string(handle: u64, level: u8, keyword: u64, text: *const u16) {
        // SAFETY: the caller keeps the handle registered and the text ends with a zero; the
        // activity may be null.
        let _status = unsafe { EtwWriteString(handle, level, keyword, core::ptr::null(), text) };
    }

    /// Lets the thread rest, about until the next tick of the clock. IRQL: ≤ APC_LEVEL.
    pub(crate) fn rest() {
        let event = crate::sync::Event::new();
        event.prepare(crate::sync::Reset::Never);
        // No code sets the event, so the wait ends by its timeout.
        event.wait(Some(-1));
    }

    /// The processor or the thread that the caller stays on while it runs.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) enum ExecutionContext {
        /// At DISPATCH_LEVEL, the processor with this number, counted through all processor groups.
        Processor(usize),
        /// Below DISPATCH_LEVEL, where a thread may be preempted and continue elsewhere, the
        /// thread. The pointer is only compared.
        Thread(*const ()),
        /// Above DISPATCH_LEVEL, where no task runs.
        Interrupt,
    }

    pub(crate) fn execution_context() -> ExecutionContext {
        // SAFETY: callable at any IRQL.
        let irql = u32::from(unsafe { KeGetCurrentIrql() });
        if irql == DISPATCH_LEVEL {
            // SAFETY: callable at any IRQL; a null argument is allowed.
            ExecutionContext::Processor(
                unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) } as usize
            )
        } else if irql < DISPATCH_LEVEL {
            // SAFETY: callable at any IRQL.
            ExecutionContext::Thread(unsafe { KeGetCurrentThread() }.cast_const().cast())
        } else {
            ExecutionContext::Interrupt
        }
    }
}

#[cfg(not(kernel))]
mod backend {
    //! Replacements for builds without a kernel.
    extern crate alloc;

    use core::alloc::Layout;

    const ALIGN: usize = 16;

    pub(crate) fn fail_fast(reason: u32, _details: [u64; 3]) -> ! {
        /// Panics. The panic cannot leave an `extern "C"` function, so it aborts, also in a crate
        /// without `std`.
        extern "C" fn abort(reason: u32) -> ! {
            #[expect(clippy::panic, reason = "the message is wanted and the abort is the purpose")]
            {
                panic!("ntcom: fail fast {reason}")
            }
        }
        abort(reason)
    }

    /// Always true, because a test's thread may wait.
    #[cfg(all(test, loom))]
    pub(crate) const fn is_passive() -> bool {
        true
    }

    /// Does nothing, because the threads of a test empty its queue.
    #[cfg(all(test, loom))]
    pub(crate) const fn flush_dpcs() {}

    /// Returns 0, because there is no clock.
    pub(crate) const fn interrupt_time() -> u64 {
        0
    }

    /// Allocates memory from the host's allocator, not zeroed and 16-byte aligned, or returns null.
    pub(crate) fn allocate_pool(size: usize, _tag: u32) -> *mut u8 {
        match Layout::from_size_align(size, ALIGN) {
            // SAFETY: the size is not zero.
            Ok(layout) if size > 0 => unsafe { alloc::alloc::alloc(layout) },
            _ => core::ptr::null_mut(),
        }
    }

    /// Allocates as [`allocate_pool`] does, because the host has no paged pool.
    pub(crate) fn allocate_paged_pool(size: usize, tag: u32) -> *mut u8 {
        allocate_pool(size, tag)
    }

    /// Fails, because there is no event tracing without a kernel.
    pub(crate) const fn register_provider(_id: u128) -> Result<u64, crate::NTSTATUS> {
        Err(crate::NTSTATUS::NOT_SUPPORTED)
    }

    /// # Safety
    /// No duty, because there is no handle.
    pub(crate) const unsafe fn unregister_provider(_handle: u64) {}

    /// # Safety
    /// No duty, because there is no handle.
    pub(crate) const unsafe fn is_provider_enabled(_handle: u64, _level: u8, _keyword: u64) -> bool {
        false
    }

    /// # Safety
    /// No duty, because there is no handle.
    pub(crate) const unsafe fn write_string(_handle: u64, _level: u8, _keyword: u64, _text: *const u16) {}

    /// Does nothing, because there is nothing to wait for.
    pub(crate) const fn rest() {}

    /// Always true, because a thread of the host has no IRQL.
    #[cfg(not(all(test, loom)))]
    pub(crate) const fn is_passive() -> bool {
        true
    }

    /// # Safety
    /// `memory` is from [`allocate_pool`] with this size, and is not used again.
    pub(crate) unsafe fn free_pool(memory: *mut u8, size: usize, _tag: u32) {
        if let Ok(layout) = Layout::from_size_align(size, ALIGN) {
            // SAFETY: the caller allocated the memory with this size, so this is its layout, and
            // does not use it again.
            unsafe { alloc::alloc::dealloc(memory, layout) }
        }
    }
}

pub(crate) use backend::*;
