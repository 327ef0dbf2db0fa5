//! `ntsim::io`: a client of the driver, and the rules of its I/O manager
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
    (device, io::open(device.0).unwrap())
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
        let file = io::open(device.0).unwrap();
        assert_eq!((file.read(&mut [0; 4]), file.write(b"abc")), (Ok(0), Ok(0)));
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
        assert_eq!(io::open(device.0).err(), Some(STATUS_UNSUCCESSFUL));
        assert_eq!(logged(), ["create"], "neither cleanup nor close");
        device.delete();
    });
}

#[test]
fn the_system_refuses_to_open_devices() {
    fine(|| {
        let device = device(DO_EXCLUSIVE);
        let file = io::open(device.0).unwrap();
        assert_eq!(io::open(device.0).err(), Some(STATUS_ACCESS_DENIED));
        drop(file);
        let again = io::open(device.0).unwrap();
        device.delete();
        assert_eq!(io::open(device.0).err(), Some(STATUS_NO_SUCH_DEVICE));
        drop(again);
        let device = Device::new();
        assert_eq!(io::open(device.0).err(), Some(STATUS_NO_SUCH_DEVICE), "it is being initialised");
        device.delete();
        assert_eq!(io::open_path(r"\Device\Nothing").err(), Some(STATUS_OBJECT_NAME_NOT_FOUND));
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
        let file = io::open(device.0).unwrap();
        assert_eq!(file.read(&mut []), Ok(0));
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
        let mut output = [0; 4];
        assert_eq!(file.ioctl(CODE | METHOD_BUFFERED, &[1, 2, 3], &mut output), Ok(2));
        assert_eq!(output, [2, 3, 0, 0]);
        let outcome = file.start_ioctl(CODE, &[7], 9).wait();
        assert_eq!((outcome.status, outcome.information, &*outcome.data), (0, 2, &[8, outcome.data[1]][..]));
        drop(file);
        device.delete();
    });
}

#[test]
fn more_information_than_the_client_has_room_for_is_a_finding() {
    let of = |request: fn(&io::File) -> Result<usize, NTSTATUS>| {
        failure(move || {
            let (_, file) = buffered();
            set(IRP_MJ_DEVICE_CONTROL, adds_one);
            set(IRP_MJ_READ, adds_one);
            set(IRP_MJ_WRITE, adds_one);
            driver().information.set(5);
            assert!(request(&file).is_err(), "the run has ended");
        })
    };
    let read = of(|file| file.read(&mut [0; 4]));
    assert!(read.starts_with("I/O request: IRP ") && read.contains("a read of 4 bytes"), "{read}");
    assert!(of(|file| file.write(&[0; 4])).contains("a write of 4 bytes"));
    assert!(of(|file| file.ioctl(CODE, &[0; 8], &mut [0; 4])).contains("a control request of 4"));
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
        let mut buffer = [0; 2];
        assert_eq!(file.read(&mut buffer), Err(STATUS_BUFFER_OVERFLOW));
        assert_eq!(buffer, *b"x\0");
        let mut byte = [0];
        assert_eq!(file.read(&mut byte), Err(STATUS_BUFFER_TOO_SMALL), "the information is not limited");
        assert_eq!(byte, [0]);
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
        let mut output = [0; 2];
        assert_eq!(file.ioctl(CODE | METHOD_NEITHER, &[4], &mut output), Ok(1));
        assert_eq!(output, [5, 0]);
        drop(file);
        device.delete();
    });
    let direct = failure(|| assert!(buffered().1.ioctl(CODE | METHOD_OUT_DIRECT, &[], &mut [0]).is_err()));
    assert!(direct.starts_with("not supported: ") && direct.contains("memory descriptor list"), "{direct}");
    let read = failure(|| assert!(io::open(device(DO_DIRECT_IO).0).unwrap().read(&mut [0]).is_err()));
    assert!(read.contains("DO_DIRECT_IO"), "{read}");
}

#[test]
fn the_driver_hears_of_the_close_after_the_last_request() {
    fine(|| {
        let (device, file) = buffered();
        set(IRP_MJ_READ, keeps);
        let [one, two] = [4, 8].map(|length| file.start_read(length));
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
fn a_request_that_is_dropped_is_cancelled() {
    fine(|| {
        let (device, file) = buffered();
        set(IRP_MJ_READ, keeps);
        drop(file.start_read(4));
        assert!(driver().kept.borrow().is_empty());
        drop(file);
        assert_eq!(logged(), ["create", "read", "cleanup", "close"]);
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
                    let request = file.start_read(4);
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
                let mut output = [0];
                assert_eq!(file.ioctl(CODE, &[processor as u8], &mut output), Ok(1));
                assert_eq!(output, [processor as u8 + 1]);
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
            match io::open(device.0) {
                Ok(file) => {
                    let read = file.read(&mut [0; 4]);
                    assert!([Ok(0), Err(STATUS_INSUFFICIENT_RESOURCES)].contains(&read));
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
            let file = io::open(above.0).unwrap();
            set(IRP_MJ_READ, dispatch);
            assert!(file.read(&mut [0; 4]).is_err(), "the run has ended");
        })
    };
    let found = of(by_device);
    assert!(found.starts_with("I/O request: ") && found.contains("not complete"), "{found}");
    let pending = code(|| {
        let (_, file) = buffered();
        set(IRP_MJ_READ, returns_pending);
        assert!(file.read(&mut [0; 4]).is_err(), "the run has ended");
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
    kernel.run_on(0, move || file.set(Some(io::open(first().0).unwrap()))).unwrap();
    // SAFETY: the driver keeps the promises of the DDIs.
    let refused = unsafe { kernel.unload_driver(0) }.unwrap_err().to_string();
    assert!(
        refused.starts_with("unload: ") && refused.contains("1 open handles and 0 requests"),
        "{refused}"
    );
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
    assert_eq!(io::open(device.0).unwrap().read(&mut [0; 4]), Ok(0));
}

#[test]
fn a_use_of_an_irp_that_was_given_away_is_found() {
    assert!(hunter(true).try_run(|kernel| touched(kernel, read_by_hand)).is_ok(), "not in this style");
    let found = hunter(true).try_run(|kernel| touched(kernel, read_by_client)).unwrap_err();
    let text = found.to_string();
    assert_eq!(found.stop.bug_check().unwrap().code, 0xCC, "{text}");
    assert!(text.lines().take(20).any(|line| line.contains("touches_its_irp (io.rs:")), "{text}");
    // Without pages of its own the write is found at the unload.
    let found = hunter(false).try_run(|kernel| touched(kernel, read_by_client)).unwrap_err();
    assert_eq!(found.stop.bug_check().unwrap().code, 0xCC, "{found}");
}
