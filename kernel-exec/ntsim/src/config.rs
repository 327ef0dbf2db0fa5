//! The configuration of a simulated machine.

use core::time::Duration;

use crate::kernel::clock::TICK;

/// The configuration of a machine, such as its processors, the speed of its virtual clock, and the
/// limits of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The number of processors, 1 to 64. Default 1.
    pub processors: usize,
    /// Whether events are collected. Default no, in which case no text is ever made.
    pub trace: bool,
    /// Whether the events that are collected have the file and line of the code that they come from
    /// ([`Event::caller`](crate::trace::Event::caller)). That takes time at each event. Default no.
    pub callers: bool,
    /// The most preemption points in the whole simulation, over all runs. Default 1,000,000.
    pub step_limit: u64,
    /// The time by which the virtual clock advances at a preemption point, in 100-ns units. Default
    /// 1.
    pub step_time: u64,
    /// The time between two interrupts of the clock, in 100-ns units. It is 1,000 to 10,000,000,
    /// which is 0.1 ms to 1 s. Timers and time-outs expire only at these interrupts, and a DPC that
    /// was deferred runs at most one interrupt later. The schedule chooses the time of the first
    /// one. Default 156,250, which is 64 a second; NT may be asked for 5,000
    /// (`ExSetTimerResolution`).
    pub tick: u64,
    /// The virtual time, in 100-ns units, that a processor may stay in DPCs without a break (bug
    /// check 0x133). 0 means no limit. Default 1,000,000,000, which is 100 s.
    pub dpc_watchdog: u64,
    /// The virtual time, in 100-ns units, after which a processor at DISPATCH_LEVEL is advised to
    /// yield (`KeShouldYieldProcessor`). Default 1,000, which is 100 µs, the recommended limit for
    /// DPC routines.
    pub yield_after: u64,
    /// The most worker threads of each queue of work items. Further items wait until a routine
    /// returns. Default 2.
    pub workers: usize,
    /// Whether spin locks that were ever acquired in opposite orders are bug check 0xC4/0x1001,
    /// even if no processor waits. A lock that is only tried (`KeTryToAcquireSpinLockAtDpcLevel`)
    /// may come in any order. Default no.
    pub lock_order: bool,
    /// Whether a call that its page forbids ends the run although neither NT nor Driver Verifier
    /// detects it. It is bug check 0xC4 with a first parameter of ntsim's own, from [the first
    /// page's table](crate#rules-that-nt-does-not-check). Default yes.
    pub documented_rules: bool,
    /// The allocations that fail. Default none.
    pub low_resources: LowResources,
    /// Whether each block of pool has pages of its own, and ends where they end. Then a plain
    /// access behind the block, or to it after its free, is a bug check at once (0xCD, 0xCC). So is
    /// an access to paged pool at DISPATCH_LEVEL (0xD1). This is Driver Verifier's special pool and
    /// forced IRQL checking. A pool of 4 MiB has room for about 500 live blocks. It is available on
    /// x86-64 Linux hosts. Under AddressSanitizer, which detects such accesses itself, it changes
    /// nothing. Default no.
    pub special_pool: bool,
    /// The bytes of pool, 64 KiB to 4 GiB, a multiple of a page's 4,096. Each block takes 32 more
    /// than its size in multiples of 16, or, with [`Config::special_pool`], a page more. Freed
    /// blocks are reused only if a new block does not fit behind all others. The blocks freed
    /// first are reused first, and neighbours are merged then. 100,000 blocks of 42 bytes fit into
    /// 8 MiB. Default 4 MiB.
    pub pool_size: usize,
    /// How far, in 100-ns units, the virtual clock jumps for timers once all programs have ended. A
    /// run waits until all its work has ended, timers included. A driver that sets a timer again
    /// and again never ends, so it needs a limit here. A later run continues with the timers that
    /// are still set. Default [`u64::MAX`], which means no limit.
    pub linger: u64,
    /// The bytes of a kernel stack that the driver may use, 4 KiB to 16 MiB. Default 24 KiB, as on
    /// NT for x64.
    ///
    /// For a thread they are summed over all its routines that wait for a kernel call to return. A
    /// DPC routine has another stack. The frames of the simulated kernel do not count. A greater
    /// depth at a kernel call or an atomic is bug check 0x7F (8).
    ///
    /// A frame that makes no call is found at the next call-out, or at the return of its routine or
    /// program, if it has written to the 64 bytes beyond the limit. That holds on Unix hosts,
    /// unless a kernel call came from so deep that the kernel's own frames may reach there. At the
    /// latest the frame is found when it reaches the guard below the host's stack. That stack has
    /// the bytes of a thread, of a DPC, and 128 KiB for the kernel.
    ///
    /// A build that is not optimised (`opt-level = 0`) is allowed eight times as much. Under
    /// AddressSanitizer and with `cfg(fuzzing)`, which make frames larger, stacks have no limit.
    /// [`Counters::stack`](crate::Counters::stack) has the high-water mark.
    pub stack: usize,
    /// The processor time that a processor may spend without a preemption point. After that time
    /// the run ends with a failure of oracle `hang`, which describes each processor's state. It is
    /// not the time on a clock. If instead the OS thread of all processors waits for a lock of the
    /// host, which a driver holds across a kernel call, the oracle is `host lock`.
    ///
    /// Neither is a schedule's finding, because it depends on the host. Available on x86-64 Linux
    /// hosts, without AddressSanitizer, not in a free run, and not while a debugger is attached.
    /// Zero means never. Default 10 s.
    pub hang: Duration,
    /// The number of processors in a group, 1 to 64; the last group may have fewer. Default 64,
    /// which makes one group.
    pub group_size: usize,
}

/// The allocations that fail.
///
/// They are allocations of pool, and those of the kernel itself, which makes work items, IRPs,
/// devices and threads from pool. Allocations that [`fail_allocation`](crate::fail_allocation)
/// selects fail in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LowResources {
    /// None.
    #[default]
    Never,
    /// One in sixteen, as the schedule chooses. Driver Verifier has about as many.
    Random,
    /// The first allocation of a call stack of which none has failed before, in this simulation or
    /// before its resets. Then none fails until the next reset. [`starve`](crate::starve) makes the
    /// resets.
    Systematic,
}

impl Config {
    /// The value of [`Default`], for constants.
    pub const DEFAULT: Self = Self {
        processors: 1,
        trace: false,
        callers: false,
        step_limit: 1_000_000,
        step_time: 1,
        tick: TICK,
        dpc_watchdog: 1_000_000_000,
        yield_after: 1_000,
        workers: 2,
        lock_order: false,
        documented_rules: true,
        low_resources: LowResources::Never,
        special_pool: false,
        pool_size: 4 << 20,
        linger: u64::MAX,
        stack: 24 << 10,
        hang: Duration::from_secs(10),
        group_size: 64,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}
