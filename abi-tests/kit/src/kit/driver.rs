//! The driver's part of an operation. It has the gates that the body waits for, wakers and cancel
//! handles.

use core::{ffi::c_void, ptr};

use super::Kit;
use crate::{
    body::{self, Calls},
    finding::{Check, Finding},
};

impl Kit<'_> {
    /// Opens a gate that bodies wait for.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn open(&self, gate: usize) -> Check {
        self.0.trail.add(format!("gate {gate} is opened"));
        body::open_gate(self.0, gate);
        self.then(())
    }

    /// The number of wakers that an operation's body has given away.
    #[must_use]
    pub fn wakers(&self, operation: usize) -> usize {
        self.0.stash.borrow().iter().filter(|(owner, _)| *owner == operation).count()
    }

    fn take_waker(&self, operation: usize) -> Option<*mut c_void> {
        let mut stash = self.0.stash.borrow_mut();
        let index = stash.iter().position(|(owner, _)| *owner == operation)?;
        Some(stash.remove(index).1)
    }

    /// Wakes with a waker that an operation's body has given away. Drops the waker unless it wakes
    /// by reference. False if there is no waker.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn wake(&self, operation: usize, by_ref: bool) -> Result<bool, Finding> {
        let Some(waker) = self.take_waker(operation) else { return self.then(false) };
        self.0
            .trail
            .add(format!("operation {operation} is woken{}", if by_ref { " by reference" } else { "" }));
        if by_ref {
            Calls(self.0).wake_waker_by_ref(waker);
            self.0.stash.borrow_mut().push((operation, waker));
        } else {
            Calls(self.0).wake_waker(waker);
        }
        self.then(true)
    }

    /// Clones a waker that an operation's body has given away.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn clone_waker(&self, operation: usize) -> Result<bool, Finding> {
        let Some(waker) = self.take_waker(operation) else { return self.then(false) };
        self.0.trail.add(format!("a waker of operation {operation} is cloned"));
        let clone = Calls(self.0).clone_waker(waker);
        self.0.stash.borrow_mut().extend([(operation, waker), (operation, clone)]);
        self.then(true)
    }

    /// Drops a waker that an operation's body has given away.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn drop_waker(&self, operation: usize) -> Result<bool, Finding> {
        let Some(waker) = self.take_waker(operation) else { return self.then(false) };
        self.0.trail.add(format!("a waker of operation {operation} is dropped"));
        Calls(self.0).drop_waker(waker);
        self.then(true)
    }

    fn take_handle(&self, operation: usize) -> Option<*mut c_void> {
        let mut handles = self.0.handles.borrow_mut();
        let index = handles.iter().position(|(owner, _)| *owner == operation)?;
        Some(handles.remove(index).1)
    }

    /// Cancels through an operation's handle.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn handle_cancel(&self, operation: usize) -> Check {
        let Some(handle) = self.take_handle(operation) else { return self.then(()) };
        self.0.trail.add(format!("operation {operation} is cancelled through a handle"));
        self.0.slot(operation, |slot| slot.asked = true);
        if let Some(cancel) = self.table().handle_cancel.filter(|_| !handle.is_null()) {
            // SAFETY: the kit owns this handle.
            self.0.during("handle_cancel", || unsafe { cancel(handle) });
        }
        self.0.handles.borrow_mut().push((operation, handle));
        self.then(())
    }

    /// Clones an operation's handle.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn handle_clone(&self, operation: usize) -> Check {
        let Some(handle) = self.take_handle(operation) else { return self.then(()) };
        self.0.trail.add(format!("a handle of operation {operation} is cloned"));
        let clone = match self.table().handle_clone {
            Some(clone) if !handle.is_null() => {
                // SAFETY: the kit owns this handle.
                self.0.during("handle_clone", || unsafe { clone(handle) })
            }
            _ => ptr::null_mut(),
        };
        self.0.handles.borrow_mut().extend([(operation, handle), (operation, clone)]);
        self.then(())
    }

    /// Drops an operation's handle.
    ///
    /// # Errors
    /// A breach that the bodies have seen.
    pub fn handle_drop(&self, operation: usize) -> Check {
        let Some(handle) = self.take_handle(operation) else { return self.then(()) };
        self.0.trail.add(format!("a handle of operation {operation} is dropped"));
        if let Some(drop) = self.table().handle_drop.filter(|_| !handle.is_null()) {
            // SAFETY: the kit owns this handle, and gives it up.
            self.0.during("handle_drop", || unsafe { drop(handle) });
        }
        self.then(())
    }
}
