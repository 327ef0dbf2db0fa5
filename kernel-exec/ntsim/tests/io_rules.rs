//! The rules of `ntsim::io` against drivers that keep and break them
//! (learn.microsoft.com/windows-hardware/drivers/kernel/irp-mj-cleanup, `irp-mj-close`,
//! `buffer-descriptions-for-i-o-control-codes`).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::cell::{Cell, RefCell};
use std::{collections::BTreeSet, rc::Rc};

use common::{io::*, irps::*, *};
use ntsim::{Config, Schedule, Simulation, Stop, ddi, io, types::*};

type Dispatch = unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS;

/// The log of the tests' driver, and the IRPs that it keeps.
#[derive(Default)]
struct Driver {
    log: RefCell<Vec<String>>,
    kept: RefCell<Vec<Irp>>,
    dpc: Cell<Option<Dpc>>,
    information: Cell<u64>,
}

fn driver() -> &'static Driver {
    // SAFETY: image state lives until the simulation is reset, which no test's run outlives.
    unsafe { &*ntsim::image_state::<Driver>() }
}

fn log(line: impl Into<String>) {
    driver().log.borrow_mut().push(line.into());
}

fn logged() -> Vec<String> {
    driver().log.take()
}

/// Sets the dispatch routine of a function.
fn set(major: usize, routine: Dispatch) {
    // SAFETY: the driver object lives as long as the simulation, and no other reference is used.
    let driver = unsafe { &mut *ntsim::driver_object() };
    *driver.MajorFunction.get_mut(major).unwrap() = routine as *mut core::ffi::c_void;
}

/// Sets the dispatch routine of all functions but control requests.
fn set_all(routine: Dispatch) {
    for major in [IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE, IRP_MJ_READ, IRP_MJ_WRITE] {
        set(major, routine);
    }
}

/// The name of the function of an IRP.
fn name(irp: Irp) -> &'static str {
    match usize::from(irp.current().MajorFunction) {
        IRP_MJ_CREATE => "create",
        IRP_MJ_CLEANUP => "cleanup",
        IRP_MJ_CLOSE => "close",
        IRP_MJ_READ => "read",
        IRP_MJ_WRITE => "write",
        _ => "control",
    }
}

/// Logs the request and succeeds.
unsafe extern "C" fn succeeds(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    log(name(Irp(irp)));
    Irp(irp).complete(STATUS_SUCCESS)
}

unsafe extern "C" fn fails(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    log(name(Irp(irp)));
    Irp(irp).complete(STATUS_UNSUCCESSFUL)
}

unsafe extern "C" fn on_cancel(_device: PDEVICE_OBJECT, irp: PIRP) {
    let irp = Irp(irp);
    driver().kept.borrow_mut().retain(|kept| kept.0 != irp.0);
    release_cancel_lock(irp.cancel_irql());
    irp.complete(STATUS_CANCELLED);
}

/// Keeps the request, until it is cancelled or [`complete_kept`].
unsafe extern "C" fn keeps(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    log(name(Irp(irp)));
    let irp = Irp(irp);
    irp.mark_pending();
    let irql = acquire_cancel_lock();
    irp.set_cancel_routine(Some(on_cancel));
    if irp.is_canceled() && irp.set_cancel_routine(None) {
        release_cancel_lock(irql);
        irp.complete(STATUS_CANCELLED);
    } else {
        driver().kept.borrow_mut().push(irp);
        release_cancel_lock(irql);
    }
    STATUS_PENDING
}

/// Completes the first request that [`keeps`] has kept. False without one.
fn complete_kept() -> bool {
    let irql = acquire_cancel_lock();
    let first = driver().kept.borrow().first().copied();
    let mine = first.filter(|irp| irp.set_cancel_routine(None));
    if mine.is_some() {
        driver().kept.borrow_mut().remove(0);
    }
    release_cancel_lock(irql);
    mine.is_some_and(|irp| irp.complete(STATUS_SUCCESS) == STATUS_SUCCESS)
}

/// The fields of an IRP that the driver has.
fn fields<'a>(irp: Irp) -> &'a mut IRP {
    // SAFETY: the driver has the IRP, and no other reference is used.
    unsafe { &mut *irp.0 }
}

fn information(irp: Irp, information: u64) {
    fields(irp).IoStatus.Information = information;
}

fn system_buffer(irp: Irp) -> *mut u8 {
    fields(irp).AssociatedIrp.cast()
}

/// The fields of a device that exists.
fn object<'a>(device: PDEVICE_OBJECT) -> &'a mut DEVICE_OBJECT {
    // SAFETY: the device exists, and no other reference is used.
    unsafe { &mut *device }
}

/// The first device of the driver.
fn first() -> Device {
    // SAFETY: the driver object lives as long as the simulation.
    Device(unsafe { (*ntsim::driver_object()).DeviceObject })
}

/// Adds one to each byte of the system buffer, and claims the information that the test wants.
unsafe extern "C" fn adds_one(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    let [first, second, ..] = irp.current().Parameters;
    for index in 0..first.max(second) as usize {
        let byte = system_buffer(irp).wrapping_add(index);
        // SAFETY: the buffer has this length.
        let byte = unsafe { &mut *byte };
        *byte = byte.wrapping_add(1);
    }
    information(irp, driver().information.get());
    irp.complete(STATUS_SUCCESS)
}

/// A device that can be opened, with these flags.
fn device(flags: u32) -> Device {
    let device = Device::new();
    object(device.0).Flags = device.flags() & !DO_DEVICE_INITIALIZING | flags;
    set_all(succeeds);
    device
}

fn buffered() -> (Device, io::File) {
    let device = device(DO_BUFFERED_IO);
    (device, io::File::open(device.0).unwrap())
}

fn failure(f: impl FnOnce() + 'static) -> String {
    match alone(f) {
        Err(Stop::Failure { oracle, message, .. }) => format!("{oracle}: {message}"),
        other => panic!("no failure, but {other:?}"),
    }
}

#[test]
fn a_file_is_created_used_cleaned_up_and_closed() {
    fine(|| {
        let device = device(DO_BUFFERED_IO);
        let file = io::File::open(device.0).unwrap();
        assert_eq!((file.read(4), file.write(b"abc")), (Ok(vec![]), Ok(0)));
        let other = file.clone();
        file.close();
        assert_eq!(logged(), ["create", "read", "write"]);
        other.close();
        assert_eq!(logged(), ["cleanup", "close"]);
        device.delete();
    });
}

#[test]
fn a_device_that_no_routine_opens_is_not_opened() {
    fine(|| {
        let device = device(0);
        set(IRP_MJ_CREATE, fails);
        assert_eq!(io::File::open(device.0).err(), Some(STATUS_UNSUCCESSFUL));
        assert_eq!(logged(), ["create"], "neither cleanup nor close");
        device.delete();
    });
}

#[test]
fn the_system_refuses_to_open_devices() {
    fine(|| {
        let device = device(DO_EXCLUSIVE);
        let file = io::File::open(device.0).unwrap();
        assert_eq!(io::File::open(device.0).err(), Some(STATUS_ACCESS_DENIED));
        drop(file);
        let again = io::File::open(device.0).unwrap();
        device.delete();
        assert_eq!(io::File::open(device.0).err(), Some(STATUS_NO_SUCH_DEVICE));
        drop(again);
        let device = Device::new();
        assert_eq!(io::File::open(device.0).err(), Some(STATUS_NO_SUCH_DEVICE), "it is being initialised");
        device.delete();
        assert_eq!(io::File::open_path(r"\Device\Nothing").err(), Some(STATUS_OBJECT_NAME_NOT_FOUND));
    });
}

unsafe extern "C" fn looks(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    let location = irp.current();
    // SAFETY: the request has a file object.
    let file = unsafe { &mut *location.FileObject };
    match usize::from(location.MajorFunction) {
        IRP_MJ_CREATE => file.FsContext = system_buffer(irp).wrapping_add(0x1234).cast(),
        _ => log(format!("{} {:#x}", name(irp), file.FsContext as usize)),
    }
    assert!(file.DeviceObject == location.DeviceObject && file.FileName.Buffer.is_null());
    irp.complete(STATUS_SUCCESS)
}

#[test]
fn a_drivers_context_stays_in_the_file_object() {
    fine(|| {
        let device = device(DO_BUFFERED_IO);
        set_all(looks);
        let file = io::File::open(device.0).unwrap();
        assert_eq!(file.read(0), Ok(vec![]));
        drop(file);
        assert_eq!(logged(), ["read 0x1234", "cleanup 0x1234", "close 0x1234"]);
        device.delete();
    });
}

/// The control code of the tests, for each method of buffering.
const CODE: u32 = FILE_DEVICE_UNKNOWN << 16 | 0x800 << 2;

#[test]
fn a_system_buffer_is_copied_in_and_as_far_as_the_driver_says_out() {
    fine(|| {
        let (device, file) = buffered();
        set(IRP_MJ_DEVICE_CONTROL, adds_one);
        driver().information.set(2);
        assert_eq!(file.control(CODE | METHOD_BUFFERED, &[1, 2, 3], 4), Ok(vec![2, 3]));
        assert_eq!(file.control(CODE, &[7], 9).unwrap()[0], 8);
        drop(file);
        device.delete();
    });
}

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

unsafe extern "C" fn needs_more(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    let room = irp.current().Parameters[0];
    // SAFETY: the buffer has at least one byte.
    unsafe { system_buffer(irp).write(b'x') };
    let (status, bytes) = if room > 1 { (STATUS_BUFFER_OVERFLOW, 1) } else { (STATUS_BUFFER_TOO_SMALL, 2) };
    information(irp, bytes);
    irp.complete(status)
}

#[test]
fn a_warning_has_data_and_an_error_none() {
    fine(|| {
        let (device, file) = buffered();
        set(IRP_MJ_READ, needs_more);
        let warned = file.start_read(2).unwrap().wait();
        assert_eq!((warned.status, &*warned.data), (STATUS_BUFFER_OVERFLOW, &b"x"[..]));
        let failed = file.start_read(1).unwrap().wait();
        assert_eq!((failed.status, failed.information), (STATUS_BUFFER_TOO_SMALL, 2), "no limit");
        assert!(failed.data.is_empty());
        drop(file);
        device.delete();
    });
}

unsafe extern "C" fn uses_the_clients(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let irp = Irp(irp);
    let input: *const u8 = core::ptr::with_exposed_provenance(irp.current().Parameters[3] as usize);
    // SAFETY: the client's input has a byte.
    let byte = unsafe { input.read() } + 1;
    // SAFETY: the client has room for a byte.
    unsafe { fields(irp).UserBuffer.cast::<u8>().write(byte) };
    information(irp, 1);
    irp.complete(STATUS_SUCCESS)
}

#[test]
fn direct_buffers_are_refused_and_others_are_the_clients() {
    fine(|| {
        let (device, file) = buffered();
        set(IRP_MJ_DEVICE_CONTROL, uses_the_clients);
        assert_eq!(file.control(CODE | METHOD_NEITHER, &[4], 2), Ok(vec![5]));
        set(IRP_MJ_DEVICE_CONTROL, succeeds);
        assert_eq!(file.control(CODE | METHOD_IN_DIRECT, &[4], 0), Ok(vec![]), "no list is needed");
        drop(file);
        device.delete();
    });
    let read = failure(|| assert!(io::File::open(device(DO_DIRECT_IO).0).unwrap().read(1).is_err()));
    assert!(read.starts_with("not supported: "), "{read}");
}

#[test]
fn the_driver_hears_of_the_close_after_the_last_request() {
    fine(|| {
        let (device, file) = buffered();
        set(IRP_MJ_READ, keeps);
        let [one, two] = [4, 8].map(|length| file.start_read(length).unwrap());
        file.close();
        assert_eq!(logged(), ["create", "read", "read", "cleanup"]);
        assert!(complete_kept() && one.is_complete() && !two.is_complete());
        assert_eq!(one.wait().status, STATUS_SUCCESS);
        assert_eq!(logged(), [""; 0], "a request is left");
        assert!(two.cancel());
        assert_eq!(two.wait().status, STATUS_CANCELLED);
        assert_eq!(logged(), ["close"]);
        device.delete();
    });
}

#[test]
fn a_cancel_may_meet_the_completion() {
    let mut outcomes = BTreeSet::new();
    ntsim::hunt(Config { processors: 2, special_pool: true, ..Config::default() })
        .seeds(300)
        .explore(ntsim::Limits::default())
        .run(|kernel| {
            let seen = Rc::new(Cell::new(0));
            let result = Rc::clone(&seen);
            kernel.run_on(0, || set(IRP_MJ_READ, succeeds))?;
            kernel
                .programs()
                .on(0, move || {
                    let (device, file) = buffered();
                    set(IRP_MJ_READ, keeps);
                    let request = file.start_read(4).unwrap();
                    request.cancel();
                    result.set(request.wait().status);
                    drop(file);
                    device.delete();
                })
                .on(1, || {
                    complete_kept();
                })
                .run()?;
            outcomes.insert(seen.get());
            kernel.unload()
        });
    assert_eq!(Vec::from_iter(outcomes), [STATUS_CANCELLED, STATUS_SUCCESS]);
}

/// Programs of several processors share a file, and each closes its handle.
#[test]
fn several_programs_share_a_file() {
    ntsim::hunt(Config { processors: 3, special_pool: true, ..Config::default() }).seeds(200).run(|kernel| {
        let shared = Rc::new(RefCell::new(Vec::new()));
        let files = Rc::clone(&shared);
        kernel.run_on(0, move || {
            let (_, file) = buffered();
            set(IRP_MJ_DEVICE_CONTROL, adds_one);
            driver().information.set(1);
            files.replace(vec![file.clone(), file.clone(), file]);
        })?;
        let mut programs = kernel.programs();
        for processor in 0..3 {
            let file = shared.borrow_mut().pop().unwrap();
            programs = programs.on(processor, move || {
                assert_eq!(file.control(CODE, &[processor as u8], 1), Ok(vec![processor as u8 + 1]));
            });
        }
        programs.run()?;
        kernel.run_on(0, || {
            assert_eq!(logged(), ["create", "cleanup", "close"]);
            first().delete();
        })?;
        kernel.unload()
    });
}

#[test]
fn memory_may_be_low_but_a_close_needs_none() {
    ntsim::hunt(Config { special_pool: true, ..Config::default() }).starve(40).run(|kernel| {
        kernel.run_on(0, || {
            let Some(device) = Device::try_new(0) else { return };
            object(device.0).Flags = DO_BUFFERED_IO;
            set_all(succeeds);
            match io::File::open(device.0) {
                Ok(file) => {
                    let read = file.read(4);
                    assert!([Ok(vec![]), Err(STATUS_INSUFFICIENT_RESOURCES)].contains(&read));
                    drop(file);
                    assert!(logged().ends_with(&["cleanup".into(), "close".into()]));
                }
                Err(status) => assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES),
            }
            device.delete();
        })?;
        kernel.unload()
    });
}

unsafe extern "C" fn forwards(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let below = object(device).NextDevice;
    Irp(irp).copy_to_next();
    Irp(irp).send(Device(below));
    STATUS_SUCCESS
}

unsafe extern "C" fn by_device(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    match object(device).StackSize {
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
            object(above.0).StackSize = 2;
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
    assert!(text.lines().take(20).any(|line| line.contains("touches_its_irp (io_rules.rs:")), "{text}");
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

/// Two programs open an exclusive device.
#[test]
fn one_of_two_programs_opens_an_exclusive_device() {
    let config = Config { processors: 2, special_pool: true, ..Config::default() };
    ntsim::hunt(config).seeds(100).explore(ntsim::Limits::default()).run(|kernel| {
        kernel.run_on(0, || _ = device(DO_EXCLUSIVE))?;
        let files = Rc::new(RefCell::new(Vec::new()));
        let mut programs = kernel.programs();
        for processor in 0..2 {
            let files = Rc::clone(&files);
            programs = programs.on(processor, move || {
                let file = io::open();
                files.borrow_mut().push(file);
            });
        }
        programs.run()?;
        kernel.run_on(0, move || {
            let opened = files.take().into_iter().filter(Result::is_ok).count();
            assert_eq!(opened, 1);
            first().delete();
        })?;
        kernel.unload()
    });
}

#[test]
fn a_client_may_look_again_and_again_until_its_request_is_complete() {
    let mut kernel = Simulation::new(processors(2), Schedule::round_robin());
    kernel.run_on(0, || _ = device(DO_BUFFERED_IO)).unwrap();
    let looks = || {
        set(IRP_MJ_READ, keeps);
        let file = io::open().unwrap();
        let read = file.start_read(1).unwrap();
        while !read.is_complete() {}
        assert_eq!(read.wait().status, STATUS_SUCCESS);
    };
    kernel.programs().on(0, looks).on(1, || while !complete_kept() {}).run().unwrap();
    kernel.run_on(0, || first().delete()).unwrap();
    kernel.unload().unwrap();
}
