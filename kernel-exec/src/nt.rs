//! The seam: the only file that knows which kernel the executor is on.
//!
//! Both kernels offer the same names with `wdk-sys`'s signatures. `sim` wins wherever it is on. Without a kernel there is
//! memory from the host, failing fast is an abort, and nothing can be spawned.

#[cfg(feature = "sim")]
mod backend {
    //! The simulated kernel.
    pub(crate) use ntsim::ddi::{
        ExAllocatePool2, ExFreePoolWithTag, KeAcquireSpinLockRaiseToDpc, KeBugCheckEx, KeGetCurrentIrql,
        KeGetCurrentProcessorNumberEx, KeInitializeDpc, KeInitializeTimerEx, KeInsertQueueDpc,
        KeReleaseSpinLock, KeSetTimerEx,
    };
    pub(crate) use ntsim::types::{
        _TIMER_TYPE, DISPATCH_LEVEL, KDPC, KSPIN_LOCK, KTIMER, LARGE_INTEGER, POOL_FLAG_NON_PAGED,
        POOL_FLAG_UNINITIALIZED, PVOID,
    };

    pub(crate) fn fail_fast(reason: u32) -> ! {
        // SAFETY: callable at any IRQL with any parameters.
        unsafe { KeBugCheckEx(0x139, reason.into(), 0, 0, 0) }
    }

    /// Non-paged pool, not zeroed, 16-byte aligned, or null. IRQL ≤ DISPATCH_LEVEL.
    pub(crate) fn allocate_pool(size: usize, tag: u32) -> *mut u8 {
        // SAFETY: ≤ DISPATCH_LEVEL by this function's contract; flags and tag are valid, the size is not zero.
        unsafe { ExAllocatePool2(POOL_FLAG_NON_PAGED | POOL_FLAG_UNINITIALIZED, size as u64, tag) }.cast()
    }

    /// # Safety
    /// `memory` is from [`allocate_pool`] with this tag and size, and not used again. IRQL ≤ DISPATCH_LEVEL.
    pub(crate) unsafe fn free_pool(memory: *mut u8, _size: usize, tag: u32) {
        // SAFETY: by this function's contract.
        unsafe { ExFreePoolWithTag(memory.cast(), tag) }
    }

    /// The processor whose number cannot change under the caller, because it runs at DISPATCH_LEVEL; else none.
    pub(crate) fn processor_at_dispatch() -> Option<usize> {
        // SAFETY: callable at any IRQL.
        let irql = unsafe { KeGetCurrentIrql() };
        if u32::from(irql) != DISPATCH_LEVEL {
            return None;
        }
        // SAFETY: callable at any IRQL; a null argument is allowed.
        Some(unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) } as usize)
    }
}

#[cfg(not(feature = "sim"))]
mod backend {
    //! No kernel.
    extern crate alloc;

    use core::alloc::Layout;

    const ALIGN: usize = 16;

    pub(crate) fn fail_fast(reason: u32) -> ! {
        /// A panic cannot leave an `extern "C"` function: it aborts, in a crate without `std` too.
        extern "C" fn abort(reason: u32) -> ! {
            #[expect(clippy::panic, reason = "the message is wanted and the abort is the purpose")]
            {
                panic!("ntcom: fail fast {reason}")
            }
        }
        abort(reason)
    }

    /// Memory from the host's allocator, not zeroed, 16-byte aligned, or null.
    pub(crate) fn allocate_pool(size: usize, _tag: u32) -> *mut u8 {
        match Layout::from_size_align(size, ALIGN) {
            // SAFETY: the size is not zero: every caller allocates a block that holds something.
            Ok(layout) if size > 0 => unsafe { alloc::alloc::alloc(layout) },
            _ => core::ptr::null_mut(),
        }
    }

    /// # Safety
    /// `memory` is from [`allocate_pool`] with this size, and not used again.
    pub(crate) unsafe fn free_pool(memory: *mut u8, size: usize, _tag: u32) {
        if let Ok(layout) = Layout::from_size_align(size, ALIGN) {
            // SAFETY: by this function's contract; the layout is the one it was allocated with.
            unsafe { alloc::alloc::dealloc(memory, layout) }
        }
    }
}

pub(crate) use backend::*;
