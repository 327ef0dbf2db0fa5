//! The DDIs, and at which IRQLs each may be called (learn.microsoft.com/windows-hardware/drivers/ddi/, each one's page).

use serde::{Deserialize, Serialize};

use super::{Checked, bugcheck::irql_name, violation};

extern crate alloc;

/// A DDI of the simulated kernel.
#[expect(missing_docs, reason = "the names are the kernel's, and each function has its page")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ddi {
    KeGetCurrentIrql,
    KfRaiseIrql,
    KeRaiseIrqlToDpcLevel,
    KeLowerIrql,
    KeGetCurrentProcessorNumberEx,
    KeQueryActiveProcessorCountEx,
    KeInitializeDpc,
    KeInsertQueueDpc,
    KeRemoveQueueDpc,
    KeSetImportanceDpc,
    KeSetTargetProcessorDpcEx,
    KeInitializeTimer,
    KeInitializeTimerEx,
    KeSetTimer,
    KeSetTimerEx,
    KeCancelTimer,
    KeReadStateTimer,
    KeQueryInterruptTimePrecise,
    KeQueryPerformanceCounter,
    KeInitializeSpinLock,
    KeAcquireSpinLockRaiseToDpc,
    KeReleaseSpinLock,
    KeAcquireSpinLockAtDpcLevel,
    KeReleaseSpinLockFromDpcLevel,
    ExAllocatePool2,
    ExFreePoolWithTag,
    ExFreePool,
    KeBugCheckEx,
}

const DISPATCH: u8 = 2;
const ANY: u8 = 15;

impl Ddi {
    /// The highest IRQL it may be called at. Spin locks and pool have rules of their own besides.
    pub const fn ceiling(self) -> u8 {
        match self {
            Self::KeInitializeTimer
            | Self::KeInitializeTimerEx
            | Self::KeSetTimer
            | Self::KeSetTimerEx
            | Self::KeCancelTimer
            | Self::KeReadStateTimer => DISPATCH,
            _ => ANY,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeGetCurrentIrql => "KeGetCurrentIrql",
            Self::KfRaiseIrql => "KfRaiseIrql",
            Self::KeRaiseIrqlToDpcLevel => "KeRaiseIrqlToDpcLevel",
            Self::KeLowerIrql => "KeLowerIrql",
            Self::KeGetCurrentProcessorNumberEx => "KeGetCurrentProcessorNumberEx",
            Self::KeQueryActiveProcessorCountEx => "KeQueryActiveProcessorCountEx",
            Self::KeInitializeDpc => "KeInitializeDpc",
            Self::KeInsertQueueDpc => "KeInsertQueueDpc",
            Self::KeRemoveQueueDpc => "KeRemoveQueueDpc",
            Self::KeSetImportanceDpc => "KeSetImportanceDpc",
            Self::KeSetTargetProcessorDpcEx => "KeSetTargetProcessorDpcEx",
            Self::KeInitializeTimer => "KeInitializeTimer",
            Self::KeInitializeTimerEx => "KeInitializeTimerEx",
            Self::KeSetTimer => "KeSetTimer",
            Self::KeSetTimerEx => "KeSetTimerEx",
            Self::KeCancelTimer => "KeCancelTimer",
            Self::KeReadStateTimer => "KeReadStateTimer",
            Self::KeQueryInterruptTimePrecise => "KeQueryInterruptTimePrecise",
            Self::KeQueryPerformanceCounter => "KeQueryPerformanceCounter",
            Self::KeInitializeSpinLock => "KeInitializeSpinLock",
            Self::KeAcquireSpinLockRaiseToDpc => "KeAcquireSpinLockRaiseToDpc",
            Self::KeReleaseSpinLock => "KeReleaseSpinLock",
            Self::KeAcquireSpinLockAtDpcLevel => "KeAcquireSpinLockAtDpcLevel",
            Self::KeReleaseSpinLockFromDpcLevel => "KeReleaseSpinLockFromDpcLevel",
            Self::ExAllocatePool2 => "ExAllocatePool2",
            Self::ExFreePoolWithTag => "ExFreePoolWithTag",
            Self::ExFreePool => "ExFreePool",
            Self::KeBugCheckEx => "KeBugCheckEx",
        }
    }

    /// Bug check 0xC4/0xE5 where it is called above its ceiling.
    #[inline]
    pub(crate) fn check(self, irql: u8) -> Checked<()> {
        if irql <= self.ceiling() { Ok(()) } else { Err(self.too_high(irql)) }
    }

    #[cold]
    fn too_high(self, irql: u8) -> alloc::boxed::Box<super::Violation> {
        let (name, ceiling) = (self.name(), self.ceiling());
        let rule =
            alloc::format!("{name} may be called at IRQL ≤ {} only, and was at {irql}", irql_name(ceiling));
        violation(0xC4, [0xE5, irql.into(), 0, 0], rule)
    }
}
