//! Tests under loom that every use of an object happens before its last release destroys it.

use super::ReferenceCount;
use loom::{cell::UnsafeCell, thread};
use std::sync::Arc;

struct Object {
    count: ReferenceCount,
    value: UnsafeCell<u32>,
}
// SAFETY: two threads use it, one after the other if the count is right; loom checks that.
unsafe impl Sync for Object {}
// SAFETY: loom checks every access to the value.
unsafe impl Send for Object {}

fn release(object: &Object) {
    object.value.with(|value| {
        // SAFETY: this reference keeps the object.
        assert_eq!(unsafe { *value }, 1);
    });
    if object.count.remove() == 0 {
        // SAFETY: this was the last reference.
        object.value.with_mut(|value| unsafe { *value = 0 });
    }
}

#[test]
fn loom_the_last_release_comes_after_every_use() {
    loom::model(|| {
        let object = Arc::new(Object { count: ReferenceCount::one(), value: UnsafeCell::new(1) });
        object.count.add();
        let other = Arc::clone(&object);
        let thread = thread::spawn(move || release(&other));
        release(&object);
        thread.join().unwrap();
    });
}
