//! Several threads, with a simulated processor for each. *At once*, each processor is an OS thread
//! of the host. *In turn*, a schedule chooses at each preemption point the processor that goes on.
//!
//! Each kernel call and each atomic operation of the executor is such a point.
//!
//! At once, every other client is at DISPATCH_LEVEL, and bodies stay on the processor of the thread
//! that calls `advance`. In turn, bodies run where they are woken, as DPCs do. So the clients are
//! at PASSIVE_LEVEL there, and `advance` waits for the other processors' DPCs.

use core::{
    ffi::c_void,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use ntcom_kit_table::{Stop, ThreadProgram};
use ntsim::{Config, FreeProgram, Schedule, ddi::KeFlushQueuedDpcs};

use crate::kernel::{begin, config, lower, raise, tell, with_kernel};

/// Whether several threads run at once. `IN_TURN` says whether they take turns.
static AT_ONCE: AtomicBool = AtomicBool::new(false);
static IN_TURN: AtomicBool = AtomicBool::new(false);

/// Whether new operations are to stay on the first processor.
pub(crate) fn at_once() -> bool {
    AT_ONCE.load(Relaxed)
}

/// Waits at PASSIVE_LEVEL for the bodies on other processors.
pub(crate) fn join() {
    if IN_TURN.load(Relaxed) {
        // SAFETY: the caller is at PASSIVE_LEVEL, as the call requires.
        unsafe { KeFlushQueuedDpcs() };
    }
}

extern "C" fn pause() {
    ntsim::preemption_point();
}

/// The kit's program of each thread.
#[derive(Clone, Copy)]
struct KitProgram {
    program: ThreadProgram,
    context: *mut c_void,
}

// SAFETY: the header lets each thread call the program with the context.
unsafe impl Send for KitProgram {}

impl KitProgram {
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
        // SAFETY: the kit passed its program with the program's context.
        unsafe { (self.program)(self.context, number, pause) };
    }
}

pub(crate) unsafe extern "C" fn run_at_once(
    count: u32,
    program: ThreadProgram,
    context: *mut c_void,
    stop: *mut Stop,
) -> i32 {
    let program = KitProgram { program, context };
    // A thread that waits here for others may make any number of steps.
    let config = Config { step_limit: u64::MAX / 2, ..config(count as usize) };
    AT_ONCE.store(true, Relaxed);
    let ended = with_kernel(config, Schedule::round_robin(), |kernel| {
        let programs = (0..count)
            .map(|number| -> (usize, FreeProgram) { (number as usize, Box::new(program.on(number))) });
        kernel.run_freely(programs.collect()).and_then(|()| kernel.unload())
    });
    AT_ONCE.store(false, Relaxed);
    // SAFETY: the kit passes a writable `stop`.
    unsafe { tell(ended, stop) }
}

pub(crate) unsafe extern "C" fn run_in_turn(
    count: u32,
    schedule: u64,
    program: ThreadProgram,
    context: *mut c_void,
    stop: *mut Stop,
) -> i32 {
    let program = KitProgram { program, context };
    IN_TURN.store(true, Relaxed);
    let ended = with_kernel(config(count as usize), Schedule::seed(schedule), |kernel| {
        let programs = (0..count)
            .map(|number| -> (usize, Box<dyn FnOnce()>) { (number as usize, Box::new(program.on(number))) });
        kernel.run(programs.collect()).and_then(|()| kernel.unload())
    });
    IN_TURN.store(false, Relaxed);
    // SAFETY: the kit passes a writable `stop`.
    unsafe { tell(ended, stop) }
}
