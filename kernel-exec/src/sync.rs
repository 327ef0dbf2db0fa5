//! Synchronization for the code of a driver, with what the simulated kernel has to see of it.
// The rest is the executor's own shim, and the only code that names core's atomics, `UnsafeCell`,
// or loom. Under `sim` every access is a preemption point of the simulated kernel, which also looks
// for data races. Under `cfg(loom)` the types are loom's. Otherwise they are core's.

pub(crate) use core::sync::atomic::Ordering;

#[cfg(loom)]
pub(crate) use loom::{cell::UnsafeCell, sync::atomic::AtomicUsize};
#[cfg(kernel = "sim")]
pub(crate) use ntsim::sync::{AtomicUsize, UnsafeCell};
#[cfg(not(any(loom, kernel = "sim")))]
pub(crate) use plain::{AtomicUsize, UnsafeCell};

/// Declares a constructor that is const except under loom, because loom's types are made at run
/// time only.
#[cfg(not(loom))]
macro_rules! const_fn {
    ($(#[$meta:meta])* $visibility:vis fn $($rest:tt)*) => { $(#[$meta])* $visibility const fn $($rest)* };
}
#[cfg(loom)]
macro_rules! const_fn {
    ($(#[$meta:meta])* $visibility:vis fn $($rest:tt)*) => { $(#[$meta])* $visibility fn $($rest)* };
}
pub(crate) use const_fn;

#[cfg(not(any(loom, kernel = "sim")))]
mod plain {
    pub(crate) use core::sync::atomic::AtomicUsize;

    /// Core's `UnsafeCell` with loom's access methods.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }

        pub(crate) fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }
}

/// A number that is only a hint, so a wrong one costs time and nothing else. It orders no other
/// access, and no model looks at it, so it is core's under every kernel.
pub(crate) struct Hint(core::sync::atomic::AtomicU32);

impl Hint {
    pub(crate) const fn new(value: u32) -> Self {
        Self(core::sync::atomic::AtomicU32::new(value))
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Exchanges a pointer by an interlocked operation. The memory is a field of a kernel struct, not
/// an atomic of Rust.
///
/// # Safety
/// `place` is valid and aligned, and all code that uses it meanwhile does so by interlocked
/// operations.
#[cfg(kernel = "wdk")]
pub(crate) unsafe fn swap_pointer(
    place: *mut *mut core::ffi::c_void,
    new: *mut core::ffi::c_void,
) -> *mut core::ffi::c_void {
    // SAFETY: the caller guarantees that `place` is valid and is used by interlocked operations
    // only.
    let place = unsafe { core::sync::atomic::AtomicPtr::from_ptr(place) };
    place.swap(new, Ordering::SeqCst)
}

/// Loads a byte of a kernel struct, which the kernel may set at any time. The load comes after
/// every interlocked operation before it, which a volatile read need not do on arm64.
///
/// # Safety
/// `place` is valid.
#[cfg(kernel = "wdk")]
pub(crate) unsafe fn load_byte(place: *mut u8) -> u8 {
    // SAFETY: the caller guarantees that `place` is valid.
    let place = unsafe { core::sync::atomic::AtomicU8::from_ptr(place) };
    place.load(Ordering::SeqCst)
}

/// The calling driver's own copy of a part of a static; outside a static, the part itself.
#[cfg(kernel = "sim")]
use ntsim::own;
/// Returns the static itself, because an image is one driver.
///
/// # Safety
/// No duty here. The function of the same name in the simulated kernel has one.
#[cfg(not(kernel = "sim"))]
#[inline(always)]
const unsafe fn own<T>(place: &T) -> &T {
    place
}

pub(crate) use ambient::{Here, ThreadLink, ambient, with_ambient};
#[cfg(any(kernel, all(test, loom)))]
pub(crate) use event::{Event, Reset};
#[cfg(any(kernel, all(test, loom)))]
pub(crate) use image::image_static;
pub use image_static::ImageStatic;
pub(crate) use kernel_cell::KernelCell;
pub use lock::SpinLock;
#[cfg(not(loom))]
pub use lock::{QueuedSpinLock, SpinLockGuard};
pub use once::{Lazy, OnceCell};
pub use race_cell::RaceCell;

pub mod atomic;
#[cfg(any(kernel, all(test, loom)))]
mod event;
mod image_static;
mod kernel_cell;
mod lock;
mod once;
mod race_cell;
#[cfg(not(loom))]
mod raw_lock;

#[cfg(kernel = "sim")]
mod image {
    //! A driver's statics, one set for each simulated kernel, so that kernels in different threads
    //! do not see one another.

    /// Simulated kernels have at most this many processors.
    pub(super) const PROCESSORS: usize = 64;

    /// Declares a function that calls its argument with a static of this image.
    macro_rules! image_static {
        ($(#[$doc:meta])* $visibility:vis fn $name:ident -> $type:ty) => {
            $(#[$doc])*
            $visibility fn $name<R>(f: impl FnOnce(&$type) -> R) -> R {
                let image = ntsim::image_state::<$type>();
                // SAFETY: the simulated kernel keeps the state at this address longer than any of
                // its programs run.
                f(unsafe { &*image })
            }
        };
    }
    pub(crate) use image_static;
}

#[cfg(all(test, loom))]
mod image {
    //! A model's statics, one set for each model.

    /// Declares a function that calls its argument with a static of the model.
    macro_rules! image_static {
        ($(#[$doc:meta])* $visibility:vis fn $name:ident -> $type:ty) => {
            $(#[$doc])*
            $visibility fn $name<R>(f: impl FnOnce(&$type) -> R) -> R {
                loom::lazy_static! {
                    static ref IMAGE: $type = <$type>::new();
                }
                f(&IMAGE)
            }
        };
    }
    pub(crate) use image_static;
}

#[cfg(kernel = "wdk")]
mod image {
    //! A driver's statics. An image is one driver, and has one set.

    /// The largest number of processors that Windows supports, 32 groups of 64. The slots take 32
    /// KiB of the image's zeroed data.
    pub(super) const PROCESSORS: usize = 2048;

    /// Declares a function that calls its argument with a static of this image.
    macro_rules! image_static {
        ($(#[$doc:meta])* $visibility:vis fn $name:ident -> $type:ty) => {
            $(#[$doc])*
            $visibility fn $name<R>(f: impl FnOnce(&$type) -> R) -> R {
                static IMAGE: $type = <$type>::new();
                f(&IMAGE)
            }
        };
    }
    pub(crate) use image_static;
}

#[cfg(kernel)]
mod processors;
#[cfg(kernel)]
mod threads;

#[cfg(kernel)]
mod ambient {
    //! A pointer for each DPC and each thread that is in a poll.
    use core::ptr;

    pub(crate) use super::threads::ThreadLink;
    use super::{processors, threads};
    use crate::nt::{self, ExecutionContext};

    /// The processor or the thread on which a run begins, and on which it stays to its end.
    #[derive(Clone, Copy)]
    pub(crate) struct Here(ExecutionContext);

    impl Here {
        pub(crate) fn new() -> Self {
            Self(nt::execution_context())
        }

        /// Counts a run, or a poll that a task has woken itself for. Returns true if it must be
        /// deferred, so that the processor leaves its DPCs. Always false below DISPATCH_LEVEL.
        pub(crate) fn should_yield(self) -> bool {
            match self.0 {
                ExecutionContext::Processor(processor) => processors::should_yield(processor),
                ExecutionContext::Thread(_) | ExecutionContext::Interrupt => false,
            }
        }
    }

    /// Calls `f` on this processor or thread. Until it returns, [`ambient`] returns `pointer`, on
    /// this processor at DISPATCH_LEVEL, and in this thread below it if there is a link.
    pub(crate) fn with_ambient<R>(
        here: Here,
        pointer: *const (),
        link: Option<&ThreadLink>,
        f: impl FnOnce() -> R,
    ) -> R {
        match (here.0, link) {
            (ExecutionContext::Processor(processor), _) => processors::with(processor, pointer, f),
            (ExecutionContext::Thread(thread), Some(link)) => threads::with(thread, link, pointer, f),
            _ => f(),
        }
    }

    /// Returns the pointer of the innermost [`with_ambient`] here that has not returned, or null.
    pub(crate) fn ambient() -> *const () {
        match nt::execution_context() {
            ExecutionContext::Processor(processor) => processors::get(processor),
            ExecutionContext::Thread(thread) => threads::get(thread),
            ExecutionContext::Interrupt => ptr::null(),
        }
    }
}

#[cfg(not(kernel))]
mod ambient {
    //! Stubs for builds without a kernel, where a task can only be in a test's thread.
    #[cfg(any(loom, test))]
    pub(crate) use in_tests::{ambient, with_ambient};
    #[cfg(not(any(loom, test)))]
    pub(crate) use unsupported::{ambient, with_ambient};

    /// The link of a thread, which is empty without a kernel.
    pub(crate) struct ThreadLink(());

    /// The place of a run, which is a test's thread and need not yield to others.
    #[derive(Clone, Copy)]
    pub(crate) struct Here(());

    impl Here {
        pub(crate) const fn new() -> Self {
            Self(())
        }

        pub(crate) const fn should_yield(self) -> bool {
            false
        }
    }

    #[cfg(all(test, loom))]
    impl ThreadLink {
        pub(crate) fn new() -> Self {
            Self(())
        }
    }

    #[cfg(any(loom, test))]
    mod in_tests {
        use core::cell::Cell;

        use super::{Here, ThreadLink};

        #[cfg(loom)]
        loom::thread_local! {
            static SLOT: Cell<*const ()> = Cell::new(core::ptr::null());
        }

        #[cfg(all(test, not(loom)))]
        std::thread_local! {
            static SLOT: Cell<*const ()> = const { Cell::new(core::ptr::null()) };
        }

        pub(crate) fn with_ambient<R>(
            _here: Here,
            pointer: *const (),
            _link: Option<&ThreadLink>,
            f: impl FnOnce() -> R,
        ) -> R {
            SLOT.with(|slot| {
                let outer = slot.replace(pointer);
                let result = f();
                slot.set(outer);
                result
            })
        }

        pub(crate) fn ambient() -> *const () {
            SLOT.with(Cell::get)
        }
    }

    #[cfg(not(any(loom, test)))]
    mod unsupported {
        use super::{Here, ThreadLink};

        pub(crate) fn with_ambient<R>(
            _here: Here,
            _pointer: *const (),
            _link: Option<&ThreadLink>,
            f: impl FnOnce() -> R,
        ) -> R {
            f()
        }

        pub(crate) fn ambient() -> *const () {
            core::ptr::null()
        }
    }
}
