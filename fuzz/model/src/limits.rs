//! Sizes of runs, of the tables of a run, and of records.

/// The largest number of operations in one run.
pub const OPERATIONS: usize = 16;
/// The largest number of processors.
pub const PROCESSORS: usize = 4;
/// The largest number of objects in a run.
pub const OBJECTS: usize = 2;
/// The number of interfaces that a step can query an object for. The object lacks the last one.
pub const INTERFACES: usize = 4;
/// The number of wakers that the stash can hold.
pub const STASH: usize = 12;
/// The largest number of cancel handles.
pub const HANDLES: usize = 12;
/// The bytes of a record.
pub const RECORD: usize = 4;
/// The largest number of records that are decoded of one input.
pub const LONGEST: usize = 96;
/// The executor's default poll budget. The real polls are compared with the model's.
pub const POLL_BUDGET: u32 = 16;
