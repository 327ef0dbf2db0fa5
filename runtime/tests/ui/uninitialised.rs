//! A function that may leave the place for a body unwritten is not an initialiser.
use core::future::Ready;

use ntcom::{AsyncOperationTask, GlobalAllocator};

fn main() {
    AsyncOperationTask::<u8, Ready<u8>>::spawn_raw(GlobalAllocator, |_: *mut Ready<u8>| Ok(()));
}
