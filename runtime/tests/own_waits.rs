//! Tests of waits for the caller's own operation, and for operations that wait for the caller
//! `[C15]`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{future::pending, ptr::null_mut, time::Duration};
use std::sync::{Arc, Mutex};

use ntcom::{AsyncOperation, NTSTATUS, SpawnOperation as _, TaskBuilder, pin_init, spawn_async_operation};
use ntcom_exec::{DpcOptions, Migrating, OnWorkItems, Signal, passive};
use ntsim::{
    Config, Schedule, Simulation, Stop, ddi,
    types::{FILE_DEVICE_UNKNOWN, PDEVICE_OBJECT},
};

/// An operation for bodies to await, which is there once it has been spawned.
#[derive(Clone, Default)]
struct Shared(Arc<(Signal, Mutex<Option<AsyncOperation<u32>>>)>);

impl Shared {
    fn put(&self, operation: AsyncOperation<u32>) {
        *self.0.1.lock().unwrap() = Some(operation);
        self.0.0.set();
    }

    /// Waits until the operation is there, and returns it for one body.
    async fn get(&self) -> AsyncOperation<u32> {
        self.0.0.wait().await;
        self.0.1.lock().unwrap().clone().unwrap()
    }

    fn drop(&self) {
        drop(self.0.1.lock().unwrap().take());
    }
}

/// Runs a program with a device of the driver.
fn with_device(seed: u64, program: impl FnOnce(PDEVICE_OBJECT) + 'static) -> Result<(), Stop> {
    let config = Config { processors: 1 + (seed % 3) as usize, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::seed(seed));
    let program = || {
        let (driver, mut device) = (ntsim::driver_object(), null_mut());
        // SAFETY: the arguments are valid.
        unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
        program(device);
        // SAFETY: the device is deleted once, after its last use.
        unsafe { ddi::IoDeleteDevice(device) };
    };
    kernel.run_on(0, program)?;
    kernel.unload()
}

/// Checks the answers to a body on work items that waits for its own operation.
fn ask(own: &AsyncOperation<u32>) {
    for limit in [None, Some(Duration::MAX), Some(Duration::from_nanos(1))] {
        assert_eq!(own.wait(limit), Err(NTSTATUS::POSSIBLE_DEADLOCK), "{limit:?}");
    }
    assert_eq!(own.wait(Some(Duration::ZERO)), Err(NTSTATUS::TIMEOUT), "zero only looks");
}

#[test]
fn a_body_that_waits_for_its_own_operation_is_told_so() {
    for seed in 0..6 {
        let outcome = with_device(seed, |device| {
            let (own, inside) = (Shared::default(), Shared::default());
            let (body, of_moving) = (own.clone(), inside.clone());
            // SAFETY: `device` belongs to the driver, and is deleted after the spawn.
            let on_items = unsafe { OnWorkItems::of(device) };
            let first = TaskBuilder::new().on(on_items).spawn_operation(pin_init!(async move {
                ask(&body.get().await);
                body.drop();
                7_u32
            }));
            own.put(first.clone());
            // SAFETY: `device` belongs to the driver, and is deleted after the spawn.
            let moving = unsafe { Migrating::new(DpcOptions::new(), device) };
            let second = TaskBuilder::new().on(moving).spawn_operation(pin_init!(async move {
                let own = of_moving.get().await;
                assert_eq!(own.wait(None), Err(NTSTATUS::NOT_SUPPORTED), "at DISPATCH_LEVEL");
                passive(async { ask(&own) }).await.unwrap();
                of_moving.drop();
                7_u32
            }));
            inside.put(second.clone());
            for operation in [first, second] {
                operation.wait(None).unwrap();
                assert_eq!(operation.result(), Ok(7));
            }
        });
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

/// A body may wait for another operation, even while that is being polled elsewhere.
#[test]
fn a_body_waits_for_another_operation() {
    for seed in 0..6 {
        let outcome = with_device(seed, |device| {
            // SAFETY: `device` belongs to the driver, and is deleted after the spawn.
            let on_items = unsafe { OnWorkItems::of(device) };
            let other = TaskBuilder::new().on(on_items).spawn_operation(pin_init!(async {
                ntcom_exec::yield_now().await;
                7_u32
            }));
            let waited = other.clone();
            // SAFETY: `device` belongs to the driver, and is deleted after the spawn.
            let on_items = unsafe { OnWorkItems::of(device) };
            let waits = TaskBuilder::new().on(on_items).spawn_operation(pin_init!(async move {
                waited.wait(None).unwrap();
                8_u32
            }));
            let never = spawn_async_operation(pending::<u32>());
            assert_eq!(never.wait(Some(Duration::from_nanos(1))), Err(NTSTATUS::TIMEOUT));
            never.cancel().unwrap();
            for operation in [&waits, &other] {
                operation.wait(None).unwrap();
            }
        });
        assert_eq!(outcome, Ok(()), "seed {seed}");
    }
}

/// Two bodies wait for each other's operations, and the simulated kernel reports the waiting bodies
/// as a deadlock.
#[test]
fn operations_that_wait_for_each_other_are_a_deadlock() {
    for seed in 0..6 {
        let outcome = with_device(seed, |device| {
            let operations = [Shared::default(), Shared::default()];
            for place in 0..2 {
                let other = operations[1 - place].clone();
                // SAFETY: `device` belongs to the driver, and is deleted after the spawn.
                let on_items = unsafe { OnWorkItems::of(device) };
                let operation = TaskBuilder::new().on(on_items).spawn_operation(pin_init!(async move {
                    other.get().await.wait(None).unwrap();
                    7_u32
                }));
                operations[place].put(operation);
            }
        });
        match outcome {
            Err(Stop::Deadlock { waits }) => assert_eq!(waits.len(), 2, "seed {seed}: {waits:?}"),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
}
