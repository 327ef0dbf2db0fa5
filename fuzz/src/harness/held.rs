//! Objects that the clients and the bodies of a run keep.

use core::{cell::RefCell, task::Waker};

use ntcom_fuzz_model::limits::{HANDLES, STASH};
use ntsim::trace::MarkKind;

/// Objects of one kind, each with the number of its task or operation.
pub struct HeldList<T>(RefCell<Vec<(usize, T)>>);

/// The largest number of objects in a list.
const MOST: usize = STASH;
const _: () = assert!(MOST == HANDLES, "wakers and handles have lists of one size");

impl<T> Default for HeldList<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T> HeldList<T> {
    /// Adds an object. Returns it if there is no room.
    #[must_use]
    pub fn keep(&self, number: usize, object: T) -> Option<T> {
        let mut objects = self.0.borrow_mut();
        if objects.len() >= MOST {
            return Some(object);
        }
        objects.push((number, object));
        None
    }

    /// Adds an object, or drops it if there is no room.
    pub fn put(&self, number: usize, object: T) {
        drop(self.keep(number, object));
    }

    /// Adds an object, even if there is no room.
    pub fn push(&self, number: usize, object: T) {
        self.0.borrow_mut().push((number, object));
    }

    /// Takes the n-th object, modulo their number.
    #[must_use]
    pub fn take(&self, n: u8) -> Option<(usize, T)> {
        let mut objects = self.0.borrow_mut();
        let index = usize::from(n).checked_rem(objects.len())?;
        Some(objects.remove(index))
    }

    /// Takes all objects.
    #[must_use]
    pub fn take_all(&self) -> Vec<(usize, T)> {
        self.0.take()
    }

    /// Calls `f` with the n-th object, modulo their number.
    pub fn nth<R>(&self, n: u8, f: impl FnOnce(&(usize, T)) -> R) -> Option<R> {
        let objects = self.0.borrow();
        let index = usize::from(n).checked_rem(objects.len())?;
        objects.get(index).map(f)
    }

    /// The number of the task or operation of the n-th object.
    #[must_use]
    pub fn owner(&self, n: u8) -> Option<usize> {
        self.nth(n, |(number, _)| *number)
    }

    /// The number of the task or operation of an object.
    #[must_use]
    pub fn owner_of(&self, object: &T) -> Option<usize>
    where
        T: PartialEq,
    {
        self.0.borrow().iter().find(|(_, known)| known == object).map(|(number, _)| *number)
    }

    /// Whether there are no objects.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

impl<T: Clone> HeldList<T> {
    /// Clones the n-th object. Returns its number.
    pub fn clone_nth(&self, n: u8) -> Option<usize> {
        let (number, object) = self.take(n)?;
        let clone = object.clone();
        self.put(number, object);
        self.put(number, clone);
        Some(number)
    }
}

impl HeldList<Waker> {
    /// Wakes with the n-th waker, by value or by reference. Returns its number.
    pub fn wake(&self, n: u8, by_ref: bool, mark: fn(MarkKind, usize, &'static str)) -> Option<usize> {
        let (number, waker) = self.take(n)?;
        mark(MarkKind::Wake, number, "by a stashed waker");
        if by_ref {
            waker.wake_by_ref();
            self.put(number, waker);
        } else {
            waker.wake();
        }
        Some(number)
    }
}
