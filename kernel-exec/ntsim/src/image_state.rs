//! A driver's statics, a set for each simulated kernel.

extern crate alloc;

use alloc::{alloc::alloc, alloc::dealloc, alloc::handle_alloc_error, vec::Vec};
use core::{alloc::Layout, any::TypeId, cell::RefCell, ops::Range, ptr::NonNull};

/// The storage of a type's state.
#[derive(Debug)]
struct StoredState {
    of: TypeId,
    layout: Layout,
    memory: NonNull<u8>,
    /// Whether it holds a value of this simulation. Memory is kept over a reset, values are not.
    live: bool,
}

/// All states. Like statics in NT, they are never dropped; only their memory is freed.
#[derive(Debug, Default)]
pub(crate) struct ImageState {
    stored: RefCell<Vec<StoredState>>,
}

impl ImageState {
    /// Forgets the values.
    pub(crate) fn reset(&self) {
        for state in self.stored.borrow_mut().iter_mut() {
            state.live = false;
        }
    }

    /// This kernel's `T`. If it is new, `made` is called with its addresses.
    #[inline]
    pub(crate) fn get<T: Default + 'static>(&self, made: impl FnOnce(Range<usize>)) -> *const T {
        match self.find(TypeId::of::<T>()) {
            Some((memory, true)) => memory.as_ptr().cast(),
            found => {
                let new = self.create::<T>(found.map(|(memory, _)| memory));
                made(new.addr()..new.addr() + size_of::<T>());
                new
            }
        }
    }

    fn find(&self, of: TypeId) -> Option<(NonNull<u8>, bool)> {
        self.stored.borrow().iter().find(|state| state.of == of).map(|state| (state.memory, state.live))
    }

    #[cold]
    fn create<T: Default + 'static>(&self, memory: Option<NonNull<u8>>) -> *const T {
        // No borrow is open here, because `T::default` may ask for other states.
        let value = T::default();
        let layout = Layout::new::<T>();
        let memory = match memory {
            Some(memory) => memory,
            None if layout.size() == 0 => NonNull::<T>::dangling().cast(),
            None => {
                // SAFETY: the size is not zero.
                let memory = unsafe { alloc(layout) };
                NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
            }
        };
        // SAFETY: the memory was allocated with this layout, and holds no value.
        unsafe { memory.cast::<T>().write(value) };
        let of = TypeId::of::<T>();
        let mut stored = self.stored.borrow_mut();
        match stored.iter_mut().find(|state| state.of == of) {
            Some(state) => state.live = true,
            None => stored.push(StoredState { of, layout, memory, live: true }),
        }
        memory.cast::<T>().as_ptr()
    }
}

impl Drop for ImageState {
    fn drop(&mut self) {
        for state in self.stored.borrow_mut().drain(..) {
            if state.layout.size() != 0 {
                // SAFETY: the memory comes from `create`, with this layout. The simulation is over,
                // so no code uses it.
                unsafe { dealloc(state.memory.as_ptr(), state.layout) }
            }
        }
    }
}
