//! A deterministic simulation of a multiprocessor NT kernel, for testing drivers on Linux.
//!
//! A driver calls the kernel by its own names ([`ddi`], with wdk-sys's signatures and [`types`]) and uses the atomics of [`sync`].
//! Here these reach a simulated machine: up to 64 processors with IRQLs, DPC queues, timers, spin locks and pool, and a verifier that
//! stops the machine with NT's bug check when a rule is broken. One simulated processor runs at a time; at every call and every
//! atomic operation a [`Schedule`] decides who goes on. Nothing depends on the host's time, threads or addresses: the same
//! programs, [`Config`] and schedule make the same run, and a [`Recording`] of one replays it.
//!
//! # First example
//!
//! Two processors; the first queues a DPC to the second and sees it run.
//!
//! ```
//! use std::{ptr::null_mut, rc::Rc};
//!
//! use ntsim::{
//!     Config, Schedule, Simulation, ddi,
//!     sync::{AtomicU32, Ordering},
//!     types::{KDPC, PROCESSOR_NUMBER, PVOID},
//! };
//!
//! unsafe extern "C" fn routine(_dpc: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
//!     // SAFETY: the context below.
//!     let ran_on = unsafe { &*context.cast::<AtomicU32>() };
//!     ran_on.store(ntsim::current_processor() as u32, Ordering::Release);
//! }
//!
//! let ran_on = Rc::new(AtomicU32::new(u32::MAX));
//! let shared = Rc::clone(&ran_on);
//! let config = Config { processors: 2, trace: true, ..Config::default() };
//! let mut kernel = Simulation::new(config, Schedule::seed(1));
//! kernel.run(vec![(
//!     0,
//!     Box::new(move || {
//!         let mut dpc = KDPC::default();
//!         let mut target = PROCESSOR_NUMBER { Group: 0, Number: 1, Reserved: 0 };
//!         // SAFETY: the DPC and what its context points to live until it has run, which is awaited below.
//!         unsafe {
//!             ddi::KeInitializeDpc(&mut dpc, Some(routine), Rc::as_ptr(&shared).cast_mut().cast());
//!             ddi::KeSetTargetProcessorDpcEx(&mut dpc, &mut target);
//!             ddi::KeInsertQueueDpc(&mut dpc, null_mut(), null_mut());
//!         }
//!         while shared.load(Ordering::Acquire) == u32::MAX {}
//!     }),
//! )])?;
//! kernel.unload()?;
//! assert_eq!(ran_on.load(Ordering::Acquire), 1);
//! assert!(kernel.trace().to_string().contains("DPC object"));
//! # Ok::<(), ntsim::Stop>(())
//! ```
//!
//! # Hunting
//!
//! One run is one [`Schedule`]: a seed, PCT with a given depth, a fuzzer's bytes; every one of them is fair in the end, so that "it
//! never ends" can be a finding. [`explore`] makes all runs with at most so many preemptions. A run that ends badly leaves a
//! [`Recording`], which replays it, and a [`Trace`]: text, JSON lines, or a timeline ([`Trace::to_html`]) in which programs can
//! [`mark`] what they do.
//!
//! # What is simulated
//!
//! The rules are those of the public documentation; where it is silent, ntsim is stricter than NT, never laxer. What it does not
//! support it rejects, never with a silent success. Each function's page says the rest.
//!
//! | DDI | how far | stops the machine when |
//! |---|---|---|
//! | `KeGetCurrentIrql` | full | |
//! | `KfRaiseIrql`, `KeRaiseIrqlToDpcLevel` | full | lower or no IRQL: 0xC4/0x30 |
//! | `KeLowerIrql` | full; held-off DPCs run | higher IRQL, or below DISPATCH_LEVEL in a DPC: 0xC4/0x31 |
//! | `KeGetCurrentProcessorNumberEx`, `KeQueryActiveProcessorCountEx` | one group | |
//! | `KeInitializeDpc` | full | queued or used by a set timer: 0xC7; paged pool: 0xD1 |
//! | `KeInsertQueueDpc` | importance, target, depth limit; what NT leaves open is a choice of the schedule | not initialised, freed, a timer's: 0xC7 |
//! | `KeRemoveQueueDpc`, `KeSetTargetProcessorDpcEx` | full | not initialised, freed: 0xC7 |
//! | `KeSetImportanceDpc` | full | no such importance: failure `not supported` |
//! | `KeInitializeTimer(Ex)` | full; nothing waits for timers yet | set: 0xC7; paged pool: 0xD1 |
//! | `KeSetTimer`, `KeSetTimerEx` | one-shot, relative or absolute | period: failure `not supported`; not initialised, freed, a DPC that was queued by hand: 0xC7; above DISPATCH_LEVEL: 0xC4/0xE5 |
//! | `KeCancelTimer`, `KeReadStateTimer` | full | not initialised, freed: 0xC7; above DISPATCH_LEVEL: 0xC4/0xE5 |
//! | `KeQueryInterruptTimePrecise`, `KeQueryPerformanceCounter` | the virtual clock | |
//! | `KeInitializeSpinLock` | full | held: 0xC4/0x1005 |
//! | `KeAcquireSpinLockRaiseToDpc`, `KeAcquireSpinLockAtDpcLevel` | who waits cannot run; a cycle of waits is a deadlock | wrong IRQL: 0xC4/0x42, 0x40; held by this processor: 0xC4/0x1000; not initialised: 0xC4/0x1002 |
//! | `KeReleaseSpinLock`, `KeReleaseSpinLockFromDpcLevel` | full | wrong IRQL: 0xC4/0x32, 0x41; held by another: 0xC4/0x1004; by nobody: 0xC4/0x1007 |
//! | `ExAllocatePool2` | non-paged, paged; 4 MiB in all, not reused while there is fresh memory | zero bytes: 0xC4/0x0; wrong IRQL: 0xC4/0x1, 0x2; other flags: failure `not supported` |
//! | `ExFreePoolWithTag`, `ExFreePool` | full | no block, freed twice, wrong tag: 0xC2; wrong IRQL: 0xC4/0x11, 0x12; a queued DPC or set timer inside: 0xC7; a held lock inside: 0xC4/0x1006; overrun: 0xC1 |
//! | `KeBugCheckEx` | full | always |
//!
//! Besides: a DPC routine returns at another IRQL (0xC8) or holding a lock (0xC4/0x1006); DPCs run too long (0x133); a program returns
//! at raised IRQL (0xC8); an atomic or cell is in freed memory, or in paged memory at DISPATCH_LEVEL (0xD1); and at unload a DPC
//! or timer is left (0xCE), a lock held (0xC4/0x1006), pool leaked (0xC4/0x62), or memory written to after its free (0xCC).
//!
//! # What is not
//!
//! Weak memory (the simulation is sequentially consistent), threads that wait, events, work items, periodic timers, interrupts
//! other than the clock's and DPCs. Preemption is at calls, at the operations of [`sync`] and at [`preemption_point`]: accesses
//! by plain pointers are atomic to the simulation.

extern crate std;

mod arena;
mod asan;
mod config;
mod counters;
pub mod ddi;
mod engine;
mod image_state;
mod kernel;
mod memory;
mod program;
mod simulation;
pub mod sync;
pub mod trace;
pub mod types;
mod verifier;

pub use config::Config;
pub use counters::Counters;
pub use engine::{
    explore::{Exploration, Finding, Limits, explore},
    recording::{Decision, ParseRecordingError, Recording},
    run::Program,
    schedule::Schedule,
};
pub use program::{
    advance_time, counters, current_processor, fail, fail_allocation, image_state, in_dpc, irql, is_active,
    is_tracing, live_blocks, mark, note, preemption_point,
};
pub use simulation::Simulation;
pub use trace::Trace;
pub use verifier::{
    bugcheck::BugCheck,
    irql::Ddi,
    stop::{Stop, Wait},
};
