//! Lives of the driver on the simulated kernel. Each test loads it, uses it from several
//! processors, and unloads it, under many schedules.

use std::{cell::RefCell, collections::HashSet, rc::Rc};

use my_driver::{driver, items::items};

use ntcom::{AsyncStatus, NTSTATUS};
use ntsim::{
    Config, Limits, Program, Simulation, Stop, hunt,
    types::{PDRIVER_OBJECT, PUNICODE_STRING},
};

mod reads;

unsafe extern "C" fn driver_entry(driver: PDRIVER_OBJECT, path: PUNICODE_STRING) -> i32 {
    // SAFETY: these are the system's arguments.
    unsafe { driver::entry(driver, path) }.0
}

fn config() -> Config {
    Config {
        processors: 3,
        // Each block of pool has pages of its own, so a plain access to a freed one is found.
        special_pool: cfg!(all(target_os = "linux", target_arch = "x86_64")),
        // The device's timer is set again and again, so a run must not wait for its end.
        linger: 0,
        // A life has a few hundred steps. A wait that never ends is found sooner.
        step_limit: 100_000,
        // A step takes 200 µs, so the device's timer also expires in the middle of things.
        step_time: 2_000,
        ..Config::default()
    }
}

/// The items that clients have taken. No two may take the same one.
type Taken = Rc<RefCell<HashSet<u32>>>;

fn note(taken: &Taken, item: u32) {
    assert!(taken.borrow_mut().insert(item), "item {item} was taken twice");
}

/// Whether a call failed because an allocation did.
fn is_shortage(status: NTSTATUS) -> bool {
    status == NTSTATUS::INSUFFICIENT_RESOURCES
}

/// Waits for a tick of the clock.
fn wait_a_moment() {
    let mut moment = ntsim::types::LARGE_INTEGER { QuadPart: -1 };
    let mode = ntsim::types::_MODE::KernelMode as i8;
    // SAFETY: the interval is valid for the call.
    unsafe { ntsim::ddi::KeDelayExecutionThread(mode, 0, &raw mut moment) };
}

/// Takes an item by the interface.
fn takes(taken: Taken) -> Program {
    Box::new(move || {
        let operation = items().next().unwrap();
        operation.wait(None).unwrap();
        match operation.result() {
            Ok(item) => note(&taken, item),
            Err(status) => assert!(is_shortage(status), "{status:?}"),
        }
    })
}

/// Begins to take an item, and cancels it after some moments.
fn cancels(taken: Taken, moments: u64) -> Program {
    Box::new(move || {
        let operation = items().next().unwrap();
        (0..moments).for_each(|_| wait_a_moment());
        operation.cancel().unwrap();
        operation.wait(None).unwrap();
        match (operation.status().unwrap(), operation.result()) {
            (AsyncStatus::Completed, Ok(item)) => note(&taken, item),
            (AsyncStatus::Canceled, Err(NTSTATUS::CANCELLED)) => {}
            (AsyncStatus::Error, Err(status)) => assert!(is_shortage(status), "{status:?}"),
            other => panic!("{other:?}"),
        }
    })
}

/// Begins to take an item, and leaves the operation alone. It ends by itself, or in Unload.
fn lets_go() -> Program {
    Box::new(|| drop(items().next().unwrap()))
}

/// Reads an item from the device. The read is cancelled after some moments, if there is a number.
fn reads(taken: Taken, cancelled_after: Option<u64>) -> Program {
    Box::new(move || match reads::read(4, cancelled_after) {
        Ok(item) => note(&taken, item.expect("four bytes were asked for")),
        Err(NTSTATUS::CANCELLED) => assert!(cancelled_after.is_some()),
        Err(status) => assert!(is_shortage(status), "{status:?}"),
    })
}

/// One life of the driver. The number of the case says what its three clients do.
fn life(kernel: &mut Simulation, case: u64) -> Result<(), Stop> {
    // SAFETY: the driver calls the kernel's functions by their rules.
    let status = unsafe { kernel.load_driver(0, driver_entry) }?;
    if status < 0 {
        assert!(is_shortage(NTSTATUS(status)), "{status:#x}");
        return Ok(());
    }
    let taken = Taken::default();
    let clients = (0..3_u64).map(|client| {
        let taken = Rc::clone(&taken);
        let program = match (case + client) % 5 {
            0 => takes(taken),
            1 => cancels(taken, case / 5 % 4),
            2 => reads(taken, None),
            3 => reads(taken, Some(case / 5 % 4)),
            _ => lets_go(),
        };
        // In some lives the device has made items before the first client comes.
        let moments = case / 20 % 4;
        let later: Program = Box::new(move || {
            (0..moments).for_each(|_| wait_a_moment());
            program();
        });
        (client as usize, later)
    });
    kernel.run(clients.collect())?;
    // SAFETY: the clients have ended, and the driver calls the kernel's functions by their rules.
    unsafe { kernel.unload_driver((case % 3) as usize) }
}

#[test]
fn random_lives_leave_nothing() {
    hunt(config()).seeds(500).repeat(5).run_cases(life);
}

#[test]
fn lives_with_few_preemptions_leave_nothing() {
    hunt(config()).pct(200, 3).run_cases(life);
}

/// The first of all schedules of one life with at most one preemption. More `runs` take longer.
#[test]
fn lives_with_one_preemption_leave_nothing() {
    hunt(config())
        .explore(Limits { preemptions: Some(1), runs: 300, ..Limits::default() })
        .run_cases(life);
}

/// Each allocation fails once.
#[test]
fn lives_without_memory_leave_nothing() {
    hunt(config()).starve(6).run_cases(life);
}
