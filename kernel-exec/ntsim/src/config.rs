//! What a simulated machine is like.

use core::time::Duration;

use crate::kernel::clock::TICK;

/// The machine: how many processors, how fast the virtual clock is, and where a run is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Processors: 1 to 64. Default 1.
    pub processors: usize,
    /// Whether events are collected. Default no: then no text is ever made.
    pub trace: bool,
    /// Preemption points in the whole simulation, over all runs. Default 1,000,000.
    pub step_limit: u64,
    /// What the virtual clock advances at a preemption point, in 100-ns units. Default 1.
    pub step_time: u64,
    /// What is between two interrupts of the clock, in 100-ns units: 1,000 to 10,000,000, which is
    /// 0.1 ms to 1 s. Timers and time-outs expire at them only, and a DPC that was left for later
    /// runs one later at the latest. Where in it the first one is, the schedule chooses. Default
    /// 156,250, which is 64 a second; NT may be asked for 5,000 (`ExSetTimerResolution`).
    pub tick: u64,
    /// The virtual time, in 100-ns units, that a processor may stay in DPCs without a break (bug check 0x133). 0: no limit.
    /// Default 1,000,000,000, which is 100 s.
    pub dpc_watchdog: u64,
    /// The virtual time, in 100-ns units, after which a processor that stays at DISPATCH_LEVEL is
    /// advised to let it go (`KeShouldYieldProcessor`). Default 1,000, which is 100 µs: what DPC
    /// routines are to keep to.
    pub yield_after: u64,
    /// Most worker threads of each queue of work items: more items than that wait for a routine to return. Default 2.
    pub workers: usize,
    /// Whether spin locks that were ever acquired in opposite orders are bug check 0xC4/0x1001, though nobody waits. One that is only tried
    /// (`KeTryToAcquireSpinLockAtDpcLevel`) may be in any order. Default no.
    pub lock_order: bool,
    /// Whether a call that its page forbids ends the run although neither NT nor Driver Verifier
    /// notices it: bug check 0xC4 with a first parameter of ntsim's own, as [the first page's
    /// table](crate#rules-that-nt-does-not-check) has them. Default yes.
    pub documented_rules: bool,
    /// Which allocations fail. Default none.
    pub low_resources: LowResources,
    /// Whether each block of pool has pages of its own, and ends where they end, so that a plain access behind it, or to it after its
    /// free, is a bug check at once (0xCD, 0xCC), and so is one to paged pool at DISPATCH_LEVEL (0xD1): Driver Verifier's special pool
    /// and forced IRQL checking. There is room for about 500 blocks that live, in a pool of 4 MiB.
    /// On x86-64 Linux hosts; under AddressSanitizer, which sees such accesses itself, it changes
    /// nothing. Default no.
    pub special_pool: bool,
    /// Bytes of pool: 64 KiB to 4 GiB, a multiple of a page's 4,096. Each block takes 32 more than
    /// its size in multiples of 16, or, with [`Config::special_pool`], a page more. Freed blocks
    /// are used again only where a new one does not fit behind all others, those that were freed
    /// first at first; neighbours become one then. 100,000 blocks of 42 bytes fit into 8 MiB.
    /// Default 4 MiB.
    pub pool_size: usize,
    /// How far, in 100-ns units, the virtual clock jumps for timers once all programs have ended. A run waits until everything that it began has
    /// come to an end, timers included; what sets a timer again and again never does, and such a driver is run with a limit. A
    /// later run goes on with the timers that are still set. Default [`u64::MAX`]: no limit.
    pub linger: u64,
    /// The bytes of a kernel stack that the driver may use: of a thread, summed over all its
    /// routines that wait for a kernel call to return, and of a DPC routine, which has another
    /// stack. The frames of the simulated kernel do not count. More than that is bug check 0x7F (8):
    /// at a kernel call or an atomic; at the next call-out, or at the return of a routine or
    /// program, where frames without a call have written to the 64 bytes beyond, unless a call came
    /// from so deep that the kernel's own frames may have (on Unix hosts); and where a frame reaches
    /// the guard below the host's stack, which has the bytes of a thread, of a DPC, and 128 KiB for
    /// the kernel. In a build that is not optimised (`opt-level = 0`) eight times as much is allowed.
    /// Under AddressSanitizer and with `cfg(fuzzing)`, which make frames larger, nothing limits
    /// stacks. 4 KiB to 16 MiB. Default 24 KiB, as on NT for x64.
    /// [`Counters::stack`](crate::Counters::stack) has the high-water mark.
    pub stack: usize,
    /// The processor time, not the time on a clock, that a processor may spend without a preemption
    /// point before the run ends with a failure of oracle `hang`, which says what each processor
    /// does. Where the OS thread of all processors waits instead for a lock of the host, in a
    /// driver that holds one across a kernel call, the run ends with one of oracle `host lock`.
    /// Neither is a schedule's finding: it depends on the host. On x86-64 Linux hosts, without
    /// AddressSanitizer, not in a free run, and not while a debugger is attached. Zero: never.
    /// Default 10 s.
    pub hang: Duration,
    /// Processors of a group, the last of which may have fewer: 1 to 64. Default 64: there is one group.
    pub group_size: usize,
}

/// Which allocations fail, of pool and of what the kernel itself makes of it: work items, IRPs, devices, threads. Those that
/// [`fail_allocation`](crate::fail_allocation) orders fail in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LowResources {
    /// None.
    #[default]
    Never,
    /// One in sixteen, as the schedule chooses: about as many as under Driver Verifier.
    Random,
    /// The first one of a call stack that none has failed of before, in this simulation and before its resets; then none until the
    /// next reset. [`starve`](crate::starve) does the resets.
    Systematic,
}

impl Config {
    /// What [`Default`] gives, for constants.
    pub const DEFAULT: Self = Self {
        processors: 1,
        trace: false,
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
