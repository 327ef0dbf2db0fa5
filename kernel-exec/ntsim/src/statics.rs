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

extern crate alloc;

use alloc::{alloc::alloc, alloc::handle_alloc_error, boxed::Box, vec::Vec};
use core::{
    alloc::Layout,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};

// parking_lot's mutex, not std's, because ThreadSanitizer has to see its operations, and std is not
// compiled for it.
use parking_lot::Mutex;

use crate::{
    engine::machine::{active, mine},
    image_range::in_image,
};

/// The number of a kernel's chains of copies.
const CHAINS: usize = 64;

/// A copy of a static, or of a part of one.
struct Copy {
    original: usize,
    layout: Layout,
    memory: NonNull<u8>,
    /// Whether the copy holds a value of this simulation.
    live: AtomicBool,
    next: AtomicPtr<Copy>,
}

// SAFETY: the memory belongs to the copy, and threads share its value as they share the static.
unsafe impl Send for Copy {}

/// The copies of one kernel.
pub(crate) struct Copies {
    chains: [AtomicPtr<Copy>; CHAINS],
    /// Held while a copy is made.
    making: Mutex<()>,
}

/// The copies for code outside of every simulation.
static OUTSIDE: Copies = Copies::new();
/// Copies of simulations that have ended.
#[expect(clippy::vec_box, reason = "a chain links copies by their addresses")]
static SPARE: Mutex<Vec<Box<Copy>>> = Mutex::new(Vec::new());

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

impl Copies {
    pub(crate) const fn new() -> Self {
        Self {
            chains: [const { AtomicPtr::new(ptr::null_mut()) }; CHAINS],
            making: parking_lot::const_mutex(()),
        }
    }

    /// The chain with the copies of this address.
    fn chain(&self, original: usize) -> &AtomicPtr<Copy> {
        let [first, ..] = &self.chains;
        self.chains.get((original >> 3) % CHAINS).unwrap_or(first)
    }

    /// The copy of a static of this layout, and whether it is new.
    fn of(&self, original: NonNull<u8>, layout: Layout) -> (NonNull<u8>, bool) {
        let chain = self.chain(original.addr().get());
        match find_in(chain, original.addr().get(), layout) {
            Some(copy) if copy.live.load(Ordering::Acquire) => (copy.memory, false),
            _ => self.make(chain, original, layout),
        }
    }

    #[cold]
    fn make(&self, chain: &AtomicPtr<Copy>, original: NonNull<u8>, layout: Layout) -> (NonNull<u8>, bool) {
        let making = self.making.lock();
        let copy = match find_in(chain, original.addr().get(), layout) {
            Some(copy) if copy.live.load(Ordering::Acquire) => return (copy.memory, false),
            Some(copy) => copy,
            None => push(chain, Copy::take(original.addr().get(), layout)),
        };
        // SAFETY: both places have this layout's size. Nothing writes to the static, and nothing
        // reads a copy that is not live.
        unsafe { copy.memory.copy_from_nonoverlapping(original, layout.size()) };
        copy.live.store(true, Ordering::Release);
        drop(making);
        (copy.memory, true)
    }

    /// Forgets all values, so that the next access to a static starts with the loaded value.
    pub(crate) fn reset(&self) {
        for chain in &self.chains {
            let mut next = chain;
            while let Some(copy) = head(next) {
                copy.live.store(false, Ordering::Release);
                next = &copy.next;
            }
        }
    }
}

/// The first copy of a chain.
fn head(chain: &AtomicPtr<Copy>) -> Option<&Copy> {
    // SAFETY: the pointer is null or comes from `push`, and a chain is taken apart only when its
    // machine is dropped.
    unsafe { chain.load(Ordering::Acquire).as_ref() }
}

fn find_in(chain: &AtomicPtr<Copy>, original: usize, layout: Layout) -> Option<&Copy> {
    let mut next = chain;
    while let Some(copy) = head(next) {
        if copy.original == original && copy.layout == layout {
            return Some(copy);
        }
        next = &copy.next;
    }
    None
}

/// Puts a copy in front of the others. The caller holds `making`.
fn push(chain: &AtomicPtr<Copy>, copy: Box<Copy>) -> &Copy {
    copy.next.store(chain.load(Ordering::Relaxed), Ordering::Relaxed);
    let copy = Box::into_raw(copy);
    chain.store(copy, Ordering::Release);
    // SAFETY: the pointer comes from the box, and is freed with its chain only.
    unsafe { &*copy }
}

impl Copy {
    /// Memory for a copy, from a simulation that has ended or fresh.
    fn take(original: usize, layout: Layout) -> Box<Self> {
        let mut spare = SPARE.lock();
        let found = spare.iter().position(|copy| copy.original == original && copy.layout == layout);
        match found {
            Some(position) => spare.swap_remove(position),
            None => Box::new(Self {
                original,
                layout,
                memory: allocate(layout),
                live: AtomicBool::new(false),
                next: AtomicPtr::new(ptr::null_mut()),
            }),
        }
    }
}

/// Allocates memory of a layout with a size other than zero.
fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: `own` asks only for copies of values with a size.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Drop for Copies {
    fn drop(&mut self) {
        self.reset();
        let mut spare = SPARE.lock();
        for chain in &self.chains {
            let mut next = chain.load(Ordering::Relaxed);
            while !next.is_null() {
                // SAFETY: the copy comes from `push`, and is in this chain only.
                let copy = unsafe { Box::from_raw(next) };
                next = copy.next.load(Ordering::Relaxed);
                spare.push(copy);
            }
        }
    }
}
