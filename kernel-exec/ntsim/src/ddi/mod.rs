//! The kernel's calls, with wdk-sys's names and signatures. Drivers call these functions.
//!
//! There is a preemption point before and after the effect of each call, and before the return of
//! each driver routine that it calls. Each call is counted, is checked against its highest IRQL,
//! and is traced. A call while no simulation runs on the thread aborts the process with the call's
//! name.
//!
//! A function here checks pointers and IRQL, calls one function of a subsystem, and maps the
//! answer. Its body has at most 20 lines.
#![deny(clippy::too_many_lines)]

pub(crate) mod cancel;
pub(crate) mod csq;
pub(crate) mod device;
pub(crate) mod dpc;
pub(crate) mod etw;
pub(crate) mod event;
pub(crate) mod fast_mutex;
pub(crate) mod fatal;
pub(crate) mod irp;
pub(crate) mod irp_completion;
pub(crate) mod irp_reuse;
pub(crate) mod irql;
pub(crate) mod lock;
pub(crate) mod lookaside;
pub(crate) mod mutex;
pub(crate) mod object;
pub(crate) mod pool;
#[cfg(all(unix, target_arch = "x86_64"))]
pub(crate) mod print;
pub(crate) mod processor;
pub(crate) mod queued_lock;
pub(crate) mod remove_lock;
pub(crate) mod routines;
pub(crate) mod rundown;
pub(crate) mod semaphore;
pub(crate) mod string;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod timer;
pub(crate) mod wait;
pub(crate) mod watchdog;
pub(crate) mod work_item;

pub use cancel::{IoAcquireCancelSpinLock, IoCancelIrp, IoReleaseCancelSpinLock, IoSetCancelRoutine};
pub use csq::{IoCsqInitialize, IoCsqInsertIrp, IoCsqRemoveIrp, IoCsqRemoveNextIrp};
pub use device::{IoCreateDevice, IoDeleteDevice};
pub use dpc::{
    KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeThreadedDpc, KeInsertQueueDpc, KeRemoveQueueDpc,
    KeSetImportanceDpc, KeSetTargetProcessorDpc, KeSetTargetProcessorDpcEx,
};
pub use etw::{EtwEventEnabled, EtwProviderEnabled, EtwRegister, EtwUnregister, EtwWrite, EtwWriteString};
pub use event::{KeClearEvent, KeInitializeEvent, KeReadStateEvent, KeResetEvent, KeSetEvent};
pub use fast_mutex::{
    ExAcquireFastMutex, ExInitializeFastMutex, ExReleaseFastMutex, ExTryToAcquireFastMutex,
};
pub use fatal::KeBugCheckEx;
pub use irp::{
    IoAllocateIrp, IoCopyCurrentIrpStackLocationToNext, IoFreeIrp, IoGetCurrentIrpStackLocation,
    IoGetNextIrpStackLocation, IoMarkIrpPending, IoSetCompletionRoutine, IoSkipCurrentIrpStackLocation,
    IofCallDriver,
};
pub use irp_completion::IofCompleteRequest;
pub use irp_reuse::IoReuseIrp;
pub use irql::{KeGetCurrentIrql, KeLowerIrql, KeRaiseIrqlToDpcLevel, KfRaiseIrql};
pub use lock::{
    KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeInitializeSpinLock, KeReleaseSpinLock,
    KeReleaseSpinLockFromDpcLevel, KeTryToAcquireSpinLockAtDpcLevel,
};
pub use lookaside::{
    ExAllocateFromLookasideListEx, ExDeleteLookasideListEx, ExFlushLookasideListEx, ExFreeToLookasideListEx,
    ExInitializeLookasideListEx,
};
pub use mutex::{KeInitializeMutex, KeReadStateMutex, KeReleaseMutex};
pub use object::{
    ExEventObjectType, ExSemaphoreObjectType, IoFileObjectType, ObReferenceObjectByHandle,
    ObfDereferenceObject, ObfReferenceObject, PsProcessType, PsThreadType, ZwClose,
};
pub use pool::{
    ExAllocatePool2, ExAllocatePool3, ExAllocatePoolWithTag, ExFreePool, ExFreePool2, ExFreePoolWithTag,
};
#[cfg(all(unix, target_arch = "x86_64"))]
pub use print::{DbgPrint, DbgPrintEx};
pub use processor::{
    KeGetCurrentProcessorNumberEx, KeGetProcessorIndexFromNumber, KeGetProcessorNumberFromIndex,
    KeQueryActiveGroupCount, KeQueryActiveProcessorCountEx,
};
pub use queued_lock::{
    KeAcquireInStackQueuedSpinLock, KeAcquireInStackQueuedSpinLockAtDpcLevel, KeReleaseInStackQueuedSpinLock,
    KeReleaseInStackQueuedSpinLockFromDpcLevel,
};
pub use remove_lock::{
    IoAcquireRemoveLockEx, IoInitializeRemoveLockEx, IoReleaseRemoveLockAndWaitEx, IoReleaseRemoveLockEx,
};
pub use rundown::{
    ExAcquireRundownProtection, ExAcquireRundownProtectionEx, ExInitializeRundownProtection,
    ExReInitializeRundownProtection, ExReleaseRundownProtection, ExReleaseRundownProtectionEx,
    ExRundownCompleted, ExWaitForRundownProtectionRelease,
};
pub use semaphore::{KeInitializeSemaphore, KeReadStateSemaphore, KeReleaseSemaphore};
pub use string::{
    MmGetSystemRoutineAddress, RtlAppendUnicodeStringToString, RtlCompareUnicodeString, RtlCopyUnicodeString,
    RtlEqualUnicodeString, RtlInitUnicodeString,
};
pub use thread::{KeGetCurrentThread, PsCreateSystemThread, PsTerminateSystemThread};
pub use time::{KeQueryInterruptTimePrecise, KeQueryPerformanceCounter, KeQuerySystemTimePrecise};
pub use timer::{
    KeCancelTimer, KeInitializeTimer, KeInitializeTimerEx, KeReadStateTimer, KeSetCoalescableTimer,
    KeSetTimer, KeSetTimerEx,
};
pub use wait::{KeDelayExecutionThread, KeWaitForMultipleObjects, KeWaitForSingleObject};
pub use watchdog::{KeQueryDpcWatchdogInformation, KeShouldYieldProcessor};
pub use work_item::{
    ExInitializeWorkItem, ExQueueWorkItem, IoAllocateWorkItem, IoFreeWorkItem, IoInitializeWorkItem,
    IoQueueWorkItem, IoQueueWorkItemEx, IoSizeofWorkItem, IoUninitializeWorkItem,
};
