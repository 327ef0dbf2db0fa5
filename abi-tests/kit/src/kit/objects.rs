//! Objects with methods.

use core::{ffi::c_void, ptr};

use ntcom::{IUnknownRaw, IUnknownVtbl, Interface, NTSTATUS};

use super::Kit;
use crate::{
    check,
    client::{UNSUPPORTED, answered, slot, table},
    ensure,
    finding::Finding,
    rule::Rule,
    world::{self, Object},
};

impl Kit<'_> {
    /// Makes an object with methods.
    ///
    /// # Errors
    /// The object is null, or the bodies have seen a breach.
    pub fn object(&self) -> Result<usize, Finding> {
        let world = self.0;
        let number = world.objects.borrow().len();
        world.objects.borrow_mut().push(Object { this: ptr::null_mut(), references: 1, drops: 0, number });
        world.trail.add(format!("object {number} is made"));
        let context = ptr::without_provenance_mut(number + 1);
        // SAFETY: the header lets the kit pass this function with its context.
        let this = self.table().object.map(|object| unsafe { object(object_dropped, context) });
        let this = this.unwrap_or(ptr::null_mut());
        ensure!(C19, !this.is_null(), "the library makes no object, though there is memory");
        world.objects.borrow_mut()[number].this = this;
        self.then(number)
    }

    fn object_table(&self, object: usize) -> Result<(*mut c_void, IUnknownVtbl), Finding> {
        let this = self.0.objects.borrow()[object].this;
        // SAFETY: the kit has a reference to this object.
        Ok((this, unsafe { table(this, Rule::C1) }?))
    }

    fn object_owns(&self, object: usize, by: i32) {
        let mut objects = self.0.objects.borrow_mut();
        objects[object].references = objects[object].references.saturating_add_signed(by);
    }

    /// `AddRef` of an object. Returns whether it answers 0.
    ///
    /// # Errors
    /// A slot is null, or the bodies have seen a breach.
    pub fn object_add_ref(&self, object: usize) -> Result<bool, Finding> {
        let (this, table) = self.object_table(object)?;
        let add_ref = slot(table.AddRef, Rule::C3, "AddRef")?;
        self.0.trail.add(format!("AddRef of object {object}"));
        // SAFETY: the kit has a reference.
        let count = self.0.during("AddRef of an object", || unsafe { add_ref(this) });
        self.object_owns(object, 1);
        self.then(count == 0)
    }

    /// `Release` of an object. Returns whether it answers 0.
    ///
    /// # Errors
    /// The errors of [`Self::object_add_ref`].
    pub fn object_release(&self, object: usize) -> Result<bool, Finding> {
        let (this, table) = self.object_table(object)?;
        let release = slot(table.Release, Rule::C3, "Release")?;
        self.object_owns(object, -1);
        self.0.trail.add(format!("Release of object {object}"));
        // SAFETY: the call consumes the kit's reference.
        let count = self.0.during("Release of an object", || unsafe { release(this) });
        self.then(count == 0)
    }

    /// `QueryInterface` of an object, for IUnknown or for an interface that no object has.
    ///
    /// # Errors
    /// The errors of [`Self::object_add_ref`], or the pointer does not fit the answer.
    pub fn object_query(&self, object: usize, known: bool) -> Result<NTSTATUS, Finding> {
        let (this, table) = self.object_table(object)?;
        let query = slot(table.QueryInterface, Rule::C1, "QueryInterface")?;
        let iid = if known { IUnknownRaw::IID } else { UNSUPPORTED };
        let mut out = this.wrapping_byte_add(1);
        self.0.trail.add(format!("QueryInterface of object {object} for {iid}"));
        // SAFETY: the kit has a reference. Both pointers are valid.
        let status = answered(self.0, unsafe { query(this, &raw const iid, &raw mut out) });
        let success = status == NTSTATUS::SUCCESS;
        self.object_owns(object, success.into());
        let expected = if success { this } else { ptr::null_mut() };
        check!(
            self,
            C1,
            out == expected,
            "QueryInterface of an object for {iid} answers {status} and leaves another pointer than it should"
        );
        self.then(status)
    }

    /// How often an object has been dropped.
    #[must_use]
    pub fn object_drops(&self, object: usize) -> u32 {
        self.0.objects.borrow().get(object).map_or(0, |object| object.drops)
    }
}

unsafe extern "C" fn object_dropped(context: *mut c_void) {
    world::with(|world| {
        let number = context.addr().wrapping_sub(1);
        world.trail.add(format!("  object {number} is dropped"));
        let object = world.objects.borrow_mut().get_mut(number).map(|object| {
            object.drops += 1;
            *object
        });
        let Some(object) = object else {
            world::stray_call("what tells that an object is dropped");
            world.breach(Rule::C19, "an object is dropped with another's context".to_owned());
            return;
        };
        if object.drops > 1 {
            world.breach(Rule::C3, format!("object {number} is dropped a second time"));
        }
        if object.references > 0 {
            world.breach(Rule::C3, format!("object {number} is dropped while a client holds it"));
        }
        let body = world.slots.borrow().iter().position(|slot| {
            slot.object == Some(number) && !slot.bodyless && !slot.spawning && slot.record.drops == 0
        });
        if let Some(operation) = body {
            let why = format!("object {number} is dropped while the body of operation {operation} lives");
            world.breach(Rule::C19, why);
        }
    });
}
