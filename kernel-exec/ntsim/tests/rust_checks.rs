//! Undefined behaviour that Rust's own checks find, in a build with debug assertions, is a bug
//! check as the fault would have been, and the process lives on.
#![cfg(all(
    target_os = "linux",
    target_arch = "x86_64",
    debug_assertions,
    panic = "unwind",
    not(feature = "sanitizer")
))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{hint::black_box, ptr::null_mut};
use std::panic::catch_unwind;

use common::{io::*, irps::*, waiting::*, *};
use ntsim::{BugCheck, Schedule, Simulation, Stop, types::*};

const ACCESS_VIOLATION: u64 = 0xC000_0005;
const MISALIGNED: u64 = 0x4E53_0006;
const PRECONDITION: u64 = 0x4E53_0007;

struct Pair {
    _first: u64,
    second: u64,
}

fn none<T>() -> *mut T {
    black_box(null_mut())
}

/// Uses of a null pointer. The faults are what is tested.
const NULLS: [(&str, fn()); 3] = [
    // SAFETY: none.
    ("a read of a field", || _ = black_box(unsafe { (*none::<Pair>()).second })),
    // SAFETY: none.
    ("a write to a field", || unsafe { (*none::<Pair>()).second = 1 }),
    // SAFETY: none.
    ("a reference", || _ = black_box(unsafe { &*none::<u64>() })),
];

/// What an unsafe function asks of its caller.
const PRECONDITIONS: [(&str, fn()); 3] = [
    // SAFETY: none.
    ("ptr::copy_nonoverlapping", || unsafe { none::<u64>().copy_from_nonoverlapping(&1, 1) }),
    // SAFETY: none.
    ("ptr::write_bytes", || unsafe { none::<u64>().write_bytes(0, 2) }),
    ("slice::from_raw_parts", || {
        // SAFETY: none.
        _ = black_box(unsafe { core::slice::from_raw_parts(none::<u64>(), 2) });
    }),
];

fn misaligned() {
    let words = [1_u64, 2];
    let odd: *const u64 = black_box(words.as_ptr().wrapping_byte_add(1));
    // SAFETY: none: the check is what is tested.
    black_box(unsafe { *odd });
}

/// A program that does so after this one is told from it in a backtrace.
#[inline(never)]
fn driver(f: fn()) {
    f();
    black_box(());
}

fn at_dispatch(f: fn()) -> BugCheck {
    bug(move || {
        raise_to_dpc_level();
        driver(f);
    })
}

/// The report says where.
fn is_told(bug: &BugCheck) {
    assert!(bug.rule.contains("rust_checks.rs:"), "{bug}");
    assert!(bug.backtrace.first().is_some_and(|line| line.contains("rust_checks.rs:")), "{bug:?}");
    assert!(bug.backtrace.iter().any(|line| line.contains("rust_checks::driver (")), "{bug:?}");
    let strange =
        |line: &String| line.contains("panick") || line.contains("ntsim::") || line.contains("core::");
    assert!(!bug.backtrace.iter().any(strange), "{bug:?}");
}

#[test]
fn a_null_pointer_is_what_the_fault_is() {
    for (what, f) in NULLS {
        let low = bug(move || driver(f));
        assert_eq!((low.code, low.parameters[0]), (0x1E, ACCESS_VIOLATION), "{what}: {low}");
        assert_eq!(low.parameters[2..], [0, 0]);
        assert!(low.rule.starts_with("a null pointer was dereferenced: exception"), "{low}");
        is_told(&low);
        let high = at_dispatch(f);
        assert_eq!((high.code, &high.parameters[..3]), (0xD1, &[0, 2, 0][..]), "{what}: {high}");
        is_told(&high);
    }
}

/// `ptr::read` has a check in some versions of Rust, and faults in the others.
#[test]
fn a_read_by_a_function_is_a_bug_check_either_way() {
    // SAFETY: none: the fault is what is tested.
    let bug = bug(|| driver(|| _ = black_box(unsafe { none::<u64>().read() })));
    assert!([ACCESS_VIOLATION, PRECONDITION].contains(&bug.parameters[0]), "{bug}");
}

#[test]
fn the_thread_decides_what_the_exception_is() {
    let read = || driver(NULLS[0].1);
    assert_eq!(bug(move || Thread::spawn(read).join()).code, 0x7E);
    assert_eq!(bug(move || _ = Dpc::new(read).insert()).code, 0xD1);
    let item = bug(move || WorkItem::new(Device::new()).queue(move |_| read()));
    assert_eq!(item.code, 0x7E);

    unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, _irp: PIRP) -> NTSTATUS {
        driver(NULLS[0].1);
        STATUS_SUCCESS
    }
    let sent = bug(|| {
        dispatch_reads(dispatch);
        let (irp, device) = (Irp::new(), Device::new());
        irp.send(device);
    });
    assert_eq!(sent.code, 0x3B);
}

#[test]
fn a_pointer_that_is_not_aligned_is_0xc4() {
    for bug in [bug(|| driver(misaligned)), at_dispatch(misaligned)] {
        assert_eq!((bug.code, bug.parameters[0], bug.parameters[2]), (0xC4, MISALIGNED, 8), "{bug}");
        assert_eq!(bug.parameters[1] % 8, 1);
        assert!(bug.rule.contains("misaligned pointer dereference"), "{bug}");
        assert!(bug.rule.contains("undefined behaviour in Rust"), "{bug}");
        is_told(&bug);
    }
}

#[test]
fn a_precondition_is_0xc4() {
    for (what, f) in PRECONDITIONS {
        for bug in [bug(move || driver(f)), at_dispatch(f)] {
            assert_eq!((bug.code, bug.parameters[0]), (0xC4, PRECONDITION), "{what}: {bug}");
            assert!(bug.rule.contains(what) && bug.rule.contains("unsafe precondition(s) violated"), "{bug}");
            is_told(&bug);
        }
    }
}

/// std counts a thread's panics and holds a lock while it calls the hook.
#[test]
fn the_thread_and_its_hooks_are_as_before() {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(1));
    for round in 0..5 {
        kernel.reset(processors(2), Schedule::seed(round));
        let waits = program(|| _ = wait(&Event::notification(), None));
        let stop = kernel.run(vec![(0, waits), (1, program(|| driver(NULLS[0].1)))]).unwrap_err();
        assert_eq!(stop.bug_check().unwrap().code, 0x1E);
        assert!(!std::thread::panicking());
        // A panic outside of a run is caught as ever. One in a run is no check by its words.
        assert!(catch_unwind(|| panic!("as ever")).is_err());
        kernel.reset(processors(2), Schedule::seed(round));
        let says = || panic!("unsafe precondition(s) violated: by the test's own words");
        let stop = kernel.run_on(0, says).unwrap_err();
        assert!(matches!(&stop, Stop::Panic { message, .. } if message.ends_with("own words")), "{stop}");
        assert!(!std::thread::panicking());
    }
    kernel.reset(processors(1), Schedule::round_robin());
    kernel.run_on(0, || free(allocate(10))).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn every_thread_of_the_host_can_have_one() {
    let runs =
        || (0..5).all(|_| bug(|| driver(NULLS[1].1)).code == 0x1E && bug(|| driver(misaligned)).code == 0xC4);
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(runs)).collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// Run by a test below, in a process of its own.
#[test]
#[ignore = "changes the hook of its process"]
fn a_hook_that_is_set_after_a_check() {
    static SEEN: core::sync::atomic::AtomicU32 = core::sync::atomic::AtomicU32::new(0);
    use core::sync::atomic::Ordering::Relaxed;

    assert_eq!(bug(|| driver(NULLS[0].1)).code, 0x1E);
    // No lock of std's is held. The hook that calls the one before leaves ntsim's in its place.
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        SEEN.fetch_add(1, Relaxed);
        before(panic);
    }));
    assert!(catch_unwind(|| panic!("as ever")).is_err());
    assert_eq!(SEEN.load(Relaxed), 1);
    assert_eq!(bug(|| driver(NULLS[0].1)).code, 0x1E);
    assert_eq!(SEEN.load(Relaxed), 2);
    println!("all is well");
}

/// Run by a test below, in a process of its own.
#[test]
#[ignore = "ends its process"]
fn a_check_outside_of_a_run() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || {}).unwrap();
    driver(NULLS[0].1);
}

/// Run by a test below, in a process of its own.
#[test]
#[ignore = "ends its process"]
fn an_abort_in_a_run() {
    let _ = alone(|| std::process::abort());
}

fn child(name: &str) -> std::process::Output {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap()
}

#[test]
fn a_hook_of_the_program_is_called_too() {
    let output = child("a_hook_that_is_set_after_a_check");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("all is well"));
}

#[test]
fn what_no_run_can_end_ends_the_process_with_its_words() {
    use std::os::unix::process::ExitStatusExt as _;

    for (name, words) in
        [("a_check_outside_of_a_run", "null pointer dereference occurred"), ("an_abort_in_a_run", "")]
    {
        let output = child(name);
        assert_eq!(output.status.signal(), Some(6), "{name}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words), "{name}");
    }
}
