//! A function that may leave the place for a body as it is, is no initialiser.
use core::future::Ready;

use ntcom::{AsyncOperationTask, GlobalAllocator};

fn main() {
    AsyncOperationTask::<u8, Ready<u8>>::spawn_raw(GlobalAllocator, |_: *mut Ready<u8>| Ok(()));
}
