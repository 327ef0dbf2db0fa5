//! Counts the cost of an operation in allocations, read-modify-writes and kernel calls.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use common::in_kernel;
use ntcom::{AsyncStatus, spawn_async_operation};

/// The counters' differences over a call.
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
    // The image's own tracker is made before the counting begins.
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
        // The three are start running, complete, and last release.
        assert_eq!(cost.rmw, 3);
        assert_eq!(cost.dpcs_run, 1);
        // The calls are allocate, initialise the DPC, insert it, the time at which the run began,
        // two for the processor's number, and free. A spin lock is taken and released twice for the
        // tracker.
        assert_eq!(cost.kernel_calls, 7 + 2 * 2);
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
        // SAFETY: this runs at PASSIVE_LEVEL, and the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KeRaiseIrqlToDpcLevel() };
        let waker = stored.lock().unwrap().take().unwrap();
        let first = cost(|| waker.wake_by_ref());
        assert_eq!((first.rmw, first.kernel_calls, first.allocations), (1, 1, 0));
        let second = cost(|| waker.wake_by_ref());
        assert_eq!((second.rmw, second.kernel_calls, second.allocations), (1, 0, 0), "scheduled already");
        drop(waker);
        // SAFETY: `irql` is the level that the raise returned.
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

    // SAFETY: the bodies touch no memory but their own.
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
    in_kernel(|| {
        let object = declared::object();
        let named = cost(|| assert_eq!(object.named().unwrap().result(), Ok(7)));
        let opaque = cost(|| assert_eq!(object.opaque(7).unwrap().result(), Ok(7)));
        for cost in [named, opaque] {
            assert_eq!((cost.allocations, cost.frees), (1, 1));
            // The five are start running, complete, and last release, and the object's AddRef and
            // Release.
            assert_eq!(cost.rmw, 5);
            assert_eq!(cost.dpcs_run, 1);
        }
    });
}

#[test]
fn an_object_is_one_allocation_and_a_call_at_once_touches_no_word() {
    in_kernel(|| {
        let made = cost(|| drop(declared::object()));
        assert_eq!((made.allocations, made.frees, made.rmw), (1, 1, 1));
        let object = declared::object();
        let call = cost(|| assert_eq!(object.at_once(), Ok(7)));
        assert_eq!((call.rmw, call.loads, call.stores, call.kernel_calls), (0, 0, 0, 0));
    });
}

/// The cost is the same for each interface that is asked, and for each IID, because the search only
/// compares constants `[C2]`.
#[test]
fn a_query_that_finds_is_one_read_modify_write_and_one_that_does_not_is_none() {
    use ntcom::{ComObject, ComRc, GUID, IUnknownRaw, Interface as _, NTSTATUS};
    ntcom::declare_com_interface! {
        trait IOther: ntcom::IUnknown {
            const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7b02);
            fn other(&self);
        }
    }
    impl IOther for declared::Counted {
        fn other(&self) {}
    }
    in_kernel(|| {
        type Both = (declared::ICountedRaw, IOtherRaw);
        let object = ComObject::<_, Both>::new(declared::Counted).unwrap();
        let other: ComRc<IOtherRaw> = object.query().unwrap();
        let query = |this: *mut core::ffi::c_void, iid: GUID, expected: NTSTATUS| {
            // SAFETY: a live object's interface begins with its table's pointer.
            let table = unsafe { *this.cast::<*const ntcom::IUnknownVtbl>() };
            // SAFETY: the table of a live object is valid.
            let table = unsafe { *table };
            let mut out = core::ptr::null_mut();
            let mut status = NTSTATUS::PENDING;
            let cost = cost(|| {
                // SAFETY: the object is alive, and both pointers are valid.
                status = unsafe { table.QueryInterface.unwrap()(this, &raw const iid, &raw mut out) };
            });
            assert_eq!(status, expected);
            if status == NTSTATUS::SUCCESS {
                // SAFETY: the query succeeded, so the test has a reference to give up.
                unsafe { table.Release.unwrap()(this) };
            }
            (cost.rmw, cost.loads, cost.stores, cost.kernel_calls)
        };
        for this in [object.as_ptr().cast(), other.as_ptr().cast()] {
            for iid in [IUnknownRaw::IID, declared::ICountedRaw::IID, IOtherRaw::IID] {
                assert_eq!(query(this, iid, NTSTATUS::SUCCESS), (1, 0, 0, 0));
            }
            assert_eq!(query(this, GUID::from_u128(1), NTSTATUS::NOINTERFACE), (0, 0, 0, 0));
        }
    });
}

/// The reference counts the aggregate, and costs the same as any other.
#[test]
fn a_method_of_a_part_of_an_aggregate_costs_what_one_of_an_object_does() {
    use ntcom::{
        Aggregates, ComObject, ComRc, GUID, GlobalAllocator, IUnknownRaw, Inner, Outer, alloc::init_with,
    };
    struct Whole(Inner);
    impl Aggregates for Whole {
        fn inner(&self, _iid: &GUID) -> Option<&Inner> {
            Some(&self.0)
        }
    }
    in_kernel(|| {
        let make = |outer| {
            init_with(move || {
                let part = init_with(|| Ok(declared::Counted));
                // SAFETY: the aggregate keeps `part`, and drops it with itself.
                let part = unsafe {
                    ComObject::<_, declared::ICountedRaw>::aggregated_in(outer, GlobalAllocator, part)
                };
                Ok(Whole(part?))
            })
        };
        let whole = ComObject::<Whole, Outer<IUnknownRaw>>::init_outer_in(GlobalAllocator, make).unwrap();
        let part: ComRc<declared::ICountedRaw> = whole.query().unwrap();
        let named = cost(|| assert_eq!(part.named().unwrap().result(), Ok(7)));
        let opaque = cost(|| assert_eq!(part.opaque(7).unwrap().result(), Ok(7)));
        for cost in [named, opaque] {
            assert_eq!((cost.rmw, cost.allocations, cost.frees), (5, 1, 1));
        }
    });
}

/// To find the object from a secondary interface costs none of the counted events.
#[test]
fn a_call_through_a_secondary_interface_costs_what_one_through_the_primary_does() {
    use ntcom::{ComObject, ComRc, IUnknownRaw};
    in_kernel(|| {
        type Second = (IUnknownRaw, declared::ICountedRaw);
        let object = ComObject::<_, Second>::new(declared::Counted).unwrap();
        let second: ComRc<declared::ICountedRaw> = object.query().unwrap();
        assert_ne!(second.as_ptr().cast(), object.as_ptr());
        let at_once = cost(|| assert_eq!(second.at_once(), Ok(7)));
        assert_eq!((at_once.rmw, at_once.loads, at_once.stores, at_once.kernel_calls), (0, 0, 0, 0));
        let named = cost(|| assert_eq!(second.named().unwrap().result(), Ok(7)));
        assert_eq!((named.rmw, named.allocations, named.frees), (5, 1, 1));
    });
}
