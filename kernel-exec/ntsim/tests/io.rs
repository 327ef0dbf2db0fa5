//! Files and requests of `ntsim::io`, with a driver that keeps reads until they are served.
#![allow(
    clippy::expect_used,
    clippy::multiple_unsafe_ops_per_block,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the driver is as short as its author would write it, and tests say what they mean"
)]

use core::{cell::RefCell, ffi::c_void, ptr::null_mut};
use std::rc::Rc;

use ntsim::{
    Config, Limits, Schedule, Simulation, Stop, ddi, hunt,
    io::{self, File},
    types::*,
};

/// How the driver breaks the rules.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Breach {
    #[default]
    None,
    /// Its dispatch routine writes to a read after it has given it to its DPC.
    TouchesAfterwards,
    /// It says that it has read more than there is room for.
    SaysTooMuch,
    /// It does not open.
    RefusesToOpen,
}

/// The driver's state, which each run has anew.
#[derive(Default)]
struct Driver {
    breach: Breach,
    seen: RefCell<Vec<u8>>,
    pending: RefCell<Vec<PIRP>>,
    dpc: RefCell<Option<Box<KDPC>>>,
}

thread_local! {
    static DRIVER: RefCell<Rc<Driver>> = RefCell::default();
}

fn driver() -> Rc<Driver> {
    DRIVER.with_borrow(Rc::clone)
}

/// Completes an IRP that the driver owns.
fn complete(irp: PIRP, status: NTSTATUS, information: u64) {
    // SAFETY: the callers own the IRP, and do not use it after this.
    unsafe {
        (*irp).IoStatus.Status = status;
        (*irp).IoStatus.Information = information;
        ddi::IofCompleteRequest(irp, 0);
    }
}

unsafe extern "C" fn cancel(_device: PDEVICE_OBJECT, irp: PIRP) {
    driver().pending.borrow_mut().retain(|pending| *pending != irp);
    // SAFETY: the kernel holds the cancel spin lock, and saved the IRQL in the IRP.
    unsafe { ddi::IoReleaseCancelSpinLock((*irp).CancelIrql) };
    complete(irp, STATUS_CANCELLED, 0);
}

/// Serves the oldest read that no cancel has taken.
unsafe extern "C" fn serve(_dpc: PKDPC, _context: PVOID, _one: PVOID, _two: PVOID) {
    let state = driver();
    loop {
        let next = {
            let mut pending = state.pending.borrow_mut();
            if pending.is_empty() { None } else { Some(pending.remove(0)) }
        };
        let Some(irp) = next else { return };
        // SAFETY: a read that is in the list has not been completed.
        if unsafe { ddi::IoSetCancelRoutine(irp, None) }.is_none() {
            continue;
        }
        // SAFETY: the driver owns the read now. Its location says how much room its buffer has.
        let room = unsafe { (*ddi::IoGetCurrentIrpStackLocation(irp)).Parameters[0] };
        // SAFETY: as above.
        unsafe { (*irp).AssociatedIrp.cast::<u8>().write_bytes(7, room as usize) };
        let more = u64::from(state.breach == Breach::SaysTooMuch);
        return complete(irp, STATUS_SUCCESS, room + more);
    }
}

unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let state = driver();
    // SAFETY: the system passes an IRP that this driver owns now.
    let location = unsafe { &mut *ddi::IoGetCurrentIrpStackLocation(irp) };
    let major = usize::from(location.MajorFunction);
    state.seen.borrow_mut().push(location.MajorFunction);
    match major {
        IRP_MJ_READ => {
            // SAFETY: the driver owns the IRP until a routine below completes it.
            unsafe {
                ddi::IoMarkIrpPending(irp);
                ddi::IoSetCancelRoutine(irp, Some(cancel));
            }
            state.pending.borrow_mut().push(irp);
            // No borrow may last over a kernel call, because another processor can come in there.
            let dpc = state.dpc.borrow_mut().as_mut().map(|dpc| &raw mut **dpc);
            if let Some(dpc) = dpc {
                // SAFETY: the DPC was initialised by DriverEntry.
                unsafe { ddi::KeInsertQueueDpc(dpc, null_mut(), null_mut()) };
            }
            if state.breach == Breach::TouchesAfterwards {
                // SAFETY: not kept. The read may have been completed and freed.
                unsafe { (*irp).IoStatus.Information = 1 };
            }
            STATUS_PENDING
        }
        IRP_MJ_CREATE if state.breach == Breach::RefusesToOpen => {
            complete(irp, STATUS_ACCESS_DENIED, 0);
            STATUS_ACCESS_DENIED
        }
        IRP_MJ_CREATE => {
            // SAFETY: the file object exists from its open to its close.
            unsafe { (*location.FileObject).FsContext = irp.cast() };
            complete(irp, STATUS_SUCCESS, 0);
            STATUS_SUCCESS
        }
        IRP_MJ_DEVICE_CONTROL => {
            let [room, length, _, input] = location.Parameters;
            // SAFETY: the I/O manager's buffers have these sizes, and the IRP is the driver's.
            unsafe {
                let buffered = (*irp).AssociatedIrp.cast::<u8>();
                let (from, to) = match buffered.is_null() {
                    true => {
                        (core::ptr::with_exposed_provenance::<u8>(input as usize), (*irp).UserBuffer.cast())
                    }
                    false => (buffered.cast_const(), buffered),
                };
                let count = room.min(length);
                (0..count as usize).for_each(|at| to.add(at).write(from.add(at).read() + 1));
                complete(irp, STATUS_SUCCESS, count);
            }
            STATUS_SUCCESS
        }
        IRP_MJ_WRITE => {
            let length = location.Parameters[0];
            complete(irp, STATUS_SUCCESS, length);
            STATUS_SUCCESS
        }
        _ => {
            complete(irp, STATUS_SUCCESS, 0);
            STATUS_SUCCESS
        }
    }
}

unsafe extern "C" fn unload(object: PDRIVER_OBJECT) {
    // SAFETY: the driver's device, which is not open.
    unsafe { ddi::IoDeleteDevice((*object).DeviceObject) };
}

unsafe extern "C" fn driver_entry(object: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    // SAFETY: the system passes the driver's own object.
    let object = unsafe { &mut *object };
    object.DriverUnload = Some(unload);
    object.MajorFunction.fill(dispatch as *mut c_void);
    let mut dpc = Box::new(KDPC::default());
    // SAFETY: the DPC is at its final address.
    unsafe { ddi::KeInitializeDpc(&raw mut *dpc, Some(serve), null_mut()) };
    // SAFETY: the DPC is initialised; processor 1 exists.
    unsafe { ddi::KeSetTargetProcessorDpc(&raw mut *dpc, 1) };
    driver().dpc.replace(Some(dpc));
    let mut device = null_mut();
    // SAFETY: the arguments are valid.
    let status =
        unsafe { ddi::IoCreateDevice(object, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
    if status == STATUS_SUCCESS {
        // SAFETY: the new device.
        unsafe { (*device).Flags |= DO_BUFFERED_IO };
    }
    status
}

const TWO: Config = Config { processors: 2, ..Config::DEFAULT };

/// One life of a driver with this breach, and its client on processor 0.
fn life(kernel: &mut Simulation, breach: Breach, client: impl FnOnce() + 'static) -> Result<(), Stop> {
    DRIVER.set(Rc::new(Driver { breach, ..Driver::default() }));
    // SAFETY: the driver keeps the promises of the DDIs, or the test expects it to be caught.
    if unsafe { kernel.load_driver(0, driver_entry) }? != STATUS_SUCCESS {
        return Ok(());
    }
    kernel.run_on(0, client)?;
    // SAFETY: as above.
    unsafe { kernel.unload_driver(0) }
}

fn once(breach: Breach, client: impl FnOnce() + 'static) -> Result<(), Stop> {
    life(&mut Simulation::new(TWO, Schedule::seed(1)), breach, client)
}

fn open() -> File {
    io::open().unwrap()
}

fn seen() -> Vec<usize> {
    driver().seen.borrow().iter().copied().map(usize::from).collect()
}

#[test]
fn data_goes_through_the_system_buffer() {
    let client = || {
        let file = open();
        assert_eq!(file.read(3), Ok(vec![7; 3]));
        assert_eq!(file.read(0), Ok(vec![]));
        assert_eq!(file.write(&[1, 2]), Ok(2));
        assert_eq!(file.control(METHOD_BUFFERED, &[1, 2, 3], 2), Ok(vec![2, 3]));
        assert_eq!(file.control(METHOD_NEITHER, &[1, 2, 3], 5), Ok(vec![2, 3, 4]));
    };
    once(Breach::None, client).unwrap();
}

#[test]
fn a_file_is_cleaned_up_with_its_last_handle_and_closed_after_its_last_request() {
    let client = || {
        let file = open();
        let other = file.clone();
        // No DPC serves this read.
        let dpc = driver().dpc.take();
        let read = file.start_read(1).unwrap();
        file.close();
        assert_eq!(seen(), [IRP_MJ_CREATE, IRP_MJ_READ]);
        other.close();
        assert_eq!(seen(), [IRP_MJ_CREATE, IRP_MJ_READ, IRP_MJ_CLEANUP]);
        assert!(read.cancel() && read.is_complete());
        let ended = read.wait();
        assert_eq!((ended.status, ended.data), (STATUS_CANCELLED, vec![]));
        assert_eq!(seen(), [IRP_MJ_CREATE, IRP_MJ_READ, IRP_MJ_CLEANUP, IRP_MJ_CLOSE]);
        driver().dpc.replace(dpc);
    };
    once(Breach::None, client).unwrap();
}

#[test]
fn a_request_that_is_dropped_is_cancelled() {
    let client = || {
        let file = open();
        let dpc = driver().dpc.take();
        drop(file.start_read(1).unwrap());
        assert!(driver().pending.borrow().is_empty());
        driver().dpc.replace(dpc);
    };
    once(Breach::None, client).unwrap();
}

#[test]
fn a_driver_that_refuses_to_open_gets_no_close() {
    let client = || {
        assert_eq!(io::open().unwrap_err(), STATUS_ACCESS_DENIED);
        assert_eq!(File::open(null_mut()).unwrap_err(), STATUS_NO_SUCH_DEVICE);
        assert_eq!(seen(), [IRP_MJ_CREATE]);
    };
    once(Breach::RefusesToOpen, client).unwrap();
}

#[test]
fn an_exclusive_device_is_opened_once_at_a_time() {
    let client = || {
        // SAFETY: the driver's device.
        unsafe { (*io::device()).Flags |= DO_EXCLUSIVE };
        let file = open();
        assert_eq!(io::open().unwrap_err(), STATUS_ACCESS_DENIED);
        file.close();
        open().close();
    };
    once(Breach::None, client).unwrap();
}

#[test]
fn information_beyond_the_buffer_is_a_finding() {
    let stop = once(Breach::SaysTooMuch, || drop(open().read(2))).unwrap_err();
    assert!(stop.to_string().contains("a read with Information 3, but its buffer has 2 bytes"), "{stop}");
}

#[test]
fn direct_transfers_are_refused() {
    let stop = once(Breach::None, || drop(open().control(2, &[], 1))).unwrap_err();
    assert!(matches!(stop, Stop::Failure { oracle: "not supported", .. }), "{stop}");
}

#[test]
fn a_driver_with_an_open_device_is_not_unloaded() {
    let mut kernel = Simulation::new(TWO, Schedule::seed(1));
    let kept = Rc::new(RefCell::new(None));
    let keeps = Rc::clone(&kept);
    let stop = life(&mut kernel, Breach::None, move || _ = keeps.replace(Some(open()))).unwrap_err();
    assert!(stop.to_string().contains("is open (1 files)"), "{stop}");
    drop(kept.take());
}

/// Reads and cancels from two programs meet the DPC that serves the reads, and the close.
#[test]
fn reads_cancels_and_closes_meet() {
    let round = |kernel: &mut Simulation| {
        DRIVER.set(Rc::default());
        // SAFETY: the driver keeps the promises of the DDIs.
        if unsafe { kernel.load_driver(0, driver_entry) }? != STATUS_SUCCESS {
            return Ok(());
        }
        let reads = || drop(io::open().map(|file| file.read(2)));
        let cancels = || {
            let Ok(file) = io::open() else { return };
            let Ok(read) = file.start_read(2) else { return };
            file.close();
            read.cancel();
            let ended = read.wait();
            assert!(ended.status == STATUS_CANCELLED || ended.data == [7, 7], "{ended:?}");
        };
        kernel.programs().on(0, reads).on(1, cancels).run()?;
        // SAFETY: as above.
        unsafe { kernel.unload_driver(0) }
    };
    let limits = Limits { preemptions: Some(1), ..Limits::default() };
    let hunted = hunt(TWO).seeds(300).explore(limits).starve(1).low_memory(100).run(round);
    assert!(hunted.complete, "{hunted:?}");
}

#[test]
fn a_driver_that_touches_a_request_after_it_has_given_it_away_is_found() {
    let round = |kernel: &mut Simulation| life(kernel, Breach::TouchesAfterwards, || drop(open().read(1)));
    let config = Config { special_pool: true, ..TWO };
    let found = hunt(config).seeds(200).try_run(round).expect_err("a use of a freed IRP");
    let text = found.to_string();
    assert!(found.stop.bug_check().is_some() && text.contains("dispatch (io.rs:"), "{text}");
    assert!(text.contains("IofCompleteRequest"), "{text}");
}
