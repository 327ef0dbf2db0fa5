//! IAsyncControl, which is optional for other implementations.

use core::ptr;

use ntcom::{AsyncControlRaw, IUnknownVtbl, Interface, NTSTATUS};
use ntcom_fuzz_model::{ops::Via, script::Script, value::ValueKind};

use super::{Kit, Spawn};
use crate::{
    client::{slot, table},
    ensure,
    finding::{Check, Finding},
    rule::Rule,
};

impl Kit<'_> {
    /// Whether an operation answers a query for IAsyncControl. Its reference is released again.
    pub(crate) fn asks_for_control(&self, operation: usize) -> Result<bool, Finding> {
        let this = self.0.slot(operation, |slot| slot.operation);
        // SAFETY: `this` is the first interface of a living operation.
        let unknown: IUnknownVtbl = unsafe { table(this, Rule::C1) }?;
        let query = slot(unknown.QueryInterface, Rule::C1, "QueryInterface")?;
        let mut out = ptr::null_mut();
        self.0.trail.add(format!("QueryInterface of operation {operation} for IAsyncControl"));
        // SAFETY: the kit has a reference. Both pointers are valid.
        let status = unsafe { query(this, &AsyncControlRaw::IID, &raw mut out) };
        if status == NTSTATUS::SUCCESS {
            let release = slot(unknown.Release, Rule::C3, "Release")?;
            // SAFETY: the query above gave this reference.
            let left = unsafe { release(this) };
            ensure!(C1, left != 0, "what QueryInterface gave was no reference: a Release of it answers 0");
        }
        let lacks = matches!(status.to_u32(), NO_INTERFACE | E_NOINTERFACE) && out.is_null();
        Ok(!lacks)
    }

    /// The interfaces through which IUnknown's slots are called.
    #[must_use]
    pub fn vias(&self) -> &'static [Via] {
        if self.has_control() { &[Via::Operation, Via::Control] } else { &[Via::Operation] }
    }

    /// Whether operations have IAsyncControl.
    #[must_use]
    pub fn has_control(&self) -> bool {
        self.0.controls.get()
    }

    /// Whether operations can be cancelled, through IAsyncControl or by a handle.
    #[must_use]
    pub fn can_cancel(&self) -> bool {
        self.has_control() || self.table().handle_cancel.is_some()
    }

    /// Makes an operation that can be cancelled. It has a handle if it has no IAsyncControl.
    ///
    /// # Errors
    /// The errors of [`Self::spawn`].
    pub fn spawn_to_cancel(&self, kind: ValueKind, script: Script) -> Result<usize, Finding> {
        self.make(Spawn { cancellable: !self.has_control(), ..Spawn::new(kind, script) })
    }

    /// Cancels an operation of [`Self::spawn_to_cancel`], or any that has IAsyncControl.
    ///
    /// # Errors
    /// The errors of [`Self::cancel`].
    pub fn request(&self, operation: usize) -> Check {
        if self.has_control() { self.cancel(operation) } else { self.handle_cancel(operation) }
    }
}

const NO_INTERFACE: u32 = NTSTATUS::NOINTERFACE.to_u32();
/// The HRESULT that an object answers for an interface that it does not have.
const E_NOINTERFACE: u32 = 0x8000_4002;
