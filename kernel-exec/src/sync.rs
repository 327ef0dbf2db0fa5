//! The shim: the only file that names core's atomics, `UnsafeCell`, or loom.
//!
//! Under `sim` every access is a preemption point of the simulated kernel, which also looks for data races; under
//! `cfg(loom)` the types are loom's; else they are core's.

pub(crate) use core::sync::atomic::Ordering;

#[cfg(loom)]
pub(crate) use loom::{cell::UnsafeCell, sync::atomic::AtomicUsize};
#[cfg(kernel = "sim")]
pub(crate) use ntsim::sync::{AtomicUsize, UnsafeCell};
#[cfg(not(any(loom, kernel = "sim")))]
pub(crate) use plain::{AtomicUsize, UnsafeCell};

/// A constructor that may make statics: loom's types are made at run time only.
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

    /// Core's `UnsafeCell` with loom's way to it.
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
    }
}

#[cfg(kernel)]
pub(crate) use kernel_cell::KernelCell;

#[cfg(kernel)]
mod kernel_cell {
    /// Memory that the kernel, or whoever holds a kernel lock, writes: only its address is ever taken.
    #[repr(transparent)]
    #[derive(Default)]
    pub(crate) struct KernelCell<T>(core::cell::UnsafeCell<T>);

    impl<T> KernelCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        pub(crate) const fn get(&self) -> *mut T {
            self.0.get()
        }
    }
}

#[cfg(kernel)]
pub(crate) use image::image_static;
pub(crate) use slots::with_processor_slot;

#[cfg(kernel = "sim")]
mod image {
    //! A driver's statics: one set a simulated kernel, so that kernels in different threads do not see one another.

    /// Simulated kernels have at most this many processors.
    pub(super) const PROCESSORS: usize = 64;

    /// Declares a function that calls its argument with a static of this image.
    macro_rules! image_static {
        ($(#[$doc:meta])* $visibility:vis fn $name:ident -> $type:ty) => {
            $(#[$doc])*
            $visibility fn $name<R>(f: impl FnOnce(&$type) -> R) -> R {
                let image = ntsim::image_state::<$type>();
                // SAFETY: the simulated kernel keeps it, at this address, longer than any of its programs run.
                f(unsafe { &*image })
            }
        };
    }
    pub(crate) use image_static;
}

#[cfg(kernel = "wdk")]
mod image {
    //! A driver's statics: statics. An image is one driver, and has one set.

    /// 32 groups of 64: as many processors as Windows has room for. 16 KiB of the image's zeroed data.
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
mod slots {
    //! A pointer for each processor.
    use core::cell::Cell;

    use super::image::{PROCESSORS, image_static};
    use crate::{
        fail::{FailFast, fail_fast},
        nt,
    };

    /// Each is only touched at DISPATCH_LEVEL, by its processor.
    struct Slots([Cell<*const ()>; PROCESSORS]);

    // SAFETY: `with_processor_slot` hands each processor its own slot, and the processor cannot switch threads meanwhile.
    unsafe impl Sync for Slots {}

    impl Slots {
        const fn new() -> Self {
            Self([const { Cell::new(core::ptr::null()) }; PROCESSORS])
        }
    }

    impl Default for Slots {
        fn default() -> Self {
            Self::new()
        }
    }

    image_static! {
        /// The slots of this image.
        fn with_slots -> Slots
    }

    /// The slot of the processor that the caller cannot leave, because it runs at DISPATCH_LEVEL; else none.
    ///
    /// A processor that has no slot stops the machine: a body polled without one would not see that it is cancelled, and its
    /// cleanup would be left out `[C10]`.
    pub(crate) fn with_processor_slot<R>(f: impl FnOnce(Option<&Cell<*const ()>>) -> R) -> R {
        let Some(processor) = nt::processor_at_dispatch() else { return f(None) };
        with_slots(|slots| match slots.0.get(processor) {
            Some(slot) => f(Some(slot)),
            None => fail_fast(FailFast::Processor),
        })
    }
}

#[cfg(not(kernel))]
mod slots {
    //! Without a kernel a task can only be in a test's thread.
    use core::cell::Cell;

    #[cfg(loom)]
    loom::thread_local! {
        static SLOT: Cell<*const ()> = Cell::new(core::ptr::null());
    }

    #[cfg(all(test, not(loom)))]
    std::thread_local! {
        static SLOT: Cell<*const ()> = const { Cell::new(core::ptr::null()) };
    }

    #[cfg(any(loom, test))]
    pub(crate) fn with_processor_slot<R>(f: impl FnOnce(Option<&Cell<*const ()>>) -> R) -> R {
        SLOT.with(|slot| f(Some(slot)))
    }

    #[cfg(not(any(loom, test)))]
    pub(crate) fn with_processor_slot<R>(f: impl FnOnce(Option<&Cell<*const ()>>) -> R) -> R {
        f(None)
    }
}
