//! Safe wrappers of the DDIs for the tests. Each test keeps the promises of the calls, or breaks
//! one on purpose that the simulated kernel promises to notice before any harm is done.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

pub(crate) mod io;
pub(crate) mod io_driver;
pub(crate) mod irps;
pub(crate) mod locks;
pub(crate) mod waiting;

use core::{cell::RefCell, ptr::null_mut};
use std::rc::Rc;

use ntsim::{BugCheck, Config, Program, Schedule, Simulation, Stop, ddi, types::*};

/// The tests' pool tag.
pub(crate) const TAG: u32 = u32::from_le_bytes(*b"Test");
/// A tick of the clock in 100-ns units.
pub(crate) const TICK: u64 = 156_250;
/// DISPATCH_LEVEL as an IRQL.
pub(crate) const DISPATCH: u8 = 2;

/// Boxes a program.
pub(crate) fn program(f: impl FnOnce() + 'static) -> Program {
    Box::new(f)
}

/// Returns a configuration with a trace and this number of processors.
pub(crate) fn processors(processors: usize) -> Config {
    Config { processors, trace: true, ..Config::default() }
}

/// Runs one program on one processor.
pub(crate) fn alone(f: impl FnOnce() + 'static) -> Result<(), Stop> {
    Simulation::new(processors(1), Schedule::round_robin()).run_on(0, f)
}

/// Runs one program on one processor, which must succeed, and unloads.
pub(crate) fn fine(f: impl FnOnce() + 'static) {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let run = kernel.run_on(0, f);
    run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{stop}\n{}", kernel.trace()));
}

/// Returns the bug check that a program must end in.
pub(crate) fn bug(f: impl FnOnce() + 'static) -> BugCheck {
    match alone(f) {
        Err(Stop::BugCheck(bug_check)) => bug_check,
        other => panic!("no bug check, but {other:?}"),
    }
}

/// Returns the code and first parameter of the bug check that a program must end in.
pub(crate) fn code(f: impl FnOnce() + 'static) -> (u32, u64) {
    let bug_check = bug(f);
    (bug_check.code, bug_check.parameters[0])
}

/// A log of the events of a test, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    /// Adds a line.
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    /// Returns the lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

type Body = Box<dyn Fn(usize, usize)>;

/// A DPC in its own block of pool, with a closure as its routine.
#[derive(Clone, Copy)]
pub(crate) struct Dpc {
    pub(crate) dpc: *mut KDPC,
    body: *mut Body,
}

unsafe extern "C" fn call_body(_dpc: *mut KDPC, context: PVOID, first: PVOID, second: PVOID) {
    // SAFETY: `Dpc::initialize` passed a body that lives until `Dpc::free`.
    let body = unsafe { &*context.cast::<Body>() };
    body(first as usize, second as usize);
}

impl Dpc {
    /// Creates a DPC that runs a closure with the two arguments of its insertion.
    pub(crate) fn with_arguments(f: impl Fn(usize, usize) + 'static) -> Self {
        let dpc = Self { dpc: object(), body: Box::into_raw(Box::new(Box::new(f))) };
        dpc.initialize();
        dpc
    }

    /// Creates a DPC that runs a closure.
    pub(crate) fn new(f: impl Fn() + 'static) -> Self {
        Self::with_arguments(move |_, _| f())
    }

    pub(crate) fn initialize(self) {
        // SAFETY: `object` has allocated the storage; the routine's context is a body.
        unsafe { ddi::KeInitializeDpc(self.dpc, Some(call_body), self.body.cast()) }
    }

    pub(crate) fn insert(self) -> bool {
        self.insert_with(0, 0)
    }

    pub(crate) fn insert_with(self, first: usize, second: usize) -> bool {
        insert(self.dpc, first, second)
    }

    pub(crate) fn remove(self) -> bool {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeRemoveQueueDpc(self.dpc) != 0 }
    }

    pub(crate) fn importance(self, importance: KDPC_IMPORTANCE) -> Self {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeSetImportanceDpc(self.dpc, importance) };
        self
    }

    pub(crate) fn target(self, processor: u8) -> Self {
        assert_eq!(self.try_target(processor), STATUS_SUCCESS);
        self
    }

    pub(crate) fn try_target(self, processor: u8) -> NTSTATUS {
        let mut number = PROCESSOR_NUMBER { Group: 0, Number: processor, Reserved: 0 };
        // SAFETY: the object is initialised.
        unsafe { ddi::KeSetTargetProcessorDpcEx(self.dpc, &raw mut number) }
    }

    pub(crate) fn free(self) {
        free(self.dpc);
        // SAFETY: `with_arguments` leaked the body, which is freed once.
        drop(unsafe { Box::from_raw(self.body) });
    }
}

pub(crate) fn insert(dpc: *mut KDPC, first: usize, second: usize) -> bool {
    let arguments = (core::ptr::without_provenance_mut(first), core::ptr::without_provenance_mut(second));
    // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
    unsafe { ddi::KeInsertQueueDpc(dpc, arguments.0, arguments.1) != 0 }
}

/// A timer in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct Timer(pub(crate) *mut KTIMER);

impl Timer {
    pub(crate) fn new() -> Self {
        let timer = Self(object());
        timer.initialize();
        timer
    }

    pub(crate) fn initialize(self) {
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::KeInitializeTimer(self.0) }
    }

    pub(crate) fn set(self, due: i64, dpc: Option<Dpc>) -> bool {
        let dpc = dpc.map_or(null_mut(), |dpc| dpc.dpc);
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeSetTimer(self.0, LARGE_INTEGER { QuadPart: due }, dpc) != 0 }
    }

    pub(crate) fn set_periodic(self, due: i64, period: i32, dpc: Option<Dpc>) -> bool {
        let dpc = dpc.map_or(null_mut(), |dpc| dpc.dpc);
        // SAFETY: the object is initialised.
        unsafe { ddi::KeSetTimerEx(self.0, LARGE_INTEGER { QuadPart: due }, period, dpc) != 0 }
    }

    pub(crate) fn set_coalescable(self, due: i64, period: u32, tolerance: u32) -> bool {
        // SAFETY: the object is initialised.
        unsafe {
            ddi::KeSetCoalescableTimer(self.0, LARGE_INTEGER { QuadPart: due }, period, tolerance, null_mut())
                != 0
        }
    }

    pub(crate) fn cancel(self) -> bool {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeCancelTimer(self.0) != 0 }
    }

    pub(crate) fn signalled(self) -> bool {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeReadStateTimer(self.0) != 0 }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

/// A spin lock in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct Lock(pub(crate) PKSPIN_LOCK);

impl Lock {
    pub(crate) fn new() -> Self {
        let lock = Self(object());
        lock.initialize();
        lock
    }

    pub(crate) fn initialize(self) {
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::KeInitializeSpinLock(self.0) }
    }

    pub(crate) fn acquire(self) -> KIRQL {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeAcquireSpinLockRaiseToDpc(self.0) }
    }

    pub(crate) fn release(self, irql: KIRQL) {
        // SAFETY: the lock is acquired; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeReleaseSpinLock(self.0, irql) }
    }

    pub(crate) fn acquire_at_dpc_level(self) {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeAcquireSpinLockAtDpcLevel(self.0) }
    }

    pub(crate) fn try_acquire(self) -> bool {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeTryToAcquireSpinLockAtDpcLevel(self.0) != 0 }
    }

    pub(crate) fn release_from_dpc_level(self) {
        // SAFETY: the lock is acquired; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeReleaseSpinLockFromDpcLevel(self.0) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

pub(crate) fn current_irql() -> KIRQL {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KeGetCurrentIrql() }
}

pub(crate) fn raise(to: KIRQL) -> KIRQL {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KfRaiseIrql(to) }
}

pub(crate) fn raise_to_dpc_level() -> KIRQL {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KeRaiseIrqlToDpcLevel() }
}

pub(crate) fn lower(to: KIRQL) {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KeLowerIrql(to) }
}

pub(crate) fn processor_number() -> u32 {
    // SAFETY: a null argument is allowed.
    unsafe { ddi::KeGetCurrentProcessorNumberEx(null_mut()) }
}

pub(crate) fn interrupt_time() -> u64 {
    let mut stamp = 0;
    // SAFETY: the argument is valid.
    unsafe { ddi::KeQueryInterruptTimePrecise(&raw mut stamp) }
}

pub(crate) fn system_time() -> i64 {
    let mut time = LARGE_INTEGER::default();
    // SAFETY: the argument is valid.
    unsafe { ddi::KeQuerySystemTimePrecise(&raw mut time) };
    // SAFETY: the union has only this field.
    unsafe { time.QuadPart }
}

pub(crate) fn flush_dpcs() {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KeFlushQueuedDpcs() }
}

pub(crate) fn bug_check(code: u32, parameters: [u64; 4]) -> ! {
    let [first, second, third, fourth] = parameters;
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KeBugCheckEx(code, first, second, third, fourth) }
}

/// Allocates pool with these flags. The result may be null.
pub(crate) fn pool(flags: POOL_FLAGS, size: u64, tag: u32) -> *mut u8 {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::ExAllocatePool2(flags, size, tag) }.cast()
}

/// Allocates zeroed non-paged pool.
pub(crate) fn allocate(size: u64) -> *mut u8 {
    let memory = pool(POOL_FLAG_NON_PAGED, size, TAG);
    assert!(!memory.is_null());
    memory
}

/// Allocates zeroed non-paged pool for an object.
pub(crate) fn object<T>() -> *mut T {
    allocate(size_of::<T>() as u64).cast()
}

pub(crate) fn free<T>(memory: *mut T) {
    free_with_tag(memory, TAG);
}

pub(crate) fn free_with_tag<T>(memory: *mut T, tag: u32) {
    // SAFETY: the memory was allocated and is not used any more; otherwise the simulated kernel
    // ends the run.
    unsafe { ddi::ExFreePoolWithTag(memory.cast(), tag) }
}

/// Writes a byte near a block, which drivers must not do. The memory is still the arena's.
pub(crate) fn poke(memory: *mut u8, distance: isize) {
    // SAFETY: the arena has room on both sides of every block.
    unsafe { memory.wrapping_offset(distance).write(0x42) }
}

/// Reads a byte of a block.
pub(crate) fn peek(memory: *mut u8, distance: usize) -> u8 {
    // SAFETY: the address is in the block.
    unsafe { memory.wrapping_add(distance).read() }
}

/// Runs a program on `count` processors with many seeds, each of which must succeed, and unloads.
pub(crate) fn every_seed(count: usize, f: impl Fn() + Clone + 'static) {
    for seed in 0..60 {
        let mut kernel = Simulation::new(processors(count), Schedule::seed(seed));
        let run = kernel.run_on(0, f.clone());
        run.and_then(|()| kernel.unload())
            .unwrap_or_else(|stop| panic!("{seed}: {stop}\n{}", kernel.trace()));
    }
}

/// The relative due time of one clock tick.
pub(crate) const ONE: i64 = -(TICK as i64);
