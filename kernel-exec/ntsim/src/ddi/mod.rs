//! The kernel's calls, by wdk-sys's names and with its signatures: the door through which drivers come in.
//!
//! Each is a preemption point, is counted, is checked against its IRQL ceiling, and is traced. Called while no simulation runs
//! on the thread, each aborts the process with its name.

pub(crate) mod dpc;
pub(crate) mod fatal;
pub(crate) mod irql;
pub(crate) mod lock;
pub(crate) mod objects;
pub(crate) mod pool;
pub(crate) mod processor;
pub(crate) mod time;
pub(crate) mod timer;

pub use dpc::{
    KeInitializeDpc, KeInsertQueueDpc, KeRemoveQueueDpc, KeSetImportanceDpc, KeSetTargetProcessorDpcEx,
};
pub use fatal::KeBugCheckEx;
pub use irql::{KeGetCurrentIrql, KeLowerIrql, KeRaiseIrqlToDpcLevel, KfRaiseIrql};
pub use lock::{
    KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeInitializeSpinLock, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel,
};
pub use pool::{ExAllocatePool2, ExFreePool, ExFreePoolWithTag};
pub use processor::{KeGetCurrentProcessorNumberEx, KeQueryActiveProcessorCountEx};
pub use time::{KeQueryInterruptTimePrecise, KeQueryPerformanceCounter};
pub use timer::{
    KeCancelTimer, KeInitializeTimer, KeInitializeTimerEx, KeReadStateTimer, KeSetTimer, KeSetTimerEx,
};
