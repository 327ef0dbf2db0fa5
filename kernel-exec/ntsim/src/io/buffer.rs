//! The memory of a request's data.

extern crate alloc;

use alloc::vec::Vec;
use core::ptr::{NonNull, null_mut};

use crate::{
    ddi,
    types::{NTSTATUS, POOL_FLAG_NON_PAGED, PVOID, STATUS_INSUFFICIENT_RESOURCES},
};

/// The tag of the I/O manager's buffers.
const TAG: u32 = u32::from_le_bytes(*b"Io  ");

/// A block of non-paged pool, so that an access beyond its end is found.
pub(super) struct Buffer {
    /// `None` for no bytes, for which NT has a null pointer.
    memory: Option<NonNull<u8>>,
    length: usize,
}

impl Buffer {
    /// A buffer that begins with `input`, and has zeros from there to its end.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory.
    pub(super) fn new(input: &[u8], length: usize) -> Result<Self, NTSTATUS> {
        let length = length.max(input.len());
        if length == 0 {
            return Ok(Self { memory: None, length });
        }
        // SAFETY: the size is not zero, and the IRQL is at most DISPATCH_LEVEL or the call ends the
        // run. The memory is filled with zeros.
        let memory = unsafe { ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, length as u64, TAG) };
        let memory = NonNull::new(memory.cast::<u8>()).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        // SAFETY: the new block has room for the input.
        unsafe { memory.copy_from_nonoverlapping(NonNull::from(input).cast(), input.len()) };
        Ok(Self { memory: Some(memory), length })
    }

    /// The address for the IRP.
    pub(super) fn pointer(&self) -> PVOID {
        self.memory.map_or(null_mut(), |memory| memory.as_ptr().cast())
    }

    /// The first `count` bytes, or all if it has fewer.
    pub(super) fn bytes(&self, count: usize) -> Vec<u8> {
        let Some(memory) = self.memory else { return Vec::new() };
        let count = count.min(self.length);
        let mut bytes = alloc::vec![0; count];
        // SAFETY: the block has `length` bytes, which were initialised when it was made. Programs
        // run one at a time, so no other code writes them now.
        unsafe { memory.copy_to_nonoverlapping(NonNull::from(bytes.as_mut_slice()).cast(), count) };
        bytes
    }

    /// Frees the block.
    pub(super) fn free(self) {
        if let Some(memory) = self.memory {
            // SAFETY: the block came from `new` with this tag, and is freed once.
            unsafe { ddi::ExFreePoolWithTag(memory.as_ptr().cast(), TAG) };
        }
    }
}
