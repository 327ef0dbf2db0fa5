//! Synchronization for the code of a driver.
//!
//! On the simulated kernel every operation is a preemption point, and has events in the trace.
//!
//! | item | use |
//! |---|---|
//! | [`atomic`] | core's atomics |
//! | [`SpinLock`], [`QueuedSpinLock`] | a value under a spin lock, at DISPATCH_LEVEL |
//! | [`OnceCell`], [`Lazy`] | a static's value that is made once |
//! | [`RaceCell`] | memory under a protocol of the driver's own |
//! | [`Signal`], [`Notify`] | an event that one task, or several, wait for |
//! | [`Semaphore`], [`Mutex`] | permits, and a value, that tasks hold while they wait |
//! | [`oneshot`], [`channel`] | values for a task |
//! | [`ImageStatic`] | a static with a copy in each simulated kernel |

pub use ntcom_exec::{
    Acquire, ChannelReceiver, ChannelSender, Lock, Mutex, MutexGuard, Notified, Notify, Receive, Receiver,
    Semaphore, SemaphorePermit, Sender, Signal, channel, oneshot,
    sync::{ImageStatic, Lazy, OnceCell, QueuedSpinLock, RaceCell, SpinLock, SpinLockGuard, atomic},
};
