//! Faults of the host in a driver's code. They become NT's bug checks, which depend on IRQL and on
//! the faulting thread.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(feature = "sanitizer")))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{arch::asm, hint::black_box, ptr::null_mut};

use common::{io::*, irps::*, waiting::*, *};
use ntsim::{
    BugCheck, Config, Program, Schedule, Simulation, Stop, ddi,
    sync::{AtomicU32, Ordering},
    types::*,
};

const ACCESS_VIOLATION: u64 = 0xC000_0005;
/// Addresses that fault. They are an offset from null on no page, one that is not canonical, and
/// one of the system's.
const OFFSET: usize = 0x48;
const NOT_CANONICAL: usize = 0x1234_5678_9ABC_DEF0;
const SYSTEM: usize = 0xFFFF_C000_1234_5678;

fn at(address: usize) -> *mut u64 {
    core::ptr::with_exposed_provenance_mut(black_box(address))
}

/// Returns a page that can only be read.
fn read_only() -> *mut u64 {
    static CONSTANT: [u64; 4] = [1, 2, 3, 4];
    core::ptr::from_ref(&CONSTANT[1]).cast_mut()
}

#[inline(never)]
fn read(address: usize) {
    // SAFETY: the test provokes this fault on purpose.
    black_box(unsafe { at(address).read_volatile() });
}

#[inline(never)]
fn write(address: usize) {
    // SAFETY: the test provokes this fault on purpose.
    unsafe { at(address).write_volatile(1) };
}

fn shown(bug: &BugCheck) -> (u32, [u64; 2], u64) {
    let [first, second, third, _] = bug.parameters;
    (bug.code, [first, second], third)
}

fn at_dispatch(f: impl FnOnce() + 'static) -> BugCheck {
    bug(|| {
        raise_to_dpc_level();
        f();
    })
}

#[test]
fn a_null_pointer_is_an_exception_below_dispatch_level() {
    let null = bug(|| read(0));
    assert_eq!((null.code, null.parameters[0]), (0x1E, ACCESS_VIOLATION));
    assert_eq!(null.parameters[2..], [0, 0]);
    assert!(null.rule.contains("a null pointer was read"), "{null}");
    let offset = bug(|| write(OFFSET));
    assert_eq!((offset.code, offset.parameters[2..].to_vec()), (0x1E, vec![1, OFFSET as u64]));
    assert!(offset.rule.contains("0x48 was written to, an offset from a null pointer"), "{offset}");
    let apc = bug(|| {
        raise(1);
        read(0);
    });
    assert_eq!((apc.code, apc.irql), (0x1E, 1));
}

#[test]
fn a_wild_pointer_is_an_exception_or_0x50() {
    let wild = bug(|| read(NOT_CANONICAL));
    assert_eq!((wild.code, wild.parameters[0]), (0x1E, ACCESS_VIOLATION));
    assert_eq!(wild.parameters[2..], [0, NOT_CANONICAL as u64]);
    assert!(wild.rule.contains("not a canonical address"), "{wild}");
    let wild = bug(|| write(NOT_CANONICAL));
    assert_eq!(wild.parameters[2..], [1, NOT_CANONICAL as u64]);
    let system = bug(|| read(SYSTEM));
    assert_eq!(shown(&system).0, 0x50);
    assert_eq!(system.parameters[..2], [SYSTEM as u64, 0]);
    assert_eq!(bug(|| write(SYSTEM)).parameters[..2], [SYSTEM as u64, 2]);
}

#[test]
fn every_bad_address_is_0xd1_at_dispatch_level() {
    for address in [0, OFFSET, NOT_CANONICAL, SYSTEM] {
        assert_eq!(shown(&at_dispatch(move || read(address))), (0xD1, [address as u64, 2], 0));
        assert_eq!(shown(&at_dispatch(move || write(address))), (0xD1, [address as u64, 2], 1));
    }
    let in_dpc = bug(|| _ = Dpc::new(|| read(OFFSET)).insert());
    assert_eq!(shown(&in_dpc), (0xD1, [OFFSET as u64, 2], 0));
}

#[test]
fn a_kernel_call_with_a_bad_pointer_is_0xa_at_dispatch_level() {
    for address in [0, OFFSET, NOT_CANONICAL, SYSTEM] {
        let raised = at_dispatch(move || _ = Event(at(address).cast()).set());
        assert_eq!(shown(&raised).0, 0x0A, "{raised}");
        assert_eq!(raised.parameters[1], 2);
        assert!(raised.rule.starts_with("KeSetEvent: "), "{raised}");
        let low = bug(move || _ = Event(at(address).cast()).set());
        assert_eq!(low.code, if address == SYSTEM { 0x50 } else { 0x1E }, "{low}");
    }
}

#[test]
fn an_atomic_at_a_bad_pointer_is_the_drivers_own_access() {
    let load = || {
        let none: *const AtomicU32 = at(OFFSET).cast();
        // SAFETY: the test provokes this fault on purpose.
        black_box(unsafe { (*none).load(Ordering::Relaxed) });
    };
    assert_eq!(at_dispatch(load).code, 0xD1);
    assert_eq!(bug(load).code, 0x1E);
}

#[test]
fn the_thread_decides_what_an_exception_is() {
    let thread = bug(|| Thread::spawn(|| read(0)).join());
    assert_eq!((thread.code, thread.parameters[0]), (0x7E, ACCESS_VIOLATION));
    let item = bug(|| {
        let item = WorkItem::new(Device::new());
        item.queue(|_| read(0));
    });
    assert_eq!((item.code, item.parameters[0]), (0x7E, ACCESS_VIOLATION));

    unsafe extern "C" fn entry(_driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
        read(0);
        STATUS_SUCCESS
    }
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    // SAFETY: the entry routine calls no DDI.
    let loaded = unsafe { kernel.load_driver(0, entry) };
    assert!(matches!(loaded, Err(Stop::BugCheck(bug)) if bug.code == 0x7E));
    kernel.reset(processors(1), Schedule::round_robin());
    let unloaded = kernel.unload_with(0, program(|| read(0)));
    assert!(matches!(unloaded, Err(Stop::BugCheck(bug)) if bug.code == 0x7E));
}

#[test]
fn an_exception_in_a_dispatch_routine_is_0x3b() {
    unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, _irp: PIRP) -> NTSTATUS {
        read(0);
        STATUS_SUCCESS
    }
    let send = |irql: KIRQL| {
        dispatch_reads(dispatch);
        let (irp, device) = (Irp::new(), Device::new());
        raise(irql);
        irp.send(device);
    };
    let mine = bug(move || send(0));
    assert_eq!((mine.code, mine.parameters[0]), (0x3B, ACCESS_VIOLATION));
    let systems = bug(move || Thread::spawn(move || send(0)).join());
    assert_eq!(systems.code, 0x7E);
    let raised = bug(move || send(2));
    assert_eq!(raised.code, 0xD1);
    let after = bug(|| {
        let before = raise_to_dpc_level();
        lower(before);
        read(0);
    });
    assert_eq!(after.code, 0x1E);
}

/// Removes the next IRP of a cancel-safe queue. Its peek routine calls `act`.
fn in_queue_routine(irql: KIRQL, act: unsafe extern "C" fn(PIO_CSQ, PIRP, PVOID) -> PIRP) -> Stop {
    unsafe extern "C" fn each(_csq: PIO_CSQ, _irp: PIRP) {}
    unsafe extern "C" fn acquire(_csq: PIO_CSQ, _irql: *mut KIRQL) {}
    unsafe extern "C" fn release(_csq: PIO_CSQ, _irql: KIRQL) {}
    let config = Config { hang: core::time::Duration::from_millis(40), ..processors(1) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let outcome = kernel.run_on(0, move || {
        let csq = object::<IO_CSQ>();
        let (insert, remove, complete) = (Some(each as _), Some(each as _), Some(each as _));
        raise(irql);
        // SAFETY: the queue is never freed.
        unsafe {
            ddi::IoCsqInitialize(csq, insert, remove, Some(act), Some(acquire), Some(release), complete)
        };
        // SAFETY: the queue has been initialised.
        unsafe { ddi::IoCsqRemoveNextIrp(csq, null_mut()) };
    });
    outcome.unwrap_err()
}

#[test]
fn the_routines_of_a_cancel_safe_queue_are_the_drivers_code() {
    unsafe extern "C" fn faults(_csq: PIO_CSQ, _irp: PIRP, _context: PVOID) -> PIRP {
        read(OFFSET);
        null_mut()
    }
    unsafe extern "C" fn spins(_csq: PIO_CSQ, _irp: PIRP, _context: PVOID) -> PIRP {
        while black_box(true) {}
        null_mut()
    }
    match in_queue_routine(2, faults) {
        Stop::BugCheck(bug) => assert_eq!(shown(&bug), (0xD1, [OFFSET as u64, 2], 0), "{bug}"),
        other => panic!("{other}"),
    }
    let hang = in_queue_routine(0, spins);
    assert!(matches!(hang, Stop::Failure { oracle: "hang", .. }), "{hang}");
}

#[test]
fn a_call_through_a_null_pointer_names_its_caller() {
    #[inline(never)]
    fn call(address: usize) {
        // SAFETY: the test provokes this fault on purpose.
        let routine: extern "C" fn() = unsafe { core::mem::transmute(at(address)) };
        routine();
        black_box(());
    }
    for address in [OFFSET, NOT_CANONICAL] {
        let low = bug(move || call(address));
        assert_eq!((low.code, low.parameters[2..].to_vec()), (0x1E, vec![8, address as u64]), "{low}");
        assert!(low.backtrace[0].contains("call (faults.rs:"), "{low}");
        let high = at_dispatch(move || call(address));
        assert_eq!(shown(&high), (0xD1, [address as u64, 2], 8), "{high}");
    }
    let data = bug(|| call(core::ptr::from_ref(Box::leak(Box::new(0_u64))).expose_provenance()));
    assert_eq!(data.code, 0xFC, "{data}");
}

#[test]
fn memory_that_is_read_only_is_0xbe_at_every_irql() {
    let low = bug(|| write(read_only().expose_provenance()));
    assert_eq!((low.code, low.parameters[0]), (0xBE, read_only().addr() as u64), "{low}");
    assert_eq!(at_dispatch(|| write(read_only().expose_provenance())).code, 0xBE);
}

#[test]
fn other_exceptions_have_their_codes() {
    #[inline(never)]
    fn divide(dividend: u32, high: u32, divisor: u32) {
        // SAFETY: the test provokes this fault on purpose.
        unsafe { asm!("div {0:e}", in(reg) divisor, inout("eax") dividend => _, inout("edx") high => _) };
    }
    #[inline(never)]
    fn divide_by_memory(high: u32, divisor: &u32) {
        // SAFETY: the test provokes this fault on purpose.
        unsafe { asm!("div dword ptr [{0}]", in(reg) divisor, inout("eax") 1 => _, inout("edx") high => _) };
    }
    let exception = |f: fn()| {
        let (low, high) = (bug(f), at_dispatch(f));
        assert_eq!((low.code, high.code), (0x1E, 0x1E), "{low}{high}");
        assert_eq!(low.parameters[0], high.parameters[0]);
        low.parameters[0]
    };
    assert_eq!(exception(|| divide(1, 0, black_box(0))), 0xC000_0094);
    assert_eq!(exception(|| divide(1, 5, black_box(2))), 0xC000_0095);
    assert_eq!(exception(|| divide_by_memory(0, &black_box(0))), 0xC000_0094);
    assert_eq!(exception(|| divide_by_memory(5, &black_box(2))), 0xC000_0095);
    // SAFETY: the test provokes this fault on purpose.
    assert_eq!(exception(|| unsafe { asm!("ud2") }), 0xC000_001D);
    // SAFETY: the test provokes this fault on purpose.
    assert_eq!(exception(|| unsafe { asm!("int3") }), 0x8000_0003);
    let misaligned = || {
        let bytes = [0_u128; 4];
        let odd = bytes.as_ptr().wrapping_byte_add(8);
        // SAFETY: the operand is in the array; the test provokes this fault on purpose.
        unsafe { asm!("movaps xmm0, [{0}]", in(reg) odd, out("xmm0") _) };
    };
    assert_eq!(exception(misaligned), ACCESS_VIOLATION);
    // SAFETY: the test provokes this fault on purpose.
    let fast_fail = bug(|| unsafe { asm!("int 0x29", in("rcx") 7) });
    assert_eq!((fast_fail.code, fast_fail.parameters[0]), (0x139, 7));
    // SAFETY: the test provokes this fault on purpose.
    let halted = alone(|| unsafe { asm!("hlt") });
    assert!(halted.unwrap_err().to_string().starts_with("not supported: the driver has executed `hlt`"));
}

#[test]
fn the_stop_has_a_backtrace_of_the_driver_only() {
    #[inline(never)]
    fn outer(address: usize) {
        inner(address);
        black_box(());
    }
    #[inline(never)]
    fn inner(address: usize) {
        read(address);
        black_box(());
    }
    let check = |bug: BugCheck| {
        let names: Vec<_> =
            bug.backtrace.iter().map(|line| line.split_once(" (").unwrap_or((line, "")).0).collect();
        let known: Vec<_> =
            names.iter().filter(|name| name.contains("inner") || name.contains("outer")).collect();
        assert_eq!(known.len(), 2, "{bug}");
        assert!(known[0].ends_with("inner") && known[1].ends_with("outer"), "{bug}");
        assert!(bug.backtrace.iter().all(|line| !line.contains("ntsim::engine")), "{bug}");
        assert!(bug.backtrace[0].contains("faults.rs:"), "{bug}");
    };
    check(bug(|| outer(OFFSET)));
    check(bug(|| outer(NOT_CANONICAL)));
    check(bug(|| Thread::spawn(|| outer(0)).join()));
    let in_dpc = bug(|| {
        #[inline(never)]
        fn interrupted() {
            Dpc::new(|| outer(0)).insert();
            black_box(());
        }
        interrupted();
    });
    assert!(in_dpc.backtrace.iter().all(|line| !line.contains("interrupted (")), "{in_dpc}");
    check(in_dpc);
}

#[test]
fn the_process_lives_on_and_the_trace_ends_with_the_stop() {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(1));
    for round in 0..20 {
        for special_pool in [false, true] {
            kernel.reset(Config { special_pool, ..processors(2) }, Schedule::seed(round));
            let stop = kernel
                .programs()
                .on(0, || _ = wait(&Event::notification(), None))
                .on(1, move || if round % 2 == 0 { read(0) } else { _ = Event(at(OFFSET).cast()).set() })
                .run();
            let Err(Stop::BugCheck(bug)) = stop else { panic!("{stop:?}") };
            assert_eq!(bug.code, 0x1E);
            assert!(kernel.trace().to_string().contains("bug check 0x1e"), "{}", kernel.trace());
        }
    }
    kernel.reset(processors(1), Schedule::round_robin());
    kernel.run_on(0, || free(allocate(10))).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn every_thread_of_the_host_can_have_a_fault() {
    let threads: Vec<_> =
        (0..4).map(|_| std::thread::spawn(|| (0..50).all(|_| bug(|| read(0)).code == 0x1E))).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// Lists kernel calls with a pointer, each with its name.
macro_rules! calls {
    ($($name:ident($pointer:ident $(, $argument:expr)*);)*) => {
        [$((stringify!($name), |$pointer: *mut u64| {
            // SAFETY: the test provokes this fault on purpose.
            _ = unsafe { ddi::$name($pointer.cast() $(, $argument)*) };
        }),)*]
    };
}

/// Each kernel call with a pointer to no memory stops the machine and leaves it fit for a reset.
#[test]
fn no_kernel_call_is_left_in_the_middle_of_something() {
    type Call = fn(*mut u64);
    let calls: [(&str, Call); 20] = calls! {
        KeInitializeEvent(p, 0, 0);
        KeSetEvent(p, 0, 0);
        KeInitializeDpc(p, None, null_mut());
        KeInsertQueueDpc(p, null_mut(), null_mut());
        KeInitializeTimer(p);
        KeCancelTimer(p);
        KeInitializeSpinLock(p);
        KeAcquireSpinLockRaiseToDpc(p);
        KeWaitForSingleObject(p, 0, 0, 0, null_mut());
        IofCompleteRequest(p, 0);
        IofCallDriver(p, p.cast());
        RtlInitUnicodeString(p, null_mut());
        RtlCopyUnicodeString(p, p.cast());
        ExFreePool(p);
        IoInitializeWorkItem(p, p.cast());
        KeQuerySystemTimePrecise(p);
        KeReleaseInStackQueuedSpinLock(p);
        IoCsqInsertIrp(p, p.cast(), null_mut());
        IoCsqRemoveIrp(p, null_mut());
        IoCsqRemoveNextIrp(p, null_mut());
    };
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    for (name, call) in calls {
        for address in [0, OFFSET, NOT_CANONICAL, SYSTEM] {
            kernel.reset(processors(1), Schedule::round_robin());
            let stop = kernel.run_on(0, move || call(at(address & !7))).unwrap_err();
            assert!(matches!(stop, Stop::BugCheck(_)), "{name}: {stop}");
        }
    }
}

fn outside_of_a_run() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || {}).unwrap();
    read(0);
}

/// Runs in a process of its own, which the next test starts.
#[test]
#[ignore = "ends its process"]
fn a_fault_outside_of_a_run() {
    outside_of_a_run();
}

/// Runs in a process of its own, which the next test starts.
#[test]
#[ignore = "ends its process"]
fn a_fault_inside_of_the_c_library() {
    let _ = alone(|| {
        // SAFETY: the test provokes this fault on purpose.
        unsafe { fault_below_the_c_library() };
    });
}

/// Faults in a function of the C library that another one has called: `strlen`, by `fputs`.
unsafe fn fault_below_the_c_library() {
    unsafe extern "C" {
        static stdout: *mut u8;
        fn fputs(text: *const u8, stream: *mut u8) -> i32;
    }
    // SAFETY: the test provokes this fault on purpose.
    unsafe { fputs(at(OFFSET).cast(), stdout) };
}

#[test]
fn other_faults_end_the_process_as_ever() {
    use std::os::unix::process::ExitStatusExt as _;

    for name in ["a_fault_outside_of_a_run", "a_fault_inside_of_the_c_library"] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name, "--ignored"]);
        assert_eq!(child.output().unwrap().status.signal(), Some(11), "{name}");
    }
}

/// Runs in a process of its own, which the next test starts.
#[test]
#[ignore = "ends its process"]
fn a_use_of_the_pool_of_a_kernel_that_has_ended() {
    let kept = std::rc::Rc::new(core::cell::Cell::new(0));
    let out = std::rc::Rc::clone(&kept);
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let allocates = program(move || {
        // SAFETY: this runs inside a simulation run, at PASSIVE_LEVEL and with a tag.
        out.set(unsafe { ddi::ExAllocatePool2(POOL_FLAG_NON_PAGED, 64, 0x4141_4141) }.addr());
    });
    kernel.run_on(0, allocates).unwrap();
    drop(kernel);
    read(kept.get());
}

/// Like an interface that a test keeps too long. Its table is read without any atomic.
#[test]
fn what_is_kept_beyond_its_kernel_ends_the_process_with_words() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_use_of_the_pool_of_a_kernel_that_has_ended", "--ignored", "--nocapture"]);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("waker or handle was kept too long"), "{said}");
}

#[test]
fn a_stop_that_has_a_backtrace_reads_back() {
    let programs: Vec<(usize, Program)> = vec![(0, program(|| read(0)))];
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let stop = kernel.run(programs).unwrap_err();
    assert!(!stop.bug_check().unwrap().backtrace.is_empty());
    let text = serde_json::to_string(&stop).unwrap();
    assert_eq!(serde_json::from_str::<Stop>(&text).unwrap(), stop);
}
