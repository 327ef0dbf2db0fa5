//! Rules that the calls' pages state and that neither NT nor Driver Verifier checks
//! (learn.microsoft.com/windows-hardware/drivers/devtest/wdm-spinlocksafe, the IRQL lines of the
//! pages under learn.microsoft.com/windows-hardware/drivers/ddi/wdm/,
//! learn.microsoft.com/windows-hardware/drivers/kernel/pool_flags).
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use common::{io::*, irps::*, locks::*, *};
use ntsim::{Config, Schedule, Simulation, Stop, ddi, types::*};

const SPIN_LOCK_HELD: u64 = 0x4E53_0001;
const ABOVE_ITS_IRQL: u64 = 0x4E53_0002;
const FLAGS: u64 = 0x4E53_0003;

/// Returns the first parameter of the bug check 0xC4 that a program must end in. The program must
/// succeed if only NT's rules are checked.
fn documented(f: impl Fn() + Clone + 'static) -> u64 {
    let config = Config { documented_rules: false, ..processors(1) };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let run = kernel.run_on(0, f.clone());
    run.unwrap_or_else(|stop| panic!("{stop}\n{}", kernel.trace()));
    drop(kernel);
    let stop = bug(f);
    assert_eq!(stop.code, 0xC4, "{}", stop.rule);
    stop.parameters[0]
}

unsafe extern "C" fn succeeds(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).complete(STATUS_SUCCESS)
}

fn read_request() -> Irp {
    Irp::new().on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED)
}

#[test]
fn a_request_is_not_sent_while_a_spin_lock_is_held() {
    let sends = || {
        dispatch_reads(succeeds);
        let (irp, device, lock) = (read_request(), Device::new(), Lock::new());
        let before = lock.acquire();
        irp.send(device);
        lock.release(before);
    };
    assert_eq!(documented(sends), SPIN_LOCK_HELD);
}

unsafe extern "C" fn completes_under_a_lock(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let lock = Lock::new();
    let before = lock.acquire();
    Irp(irp).complete(STATUS_SUCCESS);
    lock.release(before);
    STATUS_SUCCESS
}

unsafe extern "C" fn completes_under_the_cancel_lock(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let before = acquire_cancel_lock();
    Irp(irp).complete(STATUS_SUCCESS);
    release_cancel_lock(before);
    STATUS_SUCCESS
}

unsafe extern "C" fn completes_under_a_queued_lock(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let (lock, handle) = (Lock::new(), Handle::new());
    handle.acquire(lock);
    Irp(irp).complete(STATUS_SUCCESS);
    handle.release();
    STATUS_SUCCESS
}

#[test]
fn a_request_is_not_completed_while_a_spin_lock_is_held() {
    let routines: [unsafe extern "C" fn(PDEVICE_OBJECT, PIRP) -> NTSTATUS; 3] =
        [completes_under_a_lock, completes_under_the_cancel_lock, completes_under_a_queued_lock];
    for routine in routines {
        let completes = move || {
            dispatch_reads(routine);
            read_request().send(Device::new());
        };
        assert_eq!(documented(completes), SPIN_LOCK_HELD);
    }
}

#[test]
fn the_lock_of_another_processor_is_nothing_to_a_completion() {
    for seed in 0..20 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let locks = program(|| {
            let lock = Lock::new();
            let before = lock.acquire();
            (0..20).for_each(|_| ntsim::preemption_point());
            lock.release(before);
            lock.free();
        });
        let sends = program(|| {
            dispatch_reads(succeeds);
            let (irp, device) = (read_request(), Device::new());
            irp.send(device);
            irp.free();
            device.delete();
        });
        let run = kernel.programs().on(0, locks).on(1, sends).run();
        run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{seed}: {stop}"));
    }
}

#[test]
fn what_passes_a_request_on_is_called_at_dispatch_level_at_most() {
    let at = |irql: u8, call: fn(Irp)| {
        move || {
            let irp = Irp::new();
            let before = raise(irql);
            call(irp);
            lower(before);
        }
    };
    fn sets_routine(irp: Irp) {
        irp.on_completion(|_| STATUS_SUCCESS);
    }
    fn sets_cancel_routine(irp: Irp) {
        irp.set_cancel_routine(None);
    }
    for call in [sets_routine as fn(Irp), sets_cancel_routine] {
        at_most(DISPATCH, move |irql| at(irql, call)());
    }
}

/// Checks that a call succeeds at an IRQL and is refused above it.
fn at_most(highest: u8, call: impl Fn(u8) + Clone + 'static) {
    let allowed = call.clone();
    alone(move || allowed(highest)).unwrap();
    assert_eq!(documented(move || call(highest + 1)), ABOVE_ITS_IRQL);
}

unsafe extern "C" fn copies_too_high(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let before = raise(3);
    Irp(irp).copy_to_next();
    lower(before);
    Irp(irp).complete(STATUS_SUCCESS)
}

#[test]
fn a_stack_location_is_copied_at_dispatch_level_at_most() {
    let copies = || {
        dispatch_reads(copies_too_high);
        let irp = Irp::try_new(2).unwrap();
        irp.set_next_major(IRP_MJ_READ as u8);
        irp.on_completion(|_| STATUS_MORE_PROCESSING_REQUIRED).send(Device::new());
    };
    assert_eq!(documented(copies), ABOVE_ITS_IRQL);
}

#[test]
fn a_semaphore_is_initialised_at_passive_level() {
    at_most(0, |irql| {
        let semaphore = object::<KSEMAPHORE>();
        let before = raise(irql);
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::KeInitializeSemaphore(semaphore, 0, 1) };
        lower(before);
    });
}

#[test]
fn flags_for_which_there_is_no_pool_are_seen() {
    for flags in [0, POOL_FLAG_UNINITIALIZED, POOL_FLAG_NON_PAGED | POOL_FLAG_PAGED, POOL_FLAG_PAGED | 0x800]
    {
        let asks = move || assert!(pool(flags, 10, TAG).is_null());
        assert_eq!(documented(asks), FLAGS, "{flags:#x}");
    }
    fine(|| free(pool(POOL_FLAG_NON_PAGED | 1 << 32 | 1 << 60, 10, TAG)));
}

unsafe extern "C" fn keeps_a_lock(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    Irp(irp).complete(STATUS_SUCCESS);
    Lock::new().acquire_at_dpc_level();
    STATUS_SUCCESS
}

#[test]
fn routines_that_are_called_with_a_request_give_back_what_they_have_acquired() {
    let keeps = || {
        dispatch_reads(keeps_a_lock);
        let (irp, device) = (read_request(), Device::new());
        raise_to_dpc_level();
        irp.send(device);
    };
    assert_eq!(code(keeps), (0xC4, 0x1006));
    let completion_with = |routine: fn()| {
        move || {
            dispatch_reads(succeeds);
            let irp = Irp::new().on_completion(move |_| {
                routine();
                STATUS_MORE_PROCESSING_REQUIRED
            });
            let device = Device::new();
            raise_to_dpc_level();
            irp.send(device);
        }
    };
    assert_eq!(code(completion_with(|| Lock::new().acquire_at_dpc_level())), (0xC4, 0x1006));
    assert_eq!(bug(completion_with(|| lower(0))).code, 0xC8);
    assert!(
        matches!(alone(completion_with(|| ())), Err(Stop::BugCheck(_))),
        "the program ends at raised IRQL"
    );
}
