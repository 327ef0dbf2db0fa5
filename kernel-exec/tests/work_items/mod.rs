//! Helpers that the tests of tasks on work items share.

use core::{
    future::{Future, poll_fn},
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    task::{Poll, Waker},
};
use std::sync::{Arc, Mutex};

use ntcom_exec::{CancelHandle, NTSTATUS, OnWorkItems, TaskBuilder};
use ntsim::{
    Config, Schedule, Simulation, ddi,
    types::{_MODE, FILE_DEVICE_UNKNOWN, LARGE_INTEGER, PDEVICE_OBJECT},
};

/// The number of PASSIVE_LEVEL.
pub(crate) const PASSIVE: u8 = 0;

pub(crate) type Program = Box<dyn FnOnce()>;

/// A kernel with its seed. Its runs and its unload must succeed.
pub(crate) struct Kernel(pub(crate) Simulation, pub(crate) u64);

impl Kernel {
    pub(crate) fn new(processors: usize, seed: u64) -> Self {
        let config = Config { processors, ..Config::default() };
        Self(Simulation::new(config, Schedule::seed(seed)), seed)
    }
    pub(crate) fn run(&mut self, programs: Vec<Program>) {
        let run = self.0.run(programs.into_iter().enumerate().collect());
        run.unwrap_or_else(|stop| panic!("seed {}: {stop}", self.1));
    }
    pub(crate) fn run_one(&mut self, program: impl FnOnce() + 'static) {
        self.run(vec![Box::new(program)]);
    }
    pub(crate) fn unload(mut self) {
        self.0.unload().unwrap_or_else(|stop| panic!("seed {}: {stop}", self.1));
    }
}

/// Runs a test in schedules of one to three processors.
pub(crate) fn in_schedules(count: u64, test: impl Fn(&mut Kernel)) {
    for seed in 0..count {
        let mut kernel = Kernel::new(1 + (seed % 3) as usize, seed);
        test(&mut kernel);
        kernel.unload();
    }
}

/// A device of the driver.
#[derive(Clone, Copy)]
pub(crate) struct Device(pub(crate) PDEVICE_OBJECT);

impl Device {
    pub(crate) fn new() -> Self {
        let (driver, mut device) = (ntsim::driver_object(), null_mut());
        // SAFETY: the arguments are valid.
        let status =
            unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
        assert_eq!(status, 0);
        Self(device)
    }
    pub(crate) fn delete(self) {
        // SAFETY: this is a device, and it is deleted once.
        unsafe { ddi::IoDeleteDevice(self.0) }
    }
    pub(crate) fn try_spawn(self, body: impl Future<Output = ()> + Send + 'static) -> Result<(), NTSTATUS> {
        self.builder().spawn(body).map(drop)
    }
    fn builder(self) -> TaskBuilder<OnWorkItems> {
        // SAFETY: the device is null, or one that the tests have not deleted.
        TaskBuilder::new().on(unsafe { OnWorkItems::of(self.0) })
    }
    pub(crate) fn spawn(self, body: impl Future<Output = ()> + Send + 'static) {
        self.try_spawn(body).unwrap();
    }
    pub(crate) fn cancellable(self, body: impl Future<Output = ()> + Send + 'static) -> CancelHandle {
        self.builder().spawn(body).unwrap()
    }
}

/// An event that a body waits for.
#[derive(Clone, Default)]
pub(crate) struct Event(pub(crate) Arc<(AtomicU32, Mutex<Option<Waker>>)>);

impl Event {
    pub(crate) fn set(&self) {
        self.0.0.fetch_add(1, SeqCst);
        let waker = self.0.1.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
    /// Waits until it has been set this many times.
    pub(crate) fn wait_for(&self, times: u32) -> impl Future<Output = ()> + Send + use<> {
        let event = self.clone();
        poll_fn(move |context| {
            assert_eq!(ntsim::irql(), 0);
            let waker = context.waker().clone();
            let old = event.0.1.lock().unwrap().replace(waker);
            drop(old);
            if event.0.0.load(SeqCst) >= times { Poll::Ready(()) } else { Poll::Pending }
        })
    }
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        self.wait_for(1)
    }
    /// Forgets the waker.
    pub(crate) fn disconnect(&self) {
        let waker = self.0.1.lock().unwrap().take();
        drop(waker);
    }
}

/// Runs a program at DISPATCH_LEVEL.
pub(crate) fn at_dispatch<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: called at PASSIVE_LEVEL; the IRQL is lowered below.
    let irql = unsafe { ddi::KeRaiseIrqlToDpcLevel() };
    let result = f();
    // SAFETY: `irql` is the value that the raise returned.
    unsafe { ddi::KeLowerIrql(irql) };
    result
}

/// Waits for a moment, after which the thread may continue on another processor.
pub(crate) fn wait_a_moment() {
    let mut moment = LARGE_INTEGER { QuadPart: -1 };
    // SAFETY: the arguments are valid.
    unsafe { ddi::KeDelayExecutionThread(_MODE::KernelMode as i8, 0, &raw mut moment) };
}
