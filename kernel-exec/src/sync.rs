//! The shim: the only file that names core's atomics, `UnsafeCell`, or loom.
//!
//! Under `sim` every access is a preemption point of the simulated kernel, which also looks for data races; under
//! `cfg(loom)` the types are loom's; else they are core's.

pub(crate) use core::sync::atomic::Ordering;

#[cfg(loom)]
pub(crate) use loom::{cell::UnsafeCell, sync::atomic::AtomicUsize};
#[cfg(all(not(loom), feature = "sim"))]
pub(crate) use ntsim::sync::{AtomicUsize, UnsafeCell};
#[cfg(all(not(loom), not(feature = "sim")))]
pub(crate) use plain::{AtomicUsize, UnsafeCell};

#[cfg(all(not(loom), not(feature = "sim")))]
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

#[cfg(all(feature = "sim", not(loom)))]
pub(crate) use kernel_cell::KernelCell;

#[cfg(all(feature = "sim", not(loom)))]
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

pub(crate) use image::with_ambient_slot;
#[cfg(all(feature = "sim", not(loom)))]
pub(crate) use image::with_image;

#[cfg(all(feature = "sim", not(loom)))]
mod image {
    //! A driver's statics, one set a simulated kernel.
    use core::cell::Cell;

    use crate::{ambient::Node, image::Image, nt};

    pub(crate) fn with_image<R>(f: impl FnOnce(&Image) -> R) -> R {
        let image = ntsim::image_state::<Image>();
        // SAFETY: the simulated kernel keeps it, at this address, longer than any of its programs run.
        f(unsafe { &*image })
    }

    /// Where the node of the task that this processor is in stands; none where no task can be.
    pub(crate) fn with_ambient_slot<R>(f: impl FnOnce(Option<&Cell<*const Node>>) -> R) -> R {
        match nt::processor_at_dispatch() {
            Some(processor) => with_image(|image| f(image.ambient(processor))),
            None => f(None),
        }
    }
}

#[cfg(any(loom, not(feature = "sim")))]
mod image {
    //! Without a kernel a task can only be in a test's thread.
    use core::cell::Cell;

    use crate::ambient::Node;

    #[cfg(loom)]
    loom::thread_local! {
        static SLOT: Cell<*const Node> = Cell::new(core::ptr::null());
    }

    #[cfg(all(test, not(loom)))]
    std::thread_local! {
        static SLOT: Cell<*const Node> = const { Cell::new(core::ptr::null()) };
    }

    #[cfg(any(loom, test))]
    pub(crate) fn with_ambient_slot<R>(f: impl FnOnce(Option<&Cell<*const Node>>) -> R) -> R {
        SLOT.with(|slot| f(Some(slot)))
    }

    #[cfg(not(any(loom, test)))]
    pub(crate) fn with_ambient_slot<R>(f: impl FnOnce(Option<&Cell<*const Node>>) -> R) -> R {
        f(None)
    }
}
