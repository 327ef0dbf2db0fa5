//! The copies of statics that belong to one simulated kernel.

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

/// Copies of simulations that have ended.
#[expect(clippy::vec_box, reason = "a chain links copies by their addresses")]
static SPARE: Mutex<Vec<Box<Copy>>> = Mutex::new(Vec::new());

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
    pub(super) fn of(&self, original: NonNull<u8>, layout: Layout) -> (NonNull<u8>, bool) {
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
