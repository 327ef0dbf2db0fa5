//! The worlds of runs.

use core::{
    cell::{Cell, RefCell},
    mem::ManuallyDrop,
    ops::Deref,
    ptr,
};
use std::rc::Rc;

/// The world of a thread's run. Each run has a new one.
#[derive(Default)]
pub(crate) struct CurrentWorld<W>(RefCell<Rc<W>>);

impl<W: Default> CurrentWorld<W> {
    /// Calls `f` with the world.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&W) -> R) -> R {
        let world = Rc::clone(&self.0.borrow());
        f(&world)
    }

    /// Begins a run with a new world. Nothing remains of the last run, unless it was stopped and
    /// forgotten.
    pub(crate) fn begin(&self) {
        drop(self.0.take());
    }

    /// Forgets a run that was stopped. Its remains refer to a kernel that has stopped. They are
    /// leaked, because none of its code may be called any more.
    pub(crate) fn forget(&self) {
        let _leaked = ManuallyDrop::new(self.0.take());
    }
}

/// A pointer of a world. It is null until it is set.
pub struct Pointer<T>(Cell<*mut T>);

impl<T> Default for Pointer<T> {
    fn default() -> Self {
        Self(Cell::new(ptr::null_mut()))
    }
}

impl<T> Deref for Pointer<T> {
    type Target = Cell<*mut T>;

    fn deref(&self) -> &Cell<*mut T> {
        &self.0
    }
}

/// The steps of a run.
#[derive(Default)]
pub struct Steps {
    tried: Cell<u64>,
    live: Cell<u64>,
}

impl Steps {
    /// Counts a step that was tried.
    pub fn tried(&self) {
        self.tried.set(self.tried.get() + 1);
    }

    /// Counts a step that reached a live object.
    pub fn reached(&self) {
        self.live.set(self.live.get() + 1);
    }

    /// The steps that were tried, and those of them that reached a live object.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.tried.get(), self.live.get())
    }
}
