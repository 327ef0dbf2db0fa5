//! Compares the two kernels at compile time. Nothing here runs. Where the kernels differ, `cargo
//! xtask wdk-check` does not compile.
//!
//! The functions of wdk-sys were taken with the signatures of `ddis!`, and those of ntsim are held
//! to the same list. The sizes of the structs are compared. Their fields are private in ntsim,
//! which asserts the same offsets itself (`types.rs`).

mod calls {
    use ntsim::types::{
        GUID, KDPC, KEVENT, KLOCK_QUEUE_HANDLE, KSPIN_LOCK, KTIMER, LARGE_INTEGER, LONG_PTR,
        PETWENABLECALLBACK, PIO_WORKITEM, PIRP, PKTHREAD, PROCESSOR_NUMBER,
    };

    ddis!(check ntsim::ddi);
}

mod events {
    //! Functions of event tracing that drivers call and the executor does not.

    macro_rules! same {
        ($($kernel:ident::{$ddi:ident, $types:ident})*) => {$(
            const _: () = {
                use $kernel::{
                    $ddi::{EtwEventEnabled, EtwWrite},
                    $types::{EVENT_DATA_DESCRIPTOR, EVENT_DESCRIPTOR, EVENT_FILTER_DESCRIPTOR, GUID, PETWENABLECALLBACK},
                };
                unsafe extern "C" fn callback(
                    _: *const GUID,
                    _: u32,
                    _: u8,
                    _: u64,
                    _: u64,
                    _: *mut EVENT_FILTER_DESCRIPTOR,
                    _: *mut core::ffi::c_void,
                ) {
                }
                let _: PETWENABLECALLBACK = Some(callback);
                let _: unsafe extern "C" fn(u64, *const EVENT_DESCRIPTOR) -> u8 = EtwEventEnabled;
                let _: unsafe extern "C" fn(
                    u64,
                    *const EVENT_DESCRIPTOR,
                    *const GUID,
                    u32,
                    *mut EVENT_DATA_DESCRIPTOR,
                ) -> i32 = EtwWrite;
            };
        )*};
    }

    mod wdk {
        pub(super) use wdk_sys as types;
        pub(super) use wdk_sys::ntddk as ddi;
    }

    same! { ntsim::{ddi, types} wdk::{ddi, types} }
}

/// Asserts the size and the alignment of a type in each kernel.
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
    EVENT_DATA_DESCRIPTOR: 16, 8;
    EVENT_DESCRIPTOR: 16, 8;
    EVENT_FILTER_DESCRIPTOR: 16, 8;
    GUID: 16, 4;
    KDPC: 64, 8;
    KEVENT: 24, 8;
    KLOCK_QUEUE_HANDLE: 24, 8;
    KSPIN_LOCK: 8, 8;
    KTIMER: 64, 8;
    LARGE_INTEGER: 8, 8;
    LONG_PTR: 8, 8;
    PKTHREAD: 8, 8;
    PROCESSOR_NUMBER: 4, 2;
}

/// Asserts the offset of a field of a struct of wdk-sys.
macro_rules! offsets {
    ($($name:ident { $($($field:ident).+: $offset:literal),* })*) => {
        const _: () = {
            $($(assert!(core::mem::offset_of!(wdk_sys::$name, $($field).+) == $offset);)*)*
        };
    };
}

// The C declaration is aligned to 16, so only the size is compared.
const _: () = assert!(size_of::<wdk_sys::IRP>() == 208 && size_of::<ntsim::types::IRP>() == 208);

offsets! {
    IRP { IoStatus: 0x30, Cancel: 0x44, CancelIrql: 0x45, CancelRoutine: 0x68, Tail.Overlay: 0x78 }
    EVENT_DATA_DESCRIPTOR { Ptr: 0, Size: 8 }
    EVENT_DESCRIPTOR { Id: 0, Version: 2, Channel: 3, Level: 4, Opcode: 5, Task: 6, Keyword: 8 }
    GUID { Data1: 0, Data2: 4, Data3: 6, Data4: 8 }
    KDPC { DeferredRoutine: 24, DeferredContext: 32, SystemArgument1: 40, SystemArgument2: 48, DpcData: 56 }
    KTIMER { Header.SignalState: 4, DueTime: 24, Dpc: 48, Period: 60 }
}

/// Asserts that the constants agree.
const _: () = {
    assert!(wdk_sys::DISPATCH_LEVEL == ntsim::types::DISPATCH_LEVEL);
    assert!(wdk_sys::MAX_EVENT_DATA_DESCRIPTORS == ntsim::types::MAX_EVENT_DATA_DESCRIPTORS);
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
