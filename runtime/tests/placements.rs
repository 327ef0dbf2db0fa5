//! Tests of operations on work items, and of operations that move to PASSIVE_LEVEL. They check
//! where bodies run, how they end, and which placements are refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]
#![allow(dead_code, reason = "what the tests share is more than these use")]

mod common;

use core::{future::pending, ptr::null_mut};

use common::in_kernel;
use ntcom::{
    AsyncBody, AsyncStatus, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS,
    SpawnOperation as _, TaskBuilder, This, declare_com_interface, pin_init, try_finally,
};
use ntcom_exec::{
    DpcOptions, Importance, Migrating, OnWorkItems, TaskStorage, TaskTracker, default_tracker, passive,
    sleep, yield_now,
};
use ntsim::{
    Config, Program, Schedule, Simulation, ddi,
    types::{FILE_DEVICE_UNKNOWN, PDEVICE_OBJECT},
};

const PASSIVE: u32 = 0;
const DISPATCH: u32 = 2;

/// A device of the driver.
#[derive(Clone, Copy)]
struct Device(PDEVICE_OBJECT);

// SAFETY: a device may be used on every thread, and the tests delete it last.
unsafe impl Send for Device {}
// SAFETY: a device may be used on every thread, and the tests delete it last.
unsafe impl Sync for Device {}

impl Device {
    fn new() -> Self {
        let (driver, mut device) = (ntsim::driver_object(), null_mut());
        // SAFETY: the arguments are valid.
        let status =
            unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
        assert_eq!(status, 0);
        Self(device)
    }
    fn delete(self) {
        // SAFETY: the device is deleted once, after its last use.
        unsafe { ddi::IoDeleteDevice(self.0) }
    }
    fn items(self) -> OnWorkItems {
        // SAFETY: the tests delete the device after everything has been spawned.
        unsafe { OnWorkItems::of(self.0) }
    }
    fn moving(self) -> Migrating {
        // SAFETY: the tests delete the device after everything has been spawned.
        unsafe { Migrating::new(DpcOptions::new(), self.0) }
    }
}

fn irql() -> u32 {
    ntsim::irql().into()
}

#[test]
fn an_operation_runs_where_it_is_placed() {
    in_kernel(|| {
        let device = Device::new();
        let high = DpcOptions::new().importance(Importance::High);
        let on_dpcs = TaskBuilder::new().on(high).spawn_operation(pin_init!(async { irql() }));
        assert_eq!(on_dpcs.result(), Ok(DISPATCH));
        let on_items = TaskBuilder::new().on(device.items()).spawn_operation(pin_init!(async { irql() }));
        on_items.wait(None).unwrap();
        assert_eq!(on_items.result(), Ok(PASSIVE));
        let moving = TaskBuilder::new().on(device.moving()).spawn_operation(pin_init!(async {
            let there = passive(async { irql() }).await.unwrap();
            (there << 8) | irql()
        }));
        moving.wait(None).unwrap();
        assert_eq!(moving.result(), Ok(PASSIVE << 8 | DISPATCH));
        device.delete();
    });
}

#[test]
fn what_a_placement_refuses_is_the_operations_error() {
    in_kernel(|| {
        let nowhere = Device(null_mut());
        let refused = |operation: ntcom::ComRc<ntcom::AsyncOperationRaw<u32>>| {
            assert_eq!(operation.status(), Ok(AsyncStatus::Error));
            operation.result()
        };
        let wrong = Err(NTSTATUS::INVALID_PARAMETER);
        assert_eq!(
            refused(TaskBuilder::new().on(nowhere.items()).spawn_operation(pin_init!(pending()))),
            wrong
        );
        assert_eq!(
            refused(TaskBuilder::new().on(nowhere.moving()).spawn_operation(pin_init!(pending()))),
            wrong
        );
        assert_eq!(
            refused(
                TaskBuilder::new().on(DpcOptions::new().poll_budget(0)).spawn_operation(pin_init!(pending()))
            ),
            wrong
        );
        assert_eq!(
            refused(
                TaskBuilder::new()
                    .on(DpcOptions::new().processor(0, 9))
                    .spawn_operation(pin_init!(pending()))
            ),
            wrong
        );
        let device = Device::new();
        // SAFETY: the device has not been deleted yet.
        let unlucky = unsafe { Migrating::new(DpcOptions::new().poll_budget(0), device.0) };
        assert_eq!(refused(TaskBuilder::new().on(unlucky).spawn_operation(pin_init!(pending()))), wrong);
        default_tracker(TaskTracker::close);
        let closed = Err(NTSTATUS::DELETE_PENDING);
        assert_eq!(
            refused(TaskBuilder::new().on(device.items()).spawn_operation(pin_init!(pending()))),
            closed
        );
        assert_eq!(
            refused(TaskBuilder::new().on(device.moving()).spawn_operation(pin_init!(pending()))),
            closed
        );
        device.delete();
    });
}

#[test]
fn a_placed_operation_is_cancelled_by_its_handle() {
    in_kernel(|| {
        let device = Device::new();
        let items = TaskBuilder::new().on(device.items());
        let (operation, handle) = items.spawn_operation_cancellable(pin_init!(pending::<u32>()));
        handle.cancel();
        operation.wait(None).unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Canceled));
        let nowhere = TaskBuilder::new().on(Device(null_mut()).items());
        let (refused, handle) = nowhere.spawn_operation_cancellable(pin_init!(pending::<u32>()));
        handle.cancel();
        assert_eq!(refused.result(), Err(NTSTATUS::INVALID_PARAMETER));
        device.delete();
    });
}

#[test]
fn an_operation_in_the_drivers_memory_allocates_nothing() {
    in_kernel(|| {
        let storage: &'static TaskStorage<1024> = Box::leak(Box::default());
        let builder = TaskBuilder::new().allocator(storage);
        default_tracker(TaskTracker::unfinished);
        let before = ntsim::counters().allocations;
        let first = builder.spawn_operation(pin_init!(async { 7_u32 }));
        assert_eq!(first.result(), Ok(7));
        let second = builder.spawn_operation(pin_init!(async { 8_u32 }));
        assert_eq!(second.result(), Err(NTSTATUS::INSUFFICIENT_RESOURCES), "the storage is taken");
        drop(first);
        assert!(storage.is_free());
        let failed = builder.fail_operation::<u32>(NTSTATUS::INVALID_PARAMETER);
        assert_eq!(failed.result(), Err(NTSTATUS::INVALID_PARAMETER));
        assert!(!storage.is_free());
        drop(failed);
        assert!(storage.is_free());
        assert_eq!(ntsim::counters().allocations, before);
    });
}

declare_com_interface! {
    /// An interface to files.
    pub trait IFiles: IUnknown {
        const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7b31);
        /// Yields the length of a file.
        #[opaque]
        async fn length(&self, file: u32) -> Result<u32, NTSTATUS>;
        /// Yields the checksum of a file.
        #[opaque]
        async fn checksum(&self, file: u32) -> u32;
        /// Never ends.
        #[opaque]
        async fn watch(&self) -> u32;
    }
}

struct Files(Device);

// SAFETY: the memory that the bodies touch at DISPATCH_LEVEL is resident.
unsafe impl IFiles for Files {
    type Allocator = GlobalAllocator;
    fn length(&self, file: u32) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        let body = async move {
            assert_eq!(irql(), PASSIVE);
            yield_now().await;
            if file == 0 { Err(NTSTATUS::INVALID_PARAMETER) } else { Ok(file * 10) }
        };
        InitBox::new(GlobalAllocator, pin_init!(body)).on(self.0.items())
    }
    fn checksum(&self, file: u32) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        let make = move |this: This<Self>| async move {
            assert_eq!(irql(), DISPATCH);
            let sum = passive(async { if this.0.0.is_null() { 0 } else { file + irql() } }).await.unwrap();
            assert_eq!(irql(), DISPATCH);
            sum
        };
        InitBox::with_this(GlobalAllocator, make).on(self.0.moving())
    }
    fn watch(&self) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        let body = async {
            let main = sleep(core::time::Duration::from_secs(3600));
            try_finally(main, async { assert_eq!(irql(), PASSIVE) }).await;
            1
        };
        InitBox::new(GlobalAllocator, pin_init!(body)).on(self.0.items())
    }
}

#[test]
fn methods_run_where_their_recipes_say() {
    for seed in 0..100 {
        let config = Config { processors: 1 + (seed % 3) as usize, ..Config::default() };
        let mut kernel = Simulation::new(config, Schedule::seed(seed));
        let program: Program = Box::new(|| {
            let device = Device::new();
            let files = ComObject::<_, IFilesRaw>::new(Files(device)).unwrap();
            let length = files.length(7).unwrap();
            let fails = files.length(0).unwrap();
            let checksum = files.checksum(7).unwrap();
            let watch = files.watch().unwrap();
            watch.cancel().unwrap();
            for operation in [&length, &fails, &checksum, &watch] {
                operation.wait(None).unwrap();
            }
            assert_eq!(length.result(), Ok(70));
            assert_eq!(fails.result(), Err(NTSTATUS::INVALID_PARAMETER));
            assert_eq!(checksum.result(), Ok(7));
            assert_eq!(watch.result(), Err(NTSTATUS::CANCELLED));
            device.delete();
        });
        let run = kernel.run_on(0, program).and_then(|()| kernel.unload());
        run.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}

/// A client may drop the operation at DISPATCH_LEVEL, and the body still ends at PASSIVE_LEVEL.
#[test]
fn the_last_release_at_dispatch_level_ends_a_body_at_passive_level() {
    struct AtPassive;
    impl Drop for AtPassive {
        fn drop(&mut self) {
            assert_eq!(irql(), PASSIVE);
        }
    }
    for seed in 0..60 {
        let config = Config { processors: 2, ..Config::default() };
        let mut kernel = Simulation::new(config, Schedule::seed(seed));
        let program: Program = Box::new(|| {
            let device = Device::new();
            let operation = TaskBuilder::new().on(device.items()).spawn_operation(pin_init!(async {
                let _guard = AtPassive;
                pending::<u32>().await
            }));
            // SAFETY: this runs at PASSIVE_LEVEL, and the IRQL is lowered below.
            let irql = unsafe { ddi::KeRaiseIrqlToDpcLevel() };
            drop(operation);
            // SAFETY: `irql` is the level that the raise returned.
            unsafe { ddi::KeLowerIrql(irql) };
            device.delete();
        });
        let run = kernel.run_on(0, program).and_then(|()| kernel.unload());
        run.unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
    }
}
