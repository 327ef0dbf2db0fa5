//! The DDIs, and the highest IRQL at which each may be called
//! (learn.microsoft.com/windows-hardware/drivers/ddi/, the page of each one).

extern crate alloc;

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::{Checked, Violation, bugcheck::driver_verifier::irql::call_too_high};

const PASSIVE: u8 = 0;
const APC: u8 = 1;
const DISPATCH: u8 = 2;
const ANY: u8 = 15;

macro_rules! ddis {
    ($($name:ident: $ceiling:expr,)*) => {
        /// A DDI of the simulated kernel.
        #[expect(missing_docs, reason = "the names are the kernel's, and each function has its page")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Ddi {
            $($name,)*
        }

        impl Ddi {
            /// The highest IRQL at which it may be called. Spin locks, pool and waits have rules of
            /// their own in addition.
            pub const fn ceiling(self) -> u8 {
                match self {
                    $(Self::$name => $ceiling,)*
                }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

ddis! {
    KeGetCurrentIrql: ANY,
    KfRaiseIrql: ANY,
    KeRaiseIrqlToDpcLevel: ANY,
    KeLowerIrql: ANY,
    KeGetCurrentProcessorNumberEx: ANY,
    KeQueryActiveProcessorCountEx: ANY,
    KeInitializeDpc: ANY,
    KeQueryActiveGroupCount: ANY,
    KeGetProcessorNumberFromIndex: ANY,
    KeGetProcessorIndexFromNumber: ANY,
    KeInitializeThreadedDpc: ANY,
    KeInsertQueueDpc: ANY,
    KeRemoveQueueDpc: ANY,
    KeSetImportanceDpc: ANY,
    KeSetTargetProcessorDpc: ANY,
    KeSetTargetProcessorDpcEx: ANY,
    KeInitializeTimer: DISPATCH,
    KeInitializeTimerEx: DISPATCH,
    KeSetTimer: DISPATCH,
    KeSetTimerEx: DISPATCH,
    KeCancelTimer: DISPATCH,
    KeReadStateTimer: DISPATCH,
    KeSetCoalescableTimer: DISPATCH,
    KeFlushQueuedDpcs: PASSIVE,
    KeQuerySystemTimePrecise: ANY,
    KeQueryInterruptTimePrecise: ANY,
    KeQueryPerformanceCounter: ANY,
    KeInitializeSpinLock: ANY,
    KeAcquireSpinLockRaiseToDpc: ANY,
    KeTryToAcquireSpinLockAtDpcLevel: ANY,
    KeReleaseSpinLock: ANY,
    KeAcquireSpinLockAtDpcLevel: ANY,
    KeReleaseSpinLockFromDpcLevel: ANY,
    ExAllocatePool2: ANY,
    ExAllocatePool3: ANY,
    ExAllocatePoolWithTag: ANY,
    ExFreePool2: ANY,
    ExInitializeLookasideListEx: DISPATCH,
    ExAllocateFromLookasideListEx: ANY,
    ExFreeToLookasideListEx: ANY,
    ExFlushLookasideListEx: DISPATCH,
    ExDeleteLookasideListEx: DISPATCH,
    ExFreePoolWithTag: ANY,
    ExFreePool: ANY,
    KeBugCheckEx: ANY,
    DbgPrint: ANY,
    DbgPrintEx: ANY,
    EtwRegister: PASSIVE,
    EtwUnregister: PASSIVE,
    EtwProviderEnabled: ANY,
    EtwEventEnabled: ANY,
    EtwWrite: ANY,
    EtwWriteString: ANY,
    KeGetCurrentThread: ANY,
    PsCreateSystemThread: PASSIVE,
    PsTerminateSystemThread: PASSIVE,
    ObReferenceObjectByHandle: PASSIVE,
    ObfReferenceObject: DISPATCH,
    ObfDereferenceObject: DISPATCH,
    ZwClose: PASSIVE,
    KeInitializeEvent: ANY,
    KeSetEvent: ANY,
    KeResetEvent: DISPATCH,
    KeClearEvent: DISPATCH,
    KeReadStateEvent: ANY,
    KeInitializeSemaphore: ANY,
    KeReleaseSemaphore: DISPATCH,
    KeReadStateSemaphore: ANY,
    KeInitializeMutex: ANY,
    KeReleaseMutex: DISPATCH,
    KeReadStateMutex: DISPATCH,
    KeWaitForSingleObject: ANY,
    KeWaitForMultipleObjects: ANY,
    KeDelayExecutionThread: ANY,
    KeAcquireInStackQueuedSpinLock: ANY,
    KeReleaseInStackQueuedSpinLock: ANY,
    KeAcquireInStackQueuedSpinLockAtDpcLevel: ANY,
    KeReleaseInStackQueuedSpinLockFromDpcLevel: ANY,
    ExInitializeRundownProtection: APC,
    ExAcquireRundownProtection: DISPATCH,
    ExReleaseRundownProtection: DISPATCH,
    ExWaitForRundownProtectionRelease: ANY,
    ExRundownCompleted: APC,
    ExReInitializeRundownProtection: APC,
    ExInitializeFastMutex: DISPATCH,
    ExAcquireFastMutex: ANY,
    ExTryToAcquireFastMutex: ANY,
    ExReleaseFastMutex: ANY,
    IoInitializeRemoveLockEx: PASSIVE,
    IoAcquireRemoveLockEx: DISPATCH,
    IoReleaseRemoveLockEx: DISPATCH,
    IoReleaseRemoveLockAndWaitEx: PASSIVE,
    IoCreateDevice: APC,
    IoDeleteDevice: APC,
    IoAllocateIrp: DISPATCH,
    IoFreeIrp: DISPATCH,
    IoReuseIrp: DISPATCH,
    IofCallDriver: ANY,
    IofCompleteRequest: ANY,
    IoMarkIrpPending: ANY,
    IoGetCurrentIrpStackLocation: ANY,
    IoGetNextIrpStackLocation: ANY,
    IoSetCompletionRoutine: ANY,
    IoCopyCurrentIrpStackLocationToNext: ANY,
    IoSkipCurrentIrpStackLocation: ANY,
    IoSetCancelRoutine: ANY,
    IoCancelIrp: ANY,
    IoAcquireCancelSpinLock: ANY,
    IoReleaseCancelSpinLock: ANY,
    RtlInitUnicodeString: DISPATCH,
    RtlCopyUnicodeString: ANY,
    RtlEqualUnicodeString: PASSIVE,
    RtlCompareUnicodeString: PASSIVE,
    RtlAppendUnicodeStringToString: ANY,
    MmGetSystemRoutineAddress: PASSIVE,
    IoCsqInitialize: ANY,
    IoCsqInsertIrp: DISPATCH,
    IoCsqRemoveIrp: DISPATCH,
    IoCsqRemoveNextIrp: DISPATCH,
    IoAllocateWorkItem: DISPATCH,
    IoFreeWorkItem: DISPATCH,
    IoInitializeWorkItem: ANY,
    IoUninitializeWorkItem: ANY,
    IoSizeofWorkItem: ANY,
    IoQueueWorkItem: DISPATCH,
    IoQueueWorkItemEx: DISPATCH,
    ExInitializeWorkItem: ANY,
    ExQueueWorkItem: DISPATCH,
    KeShouldYieldProcessor: ANY,
    KeQueryDpcWatchdogInformation: ANY,
}

impl Ddi {
    /// Bug check 0xC4/0xE5 if it is called above its ceiling.
    #[inline]
    pub(crate) fn check(self, irql: u8) -> Checked<()> {
        if irql <= self.ceiling() { Ok(()) } else { Err(self.too_high(irql)) }
    }

    #[cold]
    fn too_high(self, irql: u8) -> Box<Violation> {
        call_too_high(self.name(), irql, self.ceiling())
    }
}

/// An IRQL's name.
pub(crate) fn irql_name(irql: u8) -> &'static str {
    match irql {
        0 => "PASSIVE_LEVEL",
        1 => "APC_LEVEL",
        2 => "DISPATCH_LEVEL",
        13 => "CLOCK_LEVEL",
        14 => "IPI_LEVEL",
        15 => "HIGH_LEVEL",
        _ => "a device's IRQL",
    }
}
