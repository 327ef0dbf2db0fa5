//! The rules of `ntsim::io`
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

use common::{io::*, io_driver::*, irps::*, *};
use ntsim::{Config, Schedule, Simulation, io, types::*};

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
            device_fields(device.0).Flags = DO_BUFFERED_IO;
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
