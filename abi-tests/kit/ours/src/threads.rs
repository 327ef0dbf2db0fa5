//! Several threads: a simulated processor for each. At once each processor is an OS thread of the host; in turn the schedule decides at each
//! preemption point, which is each kernel call and each atomic operation of the executor, who goes on.
//!
//! At once every other client is at DISPATCH_LEVEL, and bodies stay on the processor of the thread that calls `advance`. In turn they run where they
//! are woken, as DPCs do: so the clients are at PASSIVE_LEVEL there, and `advance` waits for the other processors' DPCs.

use core::{
    ffi::c_void,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use ntcom_kit_table::{Stop, ThreadProgram};
use ntsim::{Config, FreeProgram, Schedule, ddi::KeFlushQueuedDpcs};

use crate::kernel::{begin, config, lower, raise, tell, with_kernel};

/// Several threads go on at once, or take turns.
static AT_ONCE: AtomicBool = AtomicBool::new(false);
static IN_TURN: AtomicBool = AtomicBool::new(false);

/// Whether new operations are to stay on the first processor.
pub(crate) fn at_once() -> bool {
    AT_ONCE.load(Relaxed)
}

/// At PASSIVE_LEVEL: waits for what bodies do on other processors.
pub(crate) fn join() {
    if IN_TURN.load(Relaxed) {
        // SAFETY: the caller's IRQL.
        unsafe { KeFlushQueuedDpcs() };
    }
}

extern "C" fn pause() {
    ntsim::preemption_point();
}

/// The kit's program for a thread.
#[derive(Clone, Copy)]
struct Kits {
    program: ThreadProgram,
    context: *mut c_void,
}

// SAFETY: the header: each thread calls the program with the context.
unsafe impl Send for Kits {}

impl Kits {
    fn on(self, processor: u32) -> impl FnOnce() + Send + 'static {
        move || {
            let at_dispatch_level = processor == 0 || (at_once() && processor.is_multiple_of(2));
            if processor == 0 {
                begin();
            }
            if at_dispatch_level {
                raise();
            }
            self.call(processor);
            if at_dispatch_level {
                lower();
            }
        }
    }

    fn call(self, number: u32) {
        // SAFETY: the header: the kit's program and its context.
        unsafe { (self.program)(self.context, number, pause) };
    }
}

pub(crate) unsafe extern "C" fn run_at_once(
    count: u32,
    program: ThreadProgram,
    context: *mut c_void,
    stop: *mut Stop,
) -> i32 {
    let kits = Kits { program, context };
    // Who waits here for others makes as many steps as it takes.
    let config = Config { step_limit: u64::MAX / 2, ..config(count as usize) };
    AT_ONCE.store(true, Relaxed);
    let ended = with_kernel(config, Schedule::round_robin(), |kernel| {
        let programs =
            (0..count).map(|number| -> (usize, FreeProgram) { (number as usize, Box::new(kits.on(number))) });
        kernel.run_freely(programs.collect()).and_then(|()| kernel.unload())
    });
    AT_ONCE.store(false, Relaxed);
    // SAFETY: the header: the kit's place for it.
    unsafe { tell(ended, stop) }
}

pub(crate) unsafe extern "C" fn run_in_turn(
    count: u32,
    schedule: u64,
    program: ThreadProgram,
    context: *mut c_void,
    stop: *mut Stop,
) -> i32 {
    let kits = Kits { program, context };
    IN_TURN.store(true, Relaxed);
    let ended = with_kernel(config(count as usize), Schedule::seed(schedule), |kernel| {
        let programs = (0..count)
            .map(|number| -> (usize, Box<dyn FnOnce()>) { (number as usize, Box::new(kits.on(number))) });
        kernel.run(programs.collect()).and_then(|()| kernel.unload())
    });
    IN_TURN.store(false, Relaxed);
    // SAFETY: the header: the kit's place for it.
    unsafe { tell(ended, stop) }
}
