//! A driver's statics. Each simulated kernel has its own copies of them.
//!
//! NT loads an image once, so a static belongs to the driver. A test program is loaded once, too,
//! but its tests simulate many kernels, one after the other and at the same time. So each value of
//! `sync` in a static is used through a copy that belongs to the calling thread's simulated kernel.
//! A copy begins with the bytes that the program was loaded with. Nothing writes to the static
//! itself, because code outside of every simulation has a set of copies of its own. Copies are
//! never dropped, as statics are not.
//!
//! Code may hold a reference to a copy beyond its simulation. So the memory of a copy belongs to
//! the same static as long as the process lives, and the next simulated kernel takes it over.

pub(crate) mod copies;

use core::{
    alloc::Layout,
    ptr::{self, NonNull},
};

use self::copies::Copies;
use crate::{
    engine::{entry::mine, machine::active},
    image_range::in_image,
};

/// The copies for code outside of every simulation.
static OUTSIDE: Copies = Copies::new();

/// The calling thread's copy of `place` if `place` lies in a static, else `place` itself.
///
/// The copy belongs to the simulated kernel of the calling thread. Without one it belongs to the
/// code outside of all simulations. Statics are recognised on Linux and Windows hosts; on others
/// all simulated kernels of a process share a static.
///
/// # Safety
/// If `place` lies in a static, it must have the value that the static was declared with. It does
/// if all code writes to it through the result of this function. A value that is made while the
/// program runs, as in a `OnceLock`, may own memory. Each of its copies would own that memory, too.
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// use ntsim::{Config, Schedule, Simulation};
///
/// static OPENED: AtomicU32 = AtomicU32::new(0);
///
/// for _ in 0..2 {
///     let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
///     kernel.run_on(0, || {
///         // SAFETY: nothing else uses the static.
///         let opened = unsafe { ntsim::own(&OPENED) };
///         assert_eq!(opened.fetch_add(1, Relaxed), 0);
///     })?;
/// }
/// # Ok::<(), ntsim::Stop>(())
/// ```
#[inline(always)]
pub unsafe fn own<T>(place: &T) -> &T {
    if size_of::<T>() != 0 && in_image(ptr::from_ref(place).addr()) { find(place) } else { place }
}

#[cold]
#[inline(never)]
fn find<T>(place: &T) -> &T {
    let copies = mine().map_or(&OUTSIDE, |machine| &machine.statics);
    let (copy, is_new) = copies.of(NonNull::from_ref(place).cast(), layout_of(place));
    if is_new && let Some(machine) = active() {
        let start = copy.addr().get();
        machine.forget_names(start..start + size_of::<T>());
    }
    // SAFETY: `of` returns memory of this layout that holds a copy of this `T`, and never frees it.
    unsafe { copy.cast().as_ref() }
}

/// The layout of a copy. A part of a static may rely on the alignment of the whole, so the copy has
/// the alignment of the part's address, up to a page.
fn layout_of<T>(place: &T) -> Layout {
    const PAGE: usize = 4096;
    let address = ptr::from_ref(place).addr() | PAGE;
    let layout = Layout::new::<T>();
    layout.align_to(1 << address.trailing_zeros()).unwrap_or(layout)
}
