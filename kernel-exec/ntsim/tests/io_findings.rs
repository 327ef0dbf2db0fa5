//! Drivers that break the rules of a request, and are found by their clients of `ntsim::io`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::Cell;
use std::rc::Rc;

use common::{io::*, io_driver::*, irps::*, *};
use ntsim::{Config, Schedule, Simulation, Stop, ddi, io, types::*};

#[test]
fn more_information_than_the_client_has_room_for_is_a_finding() {
    let of = |request: fn(&io::File)| {
        failure(move || {
            let (_, file) = buffered();
            for major in [IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE] {
                set(major, adds_one);
            }
            driver().information.set(5);
            request(&file);
        })
    };
    let found = of(|file| assert!(file.read(4).is_err(), "the run has ended"));
    assert_eq!(found, "io: the driver completes a read with Information 5, but its buffer has 4 bytes");
    let found = of(|file| assert!(file.write(&[0; 4]).is_err(), "the run has ended"));
    assert!(found.contains("a write with Information 5, but its buffer has 4 bytes"), "{found}");
    let found = of(|file| assert!(file.control(CODE, &[0; 8], 4).is_err(), "the run has ended"));
    assert!(found.contains("an I/O control") || found.contains("a I/O control"), "{found}");
}

unsafe extern "C" fn forwards(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let below = device_fields(device).NextDevice;
    Irp(irp).copy_to_next();
    Irp(irp).send(Device(below));
    STATUS_SUCCESS
}

unsafe extern "C" fn by_device(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    match device_fields(device).StackSize {
        // SAFETY: the arguments are the system's.
        1 => unsafe { keeps(device, irp) },
        // SAFETY: the arguments are the system's.
        _ => unsafe { forwards(device, irp) },
    }
}

#[test]
fn a_status_that_is_not_the_requests_is_a_finding() {
    let of = |dispatch: Dispatch| {
        failure(move || {
            let _below = device(DO_BUFFERED_IO);
            let above = device(DO_BUFFERED_IO);
            device_fields(above.0).StackSize = 2;
            let file = io::File::open(above.0).unwrap();
            set(IRP_MJ_READ, dispatch);
            assert!(file.read(4).is_err(), "the run has ended");
        })
    };
    let found = of(by_device);
    assert!(found.starts_with("io: ") && found.contains("not complete"), "{found}");
    let pending = code(|| {
        let (_, file) = buffered();
        set(IRP_MJ_READ, returns_pending);
        assert!(file.read(4).is_err(), "the run has ended");
    });
    assert_eq!(pending, (0xC9, 0x23D));
}

/// Returns STATUS_PENDING without a mark.
unsafe extern "C" fn returns_pending(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    driver().kept.borrow_mut().push(Irp(irp));
    STATUS_PENDING
}

unsafe extern "C" fn unload(_driver: PDRIVER_OBJECT) {
    first().delete();
}

unsafe extern "C" fn entry(driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    device(DO_BUFFERED_IO);
    // SAFETY: the system passes the driver's object.
    unsafe { (*driver).DriverUnload = Some(unload) };
    STATUS_SUCCESS
}

#[test]
fn a_driver_is_not_unloaded_while_a_file_is_open() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    // SAFETY: the driver keeps the promises of the DDIs.
    assert_eq!(unsafe { kernel.load_driver(0, entry) }, Ok(0));
    let kept = Rc::new(Cell::new(None));
    let file = Rc::clone(&kept);
    kernel.run_on(0, move || file.set(Some(io::File::open(first().0).unwrap()))).unwrap();
    // SAFETY: the driver keeps the promises of the DDIs.
    let refused = unsafe { kernel.unload_driver(0) }.unwrap_err().to_string();
    assert!(refused.starts_with("unload: ") && refused.contains("1 handles and 0 requests"), "{refused}");
    kernel.run_on(0, move || drop(kept.take())).unwrap();
    // SAFETY: the driver keeps the promises of the DDIs.
    assert_eq!(unsafe { kernel.unload_driver(0) }, Ok(()));
}

/// A dispatch routine that gives a read to a DPC of the other processor, and then writes to it.
unsafe extern "C" fn touches_its_irp(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    irp.mark_pending();
    if let Some(dpc) = driver().dpc.get() {
        dpc.insert_with(irp.0.expose_provenance(), 0);
    }
    information(irp, 1);
    STATUS_PENDING
}

fn dpc() -> Dpc {
    Dpc::with_arguments(|irp, _| {
        let irp = Irp(core::ptr::with_exposed_provenance_mut(irp));
        information(irp, 0);
        irp.complete(STATUS_SUCCESS);
    })
    .target(1)
}

/// One life of a driver with that bug. `read` reads from its device.
fn touched(kernel: &mut Simulation, read: fn(Device)) -> Result<(), Stop> {
    kernel.run_on(0, move || {
        let device = device(DO_BUFFERED_IO);
        set(IRP_MJ_READ, touches_its_irp);
        driver().dpc.set(Some(dpc()));
        read(device);
        // SAFETY: this is in a run.
        unsafe { ddi::KeFlushQueuedDpcs() };
        driver().dpc.take().unwrap().free();
        device.delete();
    })?;
    kernel.unload()
}

fn hunter(special_pool: bool) -> ntsim::Hunt {
    ntsim::hunt(Config { processors: 2, special_pool, ..Config::default() }).seeds(300).pct(50, 3)
}

/// A client that makes its own IRP, waits, and frees it.
fn read_by_hand(device: Device) {
    let done = waiting::Event::notification();
    let irp = Irp::new().on_completion(move |_| {
        done.set();
        STATUS_MORE_PROCESSING_REQUIRED
    });
    assert_eq!(irp.send(device), STATUS_PENDING);
    waiting::wait(&done, None);
    irp.free();
    done.free();
}

fn read_by_client(device: Device) {
    assert_eq!(io::File::open(device.0).unwrap().read(4), Ok(vec![]));
}

#[test]
fn a_use_of_an_irp_that_was_given_away_is_found() {
    assert!(hunter(true).try_run(|kernel| touched(kernel, read_by_hand)).is_ok(), "not in this style");
    let found = hunter(true).try_run(|kernel| touched(kernel, read_by_client)).unwrap_err();
    let text = found.to_string();
    assert_eq!(found.stop.bug_check().unwrap().code, 0xCC, "{text}");
    assert!(text.lines().take(20).any(|line| line.contains("touches_its_irp (io_findings.rs:")), "{text}");
    // Without pages of its own the write is found at the unload.
    let found = hunter(false).try_run(|kernel| touched(kernel, read_by_client)).unwrap_err();
    assert_eq!(found.stop.bug_check().unwrap().code, 0xCC, "{found}");
}

/// A cancel routine that uses its IRP after it has completed it.
unsafe extern "C" fn completes_and_looks(_device: PDEVICE_OBJECT, irp: PIRP) {
    let irp = Irp(irp);
    release_cancel_lock(irp.cancel_irql());
    irp.complete(STATUS_CANCELLED);
    information(irp, 1);
}

unsafe extern "C" fn keeps_badly(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).mark_pending();
    Irp(irp).set_cancel_routine(Some(completes_and_looks));
    STATUS_PENDING
}

#[test]
fn a_cancel_routine_that_uses_its_completed_irp_is_found() {
    let config = Config { special_pool: true, ..processors(1) };
    let stop = Simulation::new(config, Schedule::round_robin()).run_on(0, || {
        let (_, file) = buffered();
        set(IRP_MJ_READ, keeps_badly);
        assert!(file.start_read(4).unwrap().cancel());
    });
    assert_eq!(stop.unwrap_err().bug_check().unwrap().code, 0xCC);
}
