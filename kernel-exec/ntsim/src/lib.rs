//! A deterministic simulation of a multiprocessor NT kernel, for testing drivers on Linux.
//!
//! A driver calls the kernel by its own names ([`ddi`], with wdk-sys's signatures and [`types`])
//! and uses the atomics of [`sync`]. Here these reach a simulated machine: up to 64 processors with
//! IRQLs, DPC queues, timers, spin locks, threads, what they wait for, and pool, and a verifier
//! that stops the machine with NT's bug check when a rule is broken. One simulated processor runs
//! at a time, and one of its threads; at every call and every atomic operation a [`Schedule`]
//! decides which one goes on. Nothing but [`Config::hang`] depends on the host's time, threads or
//! addresses: the same programs, [`Config`] and schedule make the same run, and a [`Recording`] of
//! one replays it.
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
//! never ends" can be a finding. [`explore`] makes all runs with at most so many preemptions; [`starve`] has an allocation of each
//! call stack fail once. A run that ends badly leaves a
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
//! | `KeGetCurrentProcessorNumberEx`, `KeQueryActiveProcessorCountEx`, `KeQueryActiveGroupCount`, `KeGetProcessorNumberFromIndex`, `KeGetProcessorIndexFromNumber` | groups of [`Config::group_size`] | |
//! | `KeInitializeDpc` | full | queued or used by a set timer: 0xC7; paged pool: 0xD1 |
//! | `KeInitializeThreadedDpc` | no | always: failure `not supported` |
//! | `KeInsertQueueDpc` | importance, target, depth limit; what NT leaves open is a choice of the schedule | not initialised, freed, a timer's: 0xC7 |
//! | `KeRemoveQueueDpc`, `KeSetTargetProcessorDpc`, `KeSetTargetProcessorDpcEx` | full | not initialised, freed: 0xC7 |
//! | `KeSetImportanceDpc` | full | no such importance: failure `not supported` |
//! | `KeInitializeTimer(Ex)` | full | set, waited for: 0xC7; paged pool: 0xD1 |
//! | `KeFlushQueuedDpcs` | waits for what was queued before it | above PASSIVE_LEVEL: 0xC4/0xE5 |
//! | `KeSetTimer`, `KeSetTimerEx`, `KeSetCoalescableTimer` | one-shot or periodic, relative or absolute; tolerated lateness is a choice of the schedule | negative period: failure `not supported`; not initialised, freed, a DPC that was queued by hand: 0xC7; above DISPATCH_LEVEL: 0xC4/0xE5 |
//! | `KeCancelTimer`, `KeReadStateTimer` | full | not initialised, freed: 0xC7; above DISPATCH_LEVEL: 0xC4/0xE5 |
//! | `KeShouldYieldProcessor` | TRUE after [`Config::yield_after`] of a drain, or of a thread at DISPATCH_LEVEL; NT leaves it open | below DISPATCH_LEVEL: 0xC4/0xE5 |
//! | `KeQueryDpcWatchdogInformation` | units of 100 ns; both limits are [`Config::dpc_watchdog`] | |
//! | `KeQueryInterruptTimePrecise`, `KeQueryPerformanceCounter` | the virtual clock | |
//! | `KeQuerySystemTimePrecise` | the virtual clock, until [`set_system_time`] sets it | |
//! | `KeInitializeSpinLock` | full | held: 0xC4/0x1005 |
//! | `KeAcquireSpinLockRaiseToDpc`, `KeAcquireSpinLockAtDpcLevel`, `KeTryToAcquireSpinLockAtDpcLevel` | who waits cannot run; a cycle of waits is a deadlock | wrong IRQL: 0xC4/0x42, 0x40; held by this processor: 0xC4/0x1000; opposite orders, with [`Config::lock_order`]: 0xC4/0x1001; not initialised: 0xC4/0x1002 |
//! | `KeReleaseSpinLock`, `KeReleaseSpinLockFromDpcLevel` | full | wrong IRQL: 0xC4/0x32, 0x41; held by another: 0xC4/0x1004; by nobody: 0xC4/0x1007 |
//! | `KeAcquireInStackQueuedSpinLock(AtDpcLevel)`, `KeReleaseInStackQueuedSpinLock(FromDpcLevel)` | full | as spin locks; released with another handle: 0xC4/0x1007 |
//! | `ExInitialize-`, `ExAcquire-`, `ExRelease-`, `ExReInitializeRundownProtection`, `ExWaitForRundownProtectionRelease`, `ExRundownCompleted` | full | released too often, completed too early: 0x139 (14); the wait as waits |
//! | `ExInitialize-`, `ExAcquire-`, `ExTryToAcquire-`, `ExReleaseFastMutex` | not the Unsafe ones | wrong IRQL: 0xC4/0x33, 0x34; held by this thread: 0xC4/0x1000; another's: 0xC4/0x1004; nobody's: 0xC4/0x1007; moved: 0x139 |
//! | `IoInitializeRemoveLockEx`, `IoAcquireRemoveLockEx`, `IoReleaseRemoveLock(AndWait)Ex` | of free builds | a tag that it is not held with, waited for twice: 0x139 (14); moved: 0x139 (3); another size: failure `not supported` |
//! | `PsCreateSystemThread` | on any processor, from the start and after each wait; no priorities | above PASSIVE_LEVEL: 0xC4/0xE5; a process, client, name: failure `not supported` |
//! | `PsTerminateSystemThread` | full | a mutex is held: 0x4000008A; a system worker: failure `not supported` |
//! | `KeGetCurrentThread` | programs, system threads, idle threads | |
//! | `ObReferenceObjectByHandle`, `ZwClose` | threads, and `PsThreadType` and other types | no open handle: 0xC4/0x3C; UserMode, HandleInformation: failure `not supported` |
//! | `ObfReferenceObject`, `ObfDereferenceObject` | threads, devices | no reference is left, no object: 0xC4/0x3F |
//! | `KeInitializeEvent`, `KeInitializeSemaphore`, `KeInitializeMutex` | full | waited for: 0x139; a held mutex: 0xC4/0x1005; paged pool: 0xD1 |
//! | `KeSetEvent`, `KeResetEvent`, `KeClearEvent`, `KeReadStateEvent` | full | no event, moved: 0x139; KeSetEvent above DISPATCH_LEVEL: 0xC4/0x80; no wait after `Wait`: 0xC4/0x4E530004 |
//! | `KeReleaseSemaphore`, `KeReadStateSemaphore` | full | beyond the limit: 0x1E; no semaphore, moved: 0x139 |
//! | `KeReleaseMutex`, `KeReadStateMutex` | recursion | another's, no thread's, another level: 0x1E; no mutex, moved: 0x139 |
//! | `KeWaitForSingleObject`, `KeWaitForMultipleObjects` | events, semaphores, mutexes, timers, threads; KernelMode; alertable, though no alert comes | at DISPATCH_LEVEL with a time-out that is not zero: 0xC4/0x3B, in a DPC: 0xB8; too many objects: 0xC; no object, moved: 0x139 |
//! | `KeDelayExecutionThread` | zero: yields | as the waits |
//! | `IoCreateDevice`, `IoDeleteDevice` | names, which nothing opens; the driver is [`driver_object`] | no device, deleted twice: 0xC4/0x3F; another driver: failure `not supported` |
//! | `IoAllocateIrp`, `IoFreeIrp`, `IoReuseIrp` | from pool, not of threads | no IRP: 0xC9 (1); a driver has it: 0xC9 (0x20B) |
//! | `IofCallDriver`, `IofCompleteRequest`, `IoMarkIrpPending`, `IoSetCompletionRoutine`, `IoGetCurrent-`, `IoGetNextIrpStackLocation`, `IoCopyCurrentIrpStackLocationToNext`, `IoSkipCurrentIrpStackLocation` | the driver that makes an IRP frees it in its completion routine | see their pages: 0xC9, 0x44, 0x35, 0xC8, a null dispatch routine 0x1E or 0xD1, 0xC4/0x1006; while holding a spin lock: 0xC4/0x4E530001; completed to the end: failure `not supported` |
//! | `IoSetCancelRoutine`, `IoCancelIrp`, `IoAcquireCancelSpinLock`, `IoReleaseCancelSpinLock` | full | the routine keeps the lock: 0xC4/0x1006, or another IRQL: 0xC8; no IRP: 0x44 |
//! | `IoCsqInitialize`, `IoCsqInsertIrp`, `IoCsqRemoveIrp`, `IoCsqRemoveNextIrp` | full; not `IoCsqInsertIrpEx` | no queue: failure `not supported`; the IRP as above |
//! | `IoAllocateWorkItem`, `IoFreeWorkItem`, `IoInitializeWorkItem`, `IoUninitializeWorkItem`, `IoSizeofWorkItem` | full | queued: 0xE4 (2, or 1 at initialisation); no device: 0xE4 (3); no work item: 0xE4 (7) |
//! | `IoQueueWorkItem(Ex)`, `ExInitializeWorkItem`, `ExQueueWorkItem` | queues by type, [`Config::workers`] threads each | queued: 0xE4 (1); no queue: 0xE4 (6); no routine: 0xE4 (7); the system's own queues: failure `not supported`; the routine returns at raised IRQL: 0xE1 |
//! | `ExAllocatePool2`, `ExAllocatePool3`, `ExAllocatePoolWithTag` | non-paged, paged; [`Config::pool_size`] in all, not reused while there is fresh memory, guards around each block, or with [`Config::special_pool`] pages; no quota | zero bytes: 0xC4/0x0; wrong IRQL: 0xC4/0x1, 0x2; RAISE_ON_FAILURE and none left: 0x1E; WithTag 0: 0xC2/0x9B; flags for which NT returns NULL: 0xC4/0x4E530003; other flags, types, parameters: failure `not supported` |
//! | `ExInitializeLookasideListEx`, `ExAllocateFrom-`, `ExFreeTo-`, `ExFlush-`, `ExDeleteLookasideListEx` | entries are pool, given back at once | no entry of the list: 0xC2; no list, deleted with entries in use, freed: 0xCC; own functions: failure `not supported` |
//! | `ExFreePoolWithTag`, `ExFreePool`, `ExFreePool2` | full | no block, freed twice, wrong tag: 0xC2; wrong IRQL: 0xC4/0x11, 0x12; a queued DPC or set timer inside: 0xC7; a queued work item inside: 0xE4 (0); a held lock inside: 0xC4/0x1006; overrun: 0xC1 |
//! | `RtlInit-`, `RtlCopy-`, `RtlEqual-`, `RtlCompareUnicodeString`, `RtlAppendUnicodeStringToString` | case by the host's tables | above its IRQL: 0xC4/0xE5; a string that is paged at DISPATCH_LEVEL, or freed: 0xD1 |
//! | `MmGetSystemRoutineAddress` | what is in this table and exported by NT | above PASSIVE_LEVEL: 0xC4/0xE5 |
//! | `DbgPrint`, `DbgPrintEx` | the kernel's format syntax, at most 512 bytes, into the trace; on x86-64 Unix hosts only | characters of 16 bits above PASSIVE_LEVEL: 0xC4/0xE5; a string in memory that cannot be read: 0xD1; floating point, `%n`, no directive: failure `not supported` |
//! | `EtwRegister`, `EtwUnregister` | sessions are [`etw`]'s; callbacks without filters | above PASSIVE_LEVEL: 0xC4/0xE5; unregistered without a valid handle: 0xC4/0xDC; still registered at unload: 0xC4/0xDD; a callback returns at another IRQL: 0xC8 |
//! | `EtwProviderEnabled`, `EtwEventEnabled`, `EtwWrite`, `EtwWriteString` | levels, keywords, limits; events are data | a handle of no provider any more, data in memory that cannot be read: 0xD1 |
//! | `KeBugCheckEx` | full | always |
//!
//! Besides: a wake above DISPATCH_LEVEL ([`check_wake`], 0xC4/0xE5); a DPC routine returns at another IRQL (0xC8) or holding a lock (0xC4/0x1006); DPCs run too long (0x133); a program or
//! thread ends at raised IRQL (0xC8) or with a mutex (0x4000008A); pool is freed with an object in it that is waited for (0xCC) or a
//! held mutex or remove lock (0xC4/0x1006); an atomic or cell is in freed memory, or in paged memory at DISPATCH_LEVEL (0xD1); and at
//! unload a DPC, timer, thread, work item or lookaside list is left (0xCE), a lock held (0xC4/0x1006), an ETW provider registered (0xC4/0xDD), pool leaked (0xC4/0x62), or
//! memory written to after its free (0xCC). With [`Config::special_pool`], at once: a plain access to freed pool (0xCC), behind a block
//! (0xCD), or to paged pool at DISPATCH_LEVEL (0xD1).
//!
//! # Faults
//!
//! What the driver's code does wrong to the host's processor stops the machine, with the driver's
//! functions that ran ([`BugCheck::backtrace`]), and the process lives on:
//!
//! - A null or other address of the user's range, or one that is not canonical: exception
//!   0xC0000005; at DISPATCH_LEVEL and above 0xD1, in a kernel call 0xA.
//! - An address of the system's range: 0x50; at DISPATCH_LEVEL and above 0xD1, in a kernel call
//!   0xA.
//! - A write to memory that is read-only: 0xBE. Execution of data: 0xFC.
//! - An address that is not aligned as the instruction asks: exception 0xC0000005.
//! - A division by zero: exception 0xC0000094. A quotient that is too large: 0xC0000095.
//! - An instruction that does not exist, such as `ud2`: exception 0xC000001D. `int3`: 0x80000003.
//! - `int 29h`: 0x139. A privileged instruction: failure `not supported`.
//! - A stack without room: 0x7F (8).
//!
//! An exception is bug check 0x7E in a system thread, a work item, DriverEntry and Unload; 0x3B in
//! a dispatch routine that a program calls; else 0x1E. Structured exception handling is not
//! simulated: no exception is handled. All this is so on x86-64 Linux hosts, with or without
//! special pool. Elsewhere, in free runs and under AddressSanitizer, which reports such an access
//! itself, faults of the host are not simulated: they end the process. So do faults outside of a
//! run, and those of ntsim's own.
//!
//! In a build with debug assertions Rust's own checks look at a pointer before the processor does,
//! and panic without unwinding. Where faults are simulated, the driver's code ends in a bug check
//! then, too, with the place in the source:
//!
//! - A null pointer is dereferenced: as the fault at address 0. The check does not tell a read from
//!   a write, nor the offset of a field.
//! - A pointer that is not aligned is dereferenced: 0xC4 (0x4E530005). It is no fault on x86-64.
//! - Another check finds undefined behaviour, such as the arguments of an unsafe function
//!   (`unsafe precondition(s) violated`): 0xC4 (0x4E530006). The check does not tell the pointer.
//!
//! std still writes `thread caused non-unwinding panic. aborting.`, but the process lives on. The
//! first [`Simulation`] puts a panic hook in front of the program's for this. A hook that is set
//! later has to call the one that it replaces ([`std::panic::take_hook`]), or such a check ends the
//! process. So does one in a build with `panic = "abort"` or without symbols, and every panic that
//! leaves an `extern "C"` function.
//!
//! A loop without a kernel call, and a lock of the host that is held across one, end the run too:
//! [`Config::hang`].
//!
//! # Statics
//!
//! A driver's static belongs to the driver that has just been loaded. A test program is loaded once
//! and simulates many kernels. So each simulated kernel has its own copy of every static of the
//! types of [`sync`], which begins with the bytes that the program was loaded with; [`own`] gives a
//! program its kernel's copy of a static of any other type, and `ntcom_exec::driver_static!` does
//! so for a driver with sources that also run without the simulation. A plain static of core's
//! atomics, a `Mutex` or a `OnceLock` is shared by all simulated kernels of the process, keeps what
//! the run before has left in it, and makes [`explore`](explore()) find different runs where it
//! expects the same. Statics are recognised on Linux and Windows hosts.
//!
//! # Beyond a run
//!
//! Pool memory belongs to its kernel, too, and its addresses stay closed when the simulation has
//! ended (with AddressSanitizer those of the last 256 simulations). An interface, waker or handle
//! that a test has kept for so long stops the run that uses it (0xD1); outside of runs an atomic
//! panics, and an access that cannot panic ends the process, with words. So it is after a reset,
//! where no new block has the addresses yet.
//!
//! Between two runs of a simulation that lives, the last reference may go: pool is freed as at
//! PASSIVE_LEVEL. A call that would have a task run (`KeInsertQueueDpc`, `KeSetEvent`,
//! `IoQueueWorkItem(Ex)`, `ExQueueWorkItem`) is not done. The next run or unload ends with it, as a
//! failure of oracle `between runs`, and without one the reset or the end of the simulation panics.
//! When a run has ended early, both do nothing. Other kernel calls outside of runs end the process,
//! with words: they cannot panic.
//!
//! # Rules that NT does not check
//!
//! Some calls are forbidden by their pages, and on NT such a driver only fails later, elsewhere, or
//! on another machine. They are bug check 0xC4 with a first parameter of ntsim's own, unless
//! [`Config::documented_rules`] is off.
//!
//! | parameter 1 | when | the others |
//! |---|---|---|
//! | 0x4E530001 | `IofCallDriver`, `IofCompleteRequest` by a processor that holds a spin lock | the lock, the processor |
//! | 0x4E530002 | above the IRQL that the page states: `IoSetCompletionRoutine`, `IoCopyCurrentIrpStackLocationToNext`, `IoSetCancelRoutine` (DISPATCH_LEVEL), `KeInitializeSemaphore` (PASSIVE_LEVEL), `KeSetEvent`, `KeReleaseSemaphore`, `KeReleaseMutex` with `Wait` (APC_LEVEL) | IRQL, the highest |
//! | 0x4E530003 | pool with flags for which NT returns NULL: no kind of pool or several, a required flag that it does not know | the flags, the bytes, the tag |
//! | 0x4E530004 | `KeLowerIrql` or another release between one with `Wait` = TRUE and the wait that was to be next | IRQL, IRQL before the release |
//! | 0x4E530005 | a pointer that is not aligned is dereferenced: undefined behaviour in Rust, found by a check of a build with debug assertions; also with [`Config::documented_rules`] off | the address, the alignment, the code |
//! | 0x4E530006 | another check of such a build finds undefined behaviour; as before | the code |
//!
//! # What is not
//!
//! Weak memory (the simulation is sequentially consistent), thread priorities, APCs and alerts, interrupts other than the clock's and
//! DPCs, the va_list relatives of DbgPrint, EtwWriteEx, EtwWriteTransfer and filters of ETW
//! sessions, attached devices and the rest of the I/O manager. Preemption is before and behind
//! calls and the operations of [`sync`], before the return of routines, and at
//! [`preemption_point`]: accesses by plain pointers are atomic to the simulation.

#![cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    allow(dead_code, reason = "faults of other hosts are not handled")
)]

extern crate std;

mod address_space;
mod arena;
mod asan;
mod config;
mod counters;
pub mod ddi;
mod diagnosis;
mod driver;
mod engine;
pub mod etw;
mod fault;
mod image_range;
mod image_state;
mod kernel;
mod low_resources;
mod memory;
mod other_pools;
mod program;
mod protection;
mod simulation;
mod statics;
pub mod sync;
pub mod trace;
pub mod types;
mod verifier;

pub use config::{Config, LowResources};
pub use counters::Counters;
pub use diagnosis::{Diagnosis, ProcessorState};
pub use driver::DriverEntry;
#[cfg(feature = "free-running")]
pub use engine::free::FreeProgram;
pub use engine::{
    explore::{Exploration, Finding, Limits, explore},
    order::Order,
    recording::{Decision, ParseRecordingError, Recording},
    run::Program,
    schedule::Schedule,
};
pub use kernel::thread::ThreadName;
pub use low_resources::{Starvation, Starved, starve};
pub use program::{
    Drain, advance_time, check_wake, counters, current_processor, drain, driver_object, fail,
    fail_allocation, image_state, in_dpc, irql, is_active, is_tracing, last_tick, live_blocks, mark, note,
    preemption_point, set_system_time,
};
pub use simulation::Simulation;
pub use statics::own;
pub use trace::Trace;
pub use verifier::{
    bugcheck::BugCheck,
    irql::Ddi,
    stop::{Stop, Wait},
};
