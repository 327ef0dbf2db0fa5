//! The two kernels held against each other. Nothing here runs: where they differ, `cargo xtask wdk-check` does not compile.
//!
//! The calls: wdk-sys's were taken with the signatures of `ddis!`, and ntsim's are held to the same list. The structs: their
//! sizes are compared; their fields are private in ntsim, which asserts these same offsets of its own (`types.rs`).

mod calls {
    use ntsim::types::{
        KDPC, KEVENT, KSPIN_LOCK, KTIMER, LARGE_INTEGER, LONG_PTR, PIO_WORKITEM, PIRP, PKTHREAD,
        PROCESSOR_NUMBER,
    };

    ddis!(check ntsim::ddi);
}

/// The size and the alignment of a type in each kernel.
macro_rules! sizes {
    ($($name:ident: $size:literal, $align:literal;)*) => {
        const _: () = {
            $(
                assert!(size_of::<wdk_sys::$name>() == $size && align_of::<wdk_sys::$name>() == $align);
                assert!(size_of::<ntsim::types::$name>() == $size && align_of::<ntsim::types::$name>() == $align);
            )*
        };
    };
}

sizes! {
    KDPC: 64, 8;
    KEVENT: 24, 8;
    KSPIN_LOCK: 8, 8;
    KTIMER: 64, 8;
    LARGE_INTEGER: 8, 8;
    LONG_PTR: 8, 8;
    PKTHREAD: 8, 8;
    PROCESSOR_NUMBER: 4, 2;
}

/// Where a field of wdk-sys's struct is.
macro_rules! offsets {
    ($($name:ident { $($($field:ident).+: $offset:literal),* })*) => {
        const _: () = {
            $($(assert!(core::mem::offset_of!(wdk_sys::$name, $($field).+) == $offset);)*)*
        };
    };
}

// In C it is aligned to 16.
const _: () = assert!(size_of::<wdk_sys::IRP>() == 208 && size_of::<ntsim::types::IRP>() == 208);

offsets! {
    IRP { IoStatus: 0x30, Cancel: 0x44, CancelIrql: 0x45, CancelRoutine: 0x68, Tail.Overlay: 0x78 }
    KDPC { DeferredRoutine: 24, DeferredContext: 32, SystemArgument1: 40, SystemArgument2: 48, DpcData: 56 }
    KTIMER { Header.SignalState: 4, DueTime: 24, Dpc: 48, Period: 60 }
}

/// The constants.
const _: () = {
    assert!(wdk_sys::DISPATCH_LEVEL == ntsim::types::DISPATCH_LEVEL);
    assert!(wdk_sys::PASSIVE_LEVEL == ntsim::types::PASSIVE_LEVEL);
    assert!(wdk_sys::POOL_FLAG_PAGED == ntsim::types::POOL_FLAG_PAGED);
    assert!(wdk_sys::POOL_FLAG_NON_PAGED == ntsim::types::POOL_FLAG_NON_PAGED);
    assert!(wdk_sys::POOL_FLAG_UNINITIALIZED == ntsim::types::POOL_FLAG_UNINITIALIZED);
    assert!(wdk_sys::SL_PENDING_RETURNED == ntsim::types::SL_PENDING_RETURNED as u32);
    assert!(wdk_sys::_EVENT_TYPE::SynchronizationEvent == ntsim::types::_EVENT_TYPE::SynchronizationEvent);
    assert!(wdk_sys::_KWAIT_REASON::Executive == ntsim::types::_KWAIT_REASON::Executive);
    assert!(wdk_sys::_MODE::KernelMode == ntsim::types::_MODE::KernelMode);
    assert!(wdk_sys::_TIMER_TYPE::NotificationTimer == ntsim::types::_TIMER_TYPE::NotificationTimer);
    assert!(wdk_sys::_WORK_QUEUE_TYPE::DelayedWorkQueue == ntsim::types::_WORK_QUEUE_TYPE::DelayedWorkQueue);
};
