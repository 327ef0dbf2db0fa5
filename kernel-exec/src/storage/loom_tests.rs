//! Storage under loom. The use of one task is over when the next task has the storage.

use core::alloc::Layout;
use std::sync::Arc;

use loom::{cell::UnsafeCell, thread};

use super::TaskStorage;
use crate::Allocator;

/// The contents of the storage, with accesses that loom sees.
struct Room(UnsafeCell<u32>);
// SAFETY: two threads use it, one after the other if the storage is right, which loom checks.
unsafe impl Sync for Room {}
// SAFETY: two threads use it, one after the other if the storage is right, which loom checks.
unsafe impl Send for Room {}

/// Takes the storage, uses it, and gives it back, unless it is taken.
fn borrow(storage: &'static TaskStorage<64>, room: &Room) {
    let (allocator, layout) = (storage, Layout::new::<[u64; 8]>());
    let Some(memory) = allocator.allocate(layout) else { return };
    // SAFETY: only the owner of the storage counts here.
    room.0.with_mut(|used| unsafe { *used += 1 });
    // SAFETY: the memory is from the allocation above, with this layout.
    unsafe { allocator.free(memory, layout) };
}

#[test]
fn loom_storage_goes_from_one_to_the_other() {
    loom::model(|| {
        let storage: &'static TaskStorage<64> = Box::leak(Box::default());
        let room = Arc::new(Room(UnsafeCell::new(0)));
        let other = Arc::clone(&room);
        let thread = thread::spawn(move || borrow(storage, &other));
        borrow(storage, &room);
        thread.join().unwrap();
        assert!(storage.is_free());
    });
}
