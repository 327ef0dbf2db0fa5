//! A function that may leave the place for a body unwritten is not an initialiser.
use core::future::Ready;

use ntcom::{SpawnOperation, TaskBuilder};

fn main() {
    TaskBuilder::new().spawn_operation::<Ready<u8>>(|_: *mut Ready<u8>| Ok(()));
}
