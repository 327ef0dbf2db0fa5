//! The kernel's subsystems: the rules of their calls, and the changes of state that the calls make.
//!
//! Each module has the functions that `ddi/` and `engine/` may call. They keep their state in
//! `kernel/`, read and write the objects in the driver's memory, and return a violation when a rule
//! is broken.

pub(crate) mod anywhere;
pub(crate) mod cancel;
pub(crate) mod device;
pub(crate) mod dispatcher;
pub(crate) mod dpc;
pub(crate) mod driver_object;
pub(crate) mod etw;
pub(crate) mod event;
pub(crate) mod fast_mutex;
pub(crate) mod file_object;
pub(crate) mod io_request;
pub(crate) mod irp;
pub(crate) mod irp_completion;
pub(crate) mod irp_reuse;
pub(crate) mod irql;
pub(crate) mod join;
pub(crate) mod lookaside;
pub(crate) mod mutex;
pub(crate) mod object;
pub(crate) mod objects;
pub(crate) mod pool;
pub(crate) mod processor;
pub(crate) mod queued_lock;
pub(crate) mod remove_lock;
pub(crate) mod rundown;
pub(crate) mod semaphore;
pub(crate) mod spin_lock;
pub(crate) mod string;
pub(crate) mod thread;
pub(crate) mod timer;
pub(crate) mod wait;
pub(crate) mod watchdog;
pub(crate) mod work_item;
