//! Storage under loom. One task's use of it has ended when another task gets it.

use core::alloc::Layout;
use std::sync::Arc;

use loom::{cell::UnsafeCell, thread};

use super::TaskStorage;
use crate::alloc::Allocator;

/// The contents of the storage, as loom sees them.
struct Contents(UnsafeCell<u32>);
// SAFETY: two threads use it, one after the other if the storage is right; loom checks that.
unsafe impl Sync for Contents {}
// SAFETY: loom checks every access to the cell.
unsafe impl Send for Contents {}

/// Takes the storage, uses it, and gives it back, unless it is taken.
fn borrow(storage: &'static TaskStorage<64>, contents: &Contents) {
    let (allocator, layout) = (storage.allocator(), Layout::new::<[u64; 8]>());
    let Some(memory) = allocator.allocate(layout) else { return };
    // SAFETY: the holder of the storage has its contents to itself.
    contents.0.with_mut(|used| unsafe { *used += 1 });
    // SAFETY: the memory is from the allocation above.
    unsafe { allocator.free(memory, layout) };
}

#[test]
fn loom_storage_goes_from_one_to_the_other() {
    loom::model(|| {
        let storage: &'static TaskStorage<64> = Box::leak(Box::default());
        let contents = Arc::new(Contents(UnsafeCell::new(0)));
        let other = Arc::clone(&contents);
        let thread = thread::spawn(move || borrow(storage, &other));
        borrow(storage, &contents);
        thread.join().unwrap();
        assert!(storage.is_free());
    });
}
