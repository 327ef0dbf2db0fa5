//! Tests of the driver's life on the simulated kernel. It is loaded, used from several processors,
//! and unloaded, under a thousand schedules each with and without memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{ptr::null_mut, time::Duration};
use std::collections::HashSet;

use ntcom::{AsyncStatus, ComRc, NTSTATUS};
use ntsim::{
    Config, Program, Schedule, Simulation, Stop, ddi, etw, hunt, io,
    types::{GUID, LARGE_INTEGER, PDRIVER_OBJECT, PUNICODE_STRING},
};
use sensor_driver::{
    driver,
    sensor::{CHANNELS, ISensorRaw},
    trace::LIFE,
};

unsafe extern "C" fn driver_entry(driver: PDRIVER_OBJECT, path: PUNICODE_STRING) -> i32 {
    // SAFETY: the system's arguments are passed on.
    unsafe { driver::entry(driver, path) }.0
}

fn sensor() -> ComRc<ISensorRaw> {
    // SAFETY: the driver is loaded, and is not unloaded before its clients have ended.
    unsafe { driver::sensor_of(io::device()) }.unwrap()
}

/// A second in units of 100 ns.
const SECOND: u64 = 10_000_000;

/// Waits for a clock tick or two.
fn wait_a_moment() {
    let mut moment = LARGE_INTEGER { QuadPart: -1 };
    let mode = ntsim::types::_MODE::KernelMode as i8;
    // SAFETY: the interval is valid for the call, and the mode is KernelMode.
    unsafe { ddi::KeDelayExecutionThread(mode, 0, &raw mut moment) };
}

/// Whether a status is one that a client may get when memory is short.
fn is_shortage(status: NTSTATUS) -> bool {
    status == NTSTATUS::INSUFFICIENT_RESOURCES
}

/// Takes a sample and waits for it.
fn samples(channel: u32) -> Program {
    Box::new(move || {
        let operation = sensor().sample(channel).unwrap();
        operation.wait(None).unwrap();
        match operation.result() {
            Ok(value) => assert_eq!((value, channel < CHANNELS), (channel * 100, true)),
            Err(NTSTATUS::INVALID_PARAMETER) => assert!(channel >= CHANNELS),
            Err(status) => assert!(is_shortage(status), "{status:?}"),
        }
    })
}

/// Cancels a sample after some moments.
fn cancels(channel: u32, moments: u32) -> Program {
    Box::new(move || {
        let operation = sensor().sample(channel).unwrap();
        for _ in 0..moments {
            wait_a_moment();
        }
        operation.cancel().unwrap();
        operation.wait(None).unwrap();
        match operation.status().unwrap() {
            AsyncStatus::Completed => assert_eq!(operation.result(), Ok(channel * 100)),
            AsyncStatus::Canceled => assert_eq!(operation.result(), Err(NTSTATUS::CANCELLED)),
            AsyncStatus::Error => assert!(is_shortage(operation.result().unwrap_err())),
            other => panic!("{other:?}, and the wait has ended"),
        }
    })
}

/// Drops a sample's operation at once, which ends by itself.
fn lets_go(channel: u32) -> Program {
    Box::new(move || drop(sensor().sample(channel).unwrap()))
}

/// Reads `room` bytes from the device, and cancels the read if `gives_up`.
fn reads(room: usize, gives_up: bool) -> Program {
    Box::new(move || {
        let started = io::open().and_then(|file| file.start_read(room));
        let read = match started {
            Ok(read) => read,
            Err(status) => return assert!(is_shortage(NTSTATUS(status))),
        };
        if gives_up {
            read.cancel();
        }
        let ended = read.wait();
        match NTSTATUS(ended.status) {
            NTSTATUS::SUCCESS => assert_eq!((ended.data, room >= 4), (vec![0; 4], true)),
            NTSTATUS::CANCELLED => assert!(gives_up),
            status if status == NTSTATUS::from_u32(0xC000_0023) => assert!(room < 4),
            status => assert!(is_shortage(status), "{status:?}"),
        }
    })
}

/// The programs of a round's clients, which differ from seed to seed.
fn clients(seed: u64) -> Vec<(usize, Program)> {
    (0..3)
        .map(|processor| {
            let choice = (seed / 5_u64.pow(processor)) % 5;
            let channel = (seed % 6) as u32;
            let program = match choice {
                0 => samples(channel),
                1 => cancels(channel % CHANNELS, (seed % 3) as u32),
                2 => lets_go(channel),
                3 => reads(if seed.is_multiple_of(7) { 3 } else { 4 }, seed.is_multiple_of(2)),
                _ => reads(4, false),
            };
            (processor as usize, program)
        })
        .collect()
}

/// Runs the driver's life, and returns whether it could be loaded.
fn live(kernel: &mut Simulation, seed: u64) -> Result<bool, Stop> {
    // SAFETY: the driver calls the DDIs by their rules.
    let status = unsafe { kernel.load_driver(0, driver_entry) }?;
    if status < 0 {
        assert!(is_shortage(NTSTATUS(status)), "{status:#x}");
        return Ok(false);
    }
    kernel.run(clients(seed))?;
    kernel.run_on(0, || assert_eq!(sensor().powered(), Ok(0), "a channel has kept its power"))?;
    // In every fourth round the driver stays loaded for a while.
    if seed.is_multiple_of(4) {
        kernel.run_on(1, || ntsim::advance_time(3 * SECOND))?;
    }
    // SAFETY: the clients have ended, and the driver calls the DDIs by their rules.
    unsafe { kernel.unload_driver((seed % 3) as usize) }?;
    Ok(true)
}

fn config() -> Config {
    // The calibration sets its timer again and again, so a run must limit its wait for timers.
    Config { processors: 3, linger: SECOND / 2, ..Config::default() }
}

#[test]
fn a_thousand_lives_leave_nothing() {
    let mut distinct = HashSet::new();
    let hunted = hunt(config()).seeds(1000).repeat(20).run_cases(|kernel, seed| {
        assert!(live(kernel, seed)?, "the driver was not loaded");
        distinct.insert(kernel.recording().to_string());
        Ok(())
    });
    assert!(hunted.replayed || distinct.len() > 990, "{} different schedules", distinct.len());
}

#[test]
fn a_thousand_lives_with_too_little_memory_leave_nothing() {
    let mut loaded = 0;
    let hunted = hunt(config()).low_memory(1000).run_cases(|kernel, seed| {
        loaded += u32::from(live(kernel, seed)?);
        Ok(())
    });
    assert!(hunted.replayed || (500..1000).contains(&loaded), "loaded {loaded} times of 1000");
}

/// Each allocation of the driver fails once.
#[test]
fn each_allocation_may_fail() {
    hunt(config()).starve(20).run_cases(|kernel, seed| live(kernel, seed * 37).map(drop));
}

/// The calibration goes to PASSIVE_LEVEL each second, and is cancelled at any point.
#[test]
fn the_calibration_is_cancelled_wherever_it_is() {
    hunt(config()).seeds(200).run_cases(|kernel, seed| {
        // SAFETY: the driver calls the DDIs by their rules.
        assert_eq!(unsafe { kernel.load_driver(0, driver_entry) }?, 0);
        let some_time = Duration::from_millis(900 + 10 * (seed % 30)).as_nanos() as u64 / 100;
        kernel.run_on(0, move || ntsim::advance_time(some_time))?;
        // SAFETY: no client uses the driver, and it calls the DDIs by their rules.
        unsafe { kernel.unload_driver(1) }
    });
}

/// The driver's device is not null.
#[test]
fn the_driver_has_a_device() {
    let mut kernel = Simulation::new(config(), Schedule::round_robin());
    // SAFETY: the driver calls the DDIs by their rules.
    assert_eq!(unsafe { kernel.load_driver(0, driver_entry) }.unwrap(), 0);
    kernel.run_on(0, || assert_ne!(io::device(), null_mut())).unwrap_or_else(|stop| panic!("{stop}"));
    // SAFETY: no client uses the driver, and it calls the DDIs by their rules.
    unsafe { kernel.unload_driver(0) }.unwrap_or_else(|stop| panic!("{stop}"));
}

#[test]
fn a_session_hears_that_the_driver_is_loaded_and_unloaded() {
    let mut kernel = Simulation::new(config(), Schedule::round_robin());
    let session = etw::enable(etw::Session {
        match_any_keyword: LIFE,
        ..etw::Session::new(GUID::from_u128(0x0d6a_1e7c_7f5c_4d3e_8a55_1f0f_0c1f_7d03), 4)
    });
    // SAFETY: the driver calls the DDIs by their rules.
    unsafe { kernel.load_driver(0, driver_entry) }.unwrap_or_else(|stop| panic!("{stop}"));
    // SAFETY: no client uses the driver, and it calls the DDIs by their rules.
    unsafe { kernel.unload_driver(0) }.unwrap_or_else(|stop| panic!("{stop}"));
    let heard: Vec<_> = etw::events(session).into_iter().map(|event| (event.level, event.data)).collect();
    let said = ["loaded, 4 channels", "unloaded"];
    let said = said.map(|text| (4, etw::Data::Text(format!("sensor_driver::driver: {text}"))));
    assert_eq!(heard, said);
}
