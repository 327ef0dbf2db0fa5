//! A deterministic simulation of a multiprocessor NT kernel, for testing drivers on Linux.
//!
//! A driver calls the kernel by its own names ([`ddi`], with wdk-sys's signatures and [`types`])
//! and uses the atomics of [`sync`]. Here these reach a simulated machine. It has up to 64
//! processors with IRQLs, DPC queues, timers, spin locks, threads, dispatcher objects and pool. Its
//! verifier stops the machine with NT's bug check when a rule is broken.
//!
//! One simulated processor runs at a time, and one of its threads. At every call and every atomic
//! operation a [`Schedule`] decides which one goes on. Only [`Config::hang`] depends on the host's
//! time, and nothing on its threads or addresses. So the same programs, [`Config`] and schedule
//! make the same run, and a [`Recording`] of one replays it.
//!
//! # First example
//!
//! Two processors. The first queues a DPC to the second and sees it run.
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
//!     // SAFETY: the context is the program's `ran_on`, which outlives the DPC.
//!     let ran_on = unsafe { &*context.cast::<AtomicU32>() };
//!     ran_on.store(ntsim::current_processor() as u32, Ordering::Release);
//! }
//!
//! let ran_on = Rc::new(AtomicU32::new(u32::MAX));
//! let shared = Rc::clone(&ran_on);
//! let config = Config { processors: 2, trace: true, ..Config::default() };
//! let mut kernel = Simulation::new(config, Schedule::seed(1));
//! kernel.run_on(0, move || {
//!     let mut dpc = KDPC::default();
//!     let mut target = PROCESSOR_NUMBER { Group: 0, Number: 1, Reserved: 0 };
//!     // SAFETY: the program waits for the DPC, so it and its context live until it has run.
//!     unsafe {
//!         ddi::KeInitializeDpc(&mut dpc, Some(routine), Rc::as_ptr(&shared).cast_mut().cast());
//!         ddi::KeSetTargetProcessorDpcEx(&mut dpc, &mut target);
//!         ddi::KeInsertQueueDpc(&mut dpc, null_mut(), null_mut());
//!     }
//!     while shared.load(Ordering::Acquire) == u32::MAX {}
//! })?;
//! kernel.unload()?;
//! assert_eq!(ran_on.load(Ordering::Acquire), 1);
//! assert!(kernel.trace().to_string().contains("DPC object"));
//! # Ok::<(), ntsim::Stop>(())
//! ```
//!
//! # Hunting
//!
//! One run follows one [`Schedule`], such as a seed, PCT with a given depth, or a fuzzer's bytes.
//! Each of them is fair in the end, so that "it never ends" can be a finding. [`explore`] makes all
//! runs with a limited number of preemptions. [`starve`] makes one allocation of each call stack
//! fail. [`hunt`](hunt()) does all of these for a test, compares runs that must be equal, and
//! reports the first finding with the fewest preemptions, a timeline and a line that replays it.
//!
//! A run that ends badly leaves a [`Recording`], which replays it, and a [`Trace`]. The trace
//! is text, JSON lines, or a timeline ([`Trace::to_html`]) in which programs can [`mark`] their
//! actions.
//!
//! # What is simulated
//!
//! The rules are those of the public documentation. Where it is silent, ntsim is stricter than NT,
//! never laxer. ntsim rejects features that it does not support, and never succeeds silently. Each
//! function's page has the details.
//!
//! In the table a number is a bug check; 0xC4/0x30 is bug check 0xC4 with the first parameter 0x30.
//! *Refused* means that the run ends with a failure of the oracle `not supported`. An *unknown*
//! object was not initialised as this kind, or was overwritten or moved since.
//!
//! | DDI | how far | stops the machine when |
//! |---|---|---|
//! | `KeGetCurrentIrql` | full | |
//! | `KfRaiseIrql`, `KeRaiseIrqlToDpcLevel` | full | lower IRQL, or not an IRQL (0xC4/0x30) |
//! | `KeLowerIrql` | full; held-off DPCs run | higher IRQL, or below DISPATCH_LEVEL in a DPC (0xC4/0x31) |
//! | `KeGetCurrentProcessorNumberEx`, `KeQueryActiveProcessorCountEx`, `KeQueryActiveGroupCount`, `KeGetProcessorNumberFromIndex`, `KeGetProcessorIndexFromNumber` | groups of [`Config::group_size`] | |
//! | `KeInitializeDpc` | full | DPC queued or used by a set timer (0xC7); paged pool (0xD1) |
//! | `KeInitializeThreadedDpc` | no | always (refused) |
//! | `KeInsertQueueDpc` | importance, target, depth limit; the schedule chooses where NT leaves it open | not initialised, freed, used by a timer (0xC7) |
//! | `KeRemoveQueueDpc`, `KeSetTargetProcessorDpc`, `KeSetTargetProcessorDpcEx` | full | not initialised, freed (0xC7) |
//! | `KeSetImportanceDpc` | full | not an importance (refused) |
//! | `KeInitializeTimer(Ex)` | full | set, waited for (0xC7); paged pool (0xD1) |
//! | `KeFlushQueuedDpcs` | waits for the DPCs queued before it | above PASSIVE_LEVEL (0xC4/0xE5) |
//! | `KeSetTimer`, `KeSetTimerEx`, `KeSetCoalescableTimer` | one-shot or periodic, relative or absolute; the schedule chooses the tolerated delay | negative period (refused); not initialised, freed, a DPC that was queued by hand (0xC7); above DISPATCH_LEVEL (0xC4/0xE5) |
//! | `KeCancelTimer`, `KeReadStateTimer` | full | not initialised, freed (0xC7); above DISPATCH_LEVEL (0xC4/0xE5) |
//! | `KeShouldYieldProcessor` | TRUE after [`Config::yield_after`] of a drain, or of a thread at DISPATCH_LEVEL; NT leaves it open | below DISPATCH_LEVEL (0xC4/0xE5) |
//! | `KeQueryDpcWatchdogInformation` | units of 100 ns; both limits are [`Config::dpc_watchdog`] | |
//! | `KeQueryInterruptTimePrecise`, `KeQueryPerformanceCounter` | the virtual clock | |
//! | `KeQuerySystemTimePrecise` | the virtual clock, until [`set_system_time`] sets it | |
//! | `KeInitializeSpinLock` | full | held (0xC4/0x1005) |
//! | `KeAcquireSpinLockRaiseToDpc`, `KeAcquireSpinLockAtDpcLevel`, `KeTryToAcquireSpinLockAtDpcLevel` | a waiting processor cannot run; a cycle of waits is a deadlock | wrong IRQL (0xC4/0x42, 0x40); held by this processor (0xC4/0x1000); opposite orders, with [`Config::lock_order`] (0xC4/0x1001); not initialised (0xC4/0x1002) |
//! | `KeReleaseSpinLock`, `KeReleaseSpinLockFromDpcLevel` | full | wrong IRQL (0xC4/0x32, 0x41); held by another processor (0xC4/0x1004); not held (0xC4/0x1007) |
//! | `KeAcquireInStackQueuedSpinLock(AtDpcLevel)`, `KeReleaseInStackQueuedSpinLock(FromDpcLevel)` | full | as for spin locks; released with another handle (0xC4/0x1007) |
//! | `ExInitialize-`, `ExAcquire-`, `ExRelease-`, `ExReInitializeRundownProtection`, `ExWaitForRundownProtectionRelease`, `ExRundownCompleted` | full | released too often, completed too early (0x139/14); the wait as other waits |
//! | `ExInitialize-`, `ExAcquire-`, `ExTryToAcquire-`, `ExReleaseFastMutex` | not the Unsafe variants | wrong IRQL (0xC4/0x33, 0x34); held by this thread (0xC4/0x1000), by another (0xC4/0x1004); not held (0xC4/0x1007); moved (0x139) |
//! | `IoInitializeRemoveLockEx`, `IoAcquireRemoveLockEx`, `IoReleaseRemoveLock(AndWait)Ex` | of free builds | a tag without an acquisition, second wait (0x139/14); moved (0x139/3); another size (refused) |
//! | `PsCreateSystemThread` | on any processor, from the start and after each wait; no priorities | above PASSIVE_LEVEL (0xC4/0xE5); a process or name (refused) |
//! | `PsTerminateSystemThread` | full | a mutex is held (0x4000008A); a system worker (refused) |
//! | `KeGetCurrentThread` | programs, system threads, idle threads | |
//! | `ObReferenceObjectByHandle`, `ZwClose` | threads, and `PsThreadType` and other types | not an open handle (0xC4/0x3C); UserMode (refused) |
//! | `ObfReferenceObject`, `ObfDereferenceObject` | threads, devices | not an object, or without references (0xC4/0x3F) |
//! | `KeInitializeEvent`, `KeInitializeSemaphore`, `KeInitializeMutex` | full | waited for (0x139); a held mutex (0xC4/0x1005); paged pool (0xD1) |
//! | `KeSetEvent`, `KeResetEvent`, `KeClearEvent`, `KeReadStateEvent` | full | unknown event (0x139); KeSetEvent above DISPATCH_LEVEL (0xC4/0x80); no wait after `Wait` (0xC4/0x4E530004) |
//! | `KeReleaseSemaphore`, `KeReadStateSemaphore` | full | beyond the limit (0x1E); unknown semaphore (0x139) |
//! | `KeReleaseMutex`, `KeReadStateMutex` | recursion | not held by this thread, another level than at its acquisition (0x1E); unknown mutex (0x139) |
//! | `KeWaitForSingleObject`, `KeWaitForMultipleObjects` | events, semaphores, mutexes, timers, threads; alertable and in UserMode, though no alert comes | at DISPATCH_LEVEL with a time-out other than zero (0xC4/0x3B), in a DPC (0xB8); too many objects (0xC); unknown object (0x139); in UserMode for a mutex, with objects on the stack (0xC4/0x4E530005) |
//! | `KeDelayExecutionThread` | a delay of zero yields | as for waits |
//! | `IoCreateDevice`, `IoDeleteDevice` | names, which [`io::File::open_path`] opens; the driver is [`driver_object`] | not a device, deleted twice (0xC4/0x3F); another driver (refused) |
//! | `IoAllocateIrp`, `IoFreeIrp`, `IoReuseIrp` | from pool, without a thread | not an IRP (0xC9/1); a driver has it (0xC9/0x20B) |
//! | `IofCallDriver`, `IofCompleteRequest`, `IoMarkIrpPending`, `IoSetCompletionRoutine`, `IoGetCurrent-`, `IoGetNextIrpStackLocation`, `IoCopyCurrentIrpStackLocationToNext`, `IoSkipCurrentIrpStackLocation` | the driver that makes an IRP frees it in its completion routine | see their pages (0xC9, 0x44, 0x35, 0xC8, 0xC4/0x1006); a null dispatch routine (0x1E or 0xD1); while holding a spin lock (0xC4/0x4E530001); completed to the end (refused) |
//! | [`io`] | a client's opens, reads, writes, controls, cancels and closes, by system buffer or the client's addresses; no memory descriptor lists, no Plug and Play | Information beyond the client's room, a final status of a request that is not complete (a failure of oracle `io`); a direct transfer (refused); unloaded while open (a failure of oracle `unload`) |
//! | `IoSetCancelRoutine`, `IoCancelIrp`, `IoAcquireCancelSpinLock`, `IoReleaseCancelSpinLock` | full | the routine keeps the lock (0xC4/0x1006), or another IRQL (0xC8); not an IRP (0x44) |
//! | `IoCsqInitialize`, `IoCsqInsertIrp`, `IoCsqRemoveIrp`, `IoCsqRemoveNextIrp` | full; not `IoCsqInsertIrpEx` | not a queue (refused); the IRP's rules |
//! | `IoAllocateWorkItem`, `IoFreeWorkItem`, `IoInitializeWorkItem`, `IoUninitializeWorkItem`, `IoSizeofWorkItem` | full | queued (0xE4/2, or 0xE4/1 at initialisation); not a device (0xE4/3); not a work item (0xE4/7) |
//! | `IoQueueWorkItem(Ex)`, `ExInitializeWorkItem`, `ExQueueWorkItem` | queues by type, [`Config::workers`] threads each | queued (0xE4/1); not a queue (0xE4/6); no routine (0xE4/7); the system's own queues (refused); the routine returns at raised IRQL (0xE1) |
//! | `ExAllocatePool2`, `ExAllocatePool3`, `ExAllocatePoolWithTag` | non-paged, paged; [`Config::pool_size`] in all, reused only when no fresh memory is left; guards around each block, or pages with [`Config::special_pool`]; no quota | zero bytes (0xC4/0x0); wrong IRQL (0xC4/0x1, 0x2); RAISE_ON_FAILURE without memory (0x1E); WithTag with tag 0 (0xC2/0x9B); flags for which NT returns NULL (0xC4/0x4E530003); other flags, types, parameters (refused) |
//! | `ExInitializeLookasideListEx`, `ExAllocateFrom-`, `ExFreeTo-`, `ExFlush-`, `ExDeleteLookasideListEx` | entries are pool, returned to it at once | not an entry of the list (0xC2); not a list, deleted with entries in use, freed (0xCC); own functions (refused) |
//! | `ExFreePoolWithTag`, `ExFreePool`, `ExFreePool2` | full | not a block, freed twice, wrong tag (0xC2); wrong IRQL (0xC4/0x11, 0x12); a queued DPC or set timer inside (0xC7); a queued work item inside (0xE4/0); a held lock inside (0xC4/0x1006); overrun (0xC1) |
//! | `RtlInit-`, `RtlCopy-`, `RtlEqual-`, `RtlCompareUnicodeString`, `RtlAppendUnicodeStringToString` | case by the host's tables | above its IRQL (0xC4/0xE5); a string that is paged at DISPATCH_LEVEL, or freed (0xD1) |
//! | `MmGetSystemRoutineAddress` | the functions of this table that NT exports | above PASSIVE_LEVEL (0xC4/0xE5) |
//! | `DbgPrint`, `DbgPrintEx` | the kernel's format syntax, at most 512 bytes, into the trace; on x86-64 Unix hosts only | characters of 16 bits above PASSIVE_LEVEL (0xC4/0xE5); a string in memory that cannot be read (0xD1); floating point, `%n`, not a directive (refused) |
//! | `EtwRegister`, `EtwUnregister` | sessions are [`etw`]'s; callbacks without filters | above PASSIVE_LEVEL (0xC4/0xE5); unregistered without a valid handle (0xC4/0xDC); still registered at unload (0xC4/0xDD); a callback returns at another IRQL (0xC8) |
//! | `EtwProviderEnabled`, `EtwEventEnabled`, `EtwWrite`, `EtwWriteString` | levels, keywords, limits; events are data | a handle of an unregistered provider, data in memory that cannot be read (0xD1) |
//! | `KeBugCheckEx` | full | always |
//!
//! These rules are not tied to one call:
//!
//! - A wake above DISPATCH_LEVEL ([`check_wake`]) is 0xC4/0xE5.
//! - A DPC routine that returns at another IRQL is 0xC8; one that returns with a lock, 0xC4/0x1006.
//!   DPCs that run too long are 0x133.
//! - A program or thread that ends at raised IRQL is 0xC8; one that ends with a mutex, 0x4000008A.
//! - Pool that is freed with an object in it is 0xCC if a thread waits for the object, and
//!   0xC4/0x1006 if it is a held mutex or remove lock.
//! - An atomic or cell in freed memory, or in paged memory at DISPATCH_LEVEL, is 0xD1.
//! - At unload, a DPC, timer, thread, work item or lookaside list that is left is 0xCE. A held lock
//!   is 0xC4/0x1006, a registered ETW provider 0xC4/0xDD, leaked pool 0xC4/0x62, and memory that
//!   was written to after its free 0xCC.
//! - With [`Config::special_pool`], a plain access is a bug check at once. It is 0xCC to freed
//!   pool, 0xCD behind a block, and 0xD1 to paged pool at DISPATCH_LEVEL.
//!
//! # Faults
//!
//! A fault of the driver's code stops the machine, with the driver's running functions
//! ([`BugCheck::backtrace`]), and the process lives on:
//!
//! - A null or other address of the user's range, or a non-canonical one, is exception 0xC0000005.
//!   It is 0xD1 at DISPATCH_LEVEL and above, and 0xA in a kernel call there.
//! - An address of the system's range is 0x50. It is 0xD1 at DISPATCH_LEVEL and above, and 0xA in a
//!   kernel call there.
//! - A write to read-only memory is 0xBE, execution of data 0xFC.
//! - An address without the alignment that the instruction needs is exception 0xC0000005.
//! - A division by zero is exception 0xC0000094, and a quotient that is too large 0xC0000095.
//! - An instruction that does not exist, such as `ud2`, is exception 0xC000001D, and `int3`
//!   0x80000003.
//! - `int 29h` is 0x139. A privileged instruction is refused.
//! - A stack overflow is 0x7F/8.
//!
//! An exception is bug check 0x7E in a system thread, a work item, DriverEntry and Unload. It is
//! 0x3B in a dispatch routine that a program calls, and 0x1E elsewhere. Structured exception
//! handling is not simulated, so no exception is handled.
//!
//! All this holds on x86-64 Linux hosts, with or without special pool. Elsewhere, in free runs, and
//! under AddressSanitizer, which reports such an access itself, faults of the host end the process.
//! So do faults outside of a run, and those of ntsim's own code.
//!
//! A panic in the driver's code or in a program, such as that of a test's `assert!`, ends the run
//! with [`Stop::Panic`], also in an `extern "C"` function. No code unwinds, as on a machine that
//! stops. It is so on x86-64 Linux hosts, also under AddressSanitizer, but not in free runs.
//!
//! In a build with debug assertions Rust's own checks look at a pointer before the processor does,
//! and panic without unwinding. Where faults are simulated, the driver's code ends in a bug check
//! then, with the place in the source:
//!
//! - A null pointer is dereferenced: as the fault at address 0. The check does not tell a read from
//!   a write, nor the offset of a field.
//! - A pointer that is not aligned is dereferenced: 0xC4 (0x4E530006). It is no fault on x86-64.
//! - Another check finds undefined behaviour, such as the arguments of an unsafe function
//!   (`unsafe precondition(s) violated`): 0xC4 (0x4E530007). The check does not tell the pointer.
//!
//! For a panic that cannot unwind std still writes `thread caused non-unwinding panic. aborting.`,
//! but the process lives on. The first [`Simulation`] puts a panic hook in front of the program's
//! for all this. A hook that is set later has to call the one that it replaces
//! ([`std::panic::take_hook`]). Otherwise a panic unwinds out of the run, and one that leaves an
//! `extern "C"` function and a failed check of Rust's end the process. So it is in a build with
//! `panic = "abort"` or without symbols.
//!
//! A loop without a kernel call ends the run, too, and so does a lock of the host that is held
//! across one. See [`Config::hang`].
//!
//! # Statics
//!
//! In NT a static belongs to a driver that has just been loaded. A test program is loaded once and
//! simulates many kernels. So each simulated kernel has its own copy of every static of the types
//! of [`sync`], which begins with the bytes that the program was loaded with. [`own`] gives a
//! program its kernel's copy of a static of any other type. `ntcom_exec::driver_static!` does so
//! for a driver with sources that also run without the simulation.
//!
//! A plain static of core's atomics, a `Mutex` or a `OnceLock` is shared by all simulated kernels
//! of the process. It keeps the value that the run before has left, so [`explore`](explore()) finds
//! different runs where it expects the same. Statics are recognised on Linux and Windows hosts.
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
//! | 0x4E530002 | above the IRQL that the page states, for `IoSetCompletionRoutine`, `IoCopyCurrentIrpStackLocationToNext`, `IoSetCancelRoutine` (DISPATCH_LEVEL), `KeInitializeSemaphore` (PASSIVE_LEVEL), `KeSetEvent`, `KeReleaseSemaphore`, `KeReleaseMutex` with `Wait` (APC_LEVEL) | IRQL, the highest |
//! | 0x4E530003 | pool with flags for which NT returns NULL, because they name no kind of pool or several, or include an unknown required flag | the flags, the bytes, the tag |
//! | 0x4E530004 | `KeLowerIrql` or another release between a release with `Wait` = TRUE and the wait that must come next | IRQL, IRQL before the release |
//! | 0x4E530005 | a wait in UserMode for a mutex, or with an object or wait blocks on the thread's stack, which may be swapped out | the object or blocks |
//! | 0x4E530006 | a pointer that is not aligned is dereferenced, which is undefined behaviour in Rust; found by a check of a build with debug assertions, also with [`Config::documented_rules`] off | the address, the alignment, the code |
//! | 0x4E530007 | another check of such a build finds undefined behaviour, also with that option off | the code |
//!
//! # What is not simulated
//!
//! - Weak memory; the simulation is sequentially consistent.
//! - Thread priorities, APCs and alerts.
//! - Interrupts other than the clock's and DPCs.
//! - The va_list relatives of DbgPrint, EtwWriteEx, EtwWriteTransfer, and filters of ETW sessions.
//! - Attached devices and the rest of the I/O manager.
//!
//! Preemption is before and behind calls and the operations of [`sync`], before the return of
//! routines, and at [`preemption_point`]. Accesses by plain pointers are atomic to the simulation.

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
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod host_pages;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "no_host_pages.rs"]
mod host_pages;
mod hunt;
mod image_range;
mod image_state;
pub mod io;
mod kernel;
mod limits;
mod low_resources;
mod other_pools;
mod program;
mod protection;
mod simulation;
mod statics;
mod subsystem;
pub mod sync;
pub mod trace;
pub mod types;
mod verifier;

pub use config::{Config, LowResources};
pub use counters::Counters;
pub use diagnosis::{Diagnosis, ProcessorState};
#[cfg(feature = "free-running")]
pub use engine::free::FreeProgram;
pub use engine::{
    explore::{Exploration, Finding, Limits, explore},
    job::Program,
    order::Order,
    recording::{Decision, ParseRecordingError, Recording},
    schedule::Schedule,
};
pub use hunt::{Found, Hunt, Hunted, hunt};
pub use kernel::thread::ThreadName;
pub use low_resources::{Starvation, Starved, starve};
pub use program::{
    Drain, advance_time, check_wake, counters, current_processor, drain, driver_object, fail,
    fail_allocation, image_state, in_dpc, irql, is_active, is_tracing, last_tick, live_blocks, mark,
    mark_object, name, note, preemption_point, set_system_time,
};
pub use simulation::{Programs, Simulation};
pub use statics::own;
pub use subsystem::driver_object::DriverEntry;
pub use trace::Trace;
pub use verifier::{
    bugcheck::BugCheck,
    irql::Ddi,
    stop::{Stop, Wait},
};

/// The guide's example compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/testing-your-driver.md")]
struct Guide;
