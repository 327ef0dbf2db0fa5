//! Cancel-safe queues.

use core::ptr::null_mut;

use super::{KIRQL, PIRP, PVOID, ULONG};

/// Puts an IRP into the driver's queue.
pub type PIO_CSQ_INSERT_IRP = Option<unsafe extern "C" fn(Csq: PIO_CSQ, Irp: PIRP)>;
/// Takes an IRP out of the driver's queue.
pub type PIO_CSQ_REMOVE_IRP = Option<unsafe extern "C" fn(Csq: PIO_CSQ, Irp: PIRP)>;
/// Returns the first IRP after the given one, or of all, that fits the context. Null if there is
/// none.
pub type PIO_CSQ_PEEK_NEXT_IRP =
    Option<unsafe extern "C" fn(Csq: PIO_CSQ, Irp: PIRP, PeekContext: PVOID) -> PIRP>;
/// Acquires the lock of the driver's queue, and stores the previous IRQL in `Irql`.
pub type PIO_CSQ_ACQUIRE_LOCK = Option<unsafe extern "C" fn(Csq: PIO_CSQ, Irql: *mut KIRQL)>;
/// Releases the lock of the driver's queue.
pub type PIO_CSQ_RELEASE_LOCK = Option<unsafe extern "C" fn(Csq: PIO_CSQ, Irql: KIRQL)>;
/// Completes an IRP that was cancelled.
pub type PIO_CSQ_COMPLETE_CANCELED_IRP = Option<unsafe extern "C" fn(Csq: PIO_CSQ, Irp: PIRP)>;

/// A cancel-safe queue.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _IO_CSQ {
    pub(crate) Type: ULONG,
    pub(crate) CsqInsertIrp: PIO_CSQ_INSERT_IRP,
    pub(crate) CsqRemoveIrp: PIO_CSQ_REMOVE_IRP,
    pub(crate) CsqPeekNextIrp: PIO_CSQ_PEEK_NEXT_IRP,
    pub(crate) CsqAcquireLock: PIO_CSQ_ACQUIRE_LOCK,
    pub(crate) CsqReleaseLock: PIO_CSQ_RELEASE_LOCK,
    pub(crate) CsqCompleteCanceledIrp: PIO_CSQ_COMPLETE_CANCELED_IRP,
    pub(crate) ReservePointer: PVOID,
}
/// A cancel-safe queue.
pub type IO_CSQ = _IO_CSQ;
/// A pointer to a cancel-safe queue.
pub type PIO_CSQ = *mut IO_CSQ;

impl Default for _IO_CSQ {
    /// All zero, which is not initialised.
    fn default() -> Self {
        Self {
            Type: 0,
            CsqInsertIrp: None,
            CsqRemoveIrp: None,
            CsqPeekNextIrp: None,
            CsqAcquireLock: None,
            CsqReleaseLock: None,
            CsqCompleteCanceledIrp: None,
            ReservePointer: null_mut(),
        }
    }
}

/// A context that identifies one IRP in a cancel-safe queue.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct _IO_CSQ_IRP_CONTEXT {
    pub(crate) Type: ULONG,
    pub(crate) Irp: PIRP,
    pub(crate) Csq: PIO_CSQ,
}
/// A context that identifies one IRP in a cancel-safe queue.
pub type IO_CSQ_IRP_CONTEXT = _IO_CSQ_IRP_CONTEXT;
/// A pointer to the context of an IRP.
pub type PIO_CSQ_IRP_CONTEXT = *mut IO_CSQ_IRP_CONTEXT;

impl Default for _IO_CSQ_IRP_CONTEXT {
    fn default() -> Self {
        Self { Type: 0, Irp: null_mut(), Csq: null_mut() }
    }
}

const _: () = {
    assert!(size_of::<IO_CSQ>() == 64 && core::mem::offset_of!(IO_CSQ, CsqInsertIrp) == 8);
    assert!(size_of::<IO_CSQ_IRP_CONTEXT>() == 24);
};
