//! What an operation costs, counted: allocations, read-modify-writes, kernel calls.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use common::in_kernel;
use ntcom::{AsyncStatus, spawn_async_operation};

/// What was counted in between.
struct Cost {
    rmw: u64,
    loads: u64,
    stores: u64,
    allocations: u64,
    frees: u64,
    kernel_calls: u64,
    dpcs_run: u64,
}

fn cost(f: impl FnOnce()) -> Cost {
    // What the image keeps for itself is made before the counting begins.
    ntcom_exec::default_tracker(ntcom_exec::TaskTracker::unfinished);
    let before = ntsim::counters();
    f();
    let after = ntsim::counters();
    Cost {
        rmw: after.rmw - before.rmw,
        loads: after.loads - before.loads,
        stores: after.stores - before.stores,
        allocations: after.allocations - before.allocations,
        frees: after.frees - before.frees,
        kernel_calls: after.kernel_calls - before.kernel_calls,
        dpcs_run: after.dpcs_run - before.dpcs_run,
    }
}

#[test]
fn a_ready_operation_is_one_allocation_and_three_read_modify_writes() {
    in_kernel(|| {
        let cost = cost(|| {
            let operation = spawn_async_operation(async { 7_u64 });
            assert_eq!(operation.result(), Ok(7));
        });
        assert_eq!((cost.allocations, cost.frees), (1, 1));
        // Start running, complete, last release.
        assert_eq!(cost.rmw, 3);
        assert_eq!(cost.dpcs_run, 1);
        // Allocate, initialise the DPC, insert it, two for "which processor am I on", free; and twice a spin lock for the tracker.
        assert_eq!(cost.kernel_calls, 6 + 2 * 2);
    });
}

#[test]
fn get_status_is_one_load() {
    in_kernel(|| {
        let operation = spawn_async_operation(core::future::pending::<u8>());
        let cost = cost(|| assert_eq!(operation.status(), Ok(AsyncStatus::Started)));
        assert_eq!((cost.loads, cost.rmw, cost.stores, cost.kernel_calls), (1, 0, 0, 0));
        operation.control().unwrap().cancel().unwrap();
    });
}

#[test]
fn a_wake_is_one_read_modify_write_and_one_kernel_call_at_most() {
    use core::{
        future::poll_fn,
        task::{Poll, Waker},
    };
    use std::sync::{Arc, Mutex};
    in_kernel(|| {
        let stored: Arc<Mutex<Option<Waker>>> = Arc::default();
        let inside = Arc::clone(&stored);
        let operation = spawn_async_operation(poll_fn(move |context| {
            *inside.lock().unwrap() = Some(context.waker().clone());
            Poll::<u8>::Pending
        }));
        // SAFETY: at PASSIVE_LEVEL; lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        let waker = stored.lock().unwrap().take().unwrap();
        let first = cost(|| waker.wake_by_ref());
        assert_eq!((first.rmw, first.kernel_calls, first.allocations), (1, 1, 0));
        let second = cost(|| waker.wake_by_ref());
        assert_eq!((second.rmw, second.kernel_calls, second.allocations), (1, 0, 0), "scheduled already");
        drop(waker);
        // SAFETY: what the raise answered.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
        operation.control().unwrap().cancel().unwrap();
        drop(stored);
    });
}

mod declared {
    use ntcom::{
        AsyncBody, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, NTSTATUS,
        declare_com_interface, pin_init,
    };

    declare_com_interface! {
        pub(crate) trait ICounted: IUnknown {
            const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7b01);
            async fn named(&self) -> u64;
            #[opaque]
            async fn opaque(&self, n: u64) -> u64;
            fn at_once(&self) -> u64;
        }
    }

    pub(crate) struct Counted;

    // SAFETY: the bodies touch nothing.
    unsafe impl ICounted for Counted {
        type Allocator = GlobalAllocator;
        type NamedFuture = core::future::Ready<u64>;
        fn named(&self) -> impl InitBoxTrait<Self::NamedFuture, Self::Allocator, NTSTATUS> {
            InitBox::new(GlobalAllocator, pin_init!(core::future::ready(7)))
        }
        fn opaque(&self, n: u64) -> impl AsyncBody<u64, Self::Allocator, NTSTATUS> {
            InitBox::new(GlobalAllocator, pin_init!(async move { n }))
        }
        fn at_once(&self) -> u64 {
            7
        }
    }

    pub(crate) fn object() -> ntcom::ComRc<ICountedRaw> {
        ComObject::<_, ICountedRaw>::new(Counted).unwrap()
    }
}

#[test]
fn a_declared_method_is_one_allocation_and_five_read_modify_writes_in_both_forms() {
    use declared::ICountedClient as _;
    in_kernel(|| {
        let object = declared::object();
        let named = cost(|| assert_eq!(object.named().unwrap().result(), Ok(7)));
        let opaque = cost(|| assert_eq!(object.opaque(7).unwrap().result(), Ok(7)));
        for cost in [named, opaque] {
            assert_eq!((cost.allocations, cost.frees), (1, 1));
            // Start running, complete, last release; and the object's AddRef and Release.
            assert_eq!(cost.rmw, 5);
            assert_eq!(cost.dpcs_run, 1);
        }
    });
}

#[test]
fn an_object_is_one_allocation_and_a_call_at_once_touches_no_word() {
    use declared::ICountedClient as _;
    in_kernel(|| {
        let made = cost(|| drop(declared::object()));
        assert_eq!((made.allocations, made.frees, made.rmw), (1, 1, 1));
        let object = declared::object();
        let call = cost(|| assert_eq!(object.at_once(), Ok(7)));
        assert_eq!((call.rmw, call.loads, call.stores, call.kernel_calls), (0, 0, 0, 0));
    });
}
