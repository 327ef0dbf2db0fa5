//! Checks at intervals whether a run makes progress.
//!
//! A timer of the host interrupts the simulation's OS thread four times in
//! [`Config::hang`](crate::Config::hang). The handler compares the machine's counters with their
//! values at the last look. It judges by the thread's *processor time*, so a thread that the host
//! does not run is not late. It recognises a thread that waits in the host by the place of the
//! interruption. That is the system call itself, which is to be made again, several times in a row
//! with the same stack pointer.

use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr::null_mut,
    time::Duration,
};
use std::sync::OnceLock;

use super::{
    cause::HangKind,
    signal::{install, interrupted, is_c_library, register},
    state::{HangWatch, Progress, Reason, RegisterCopies},
};
use crate::{
    asan,
    engine::machine::{Machine, active},
};

/// The signal that the timer sends.
const SIGNAL: c_int = libc::SIGVTALRM;
/// How many looks there are in the time of a hang.
const LOOKS: u32 = 4;
/// How many looks in a row must find a thread waiting before it is stopped.
const WAITS: u32 = LOOKS + 1;
/// The period of the looks once the time is over, while the thread is where it must not be stopped.
const AGAIN: Duration = Duration::from_millis(1);
/// How many such looks pass before the thread is stopped inside the C library, too.
const PATIENCE: u32 = 1_000;

/// The instruction of a system call.
const SYSTEM_CALL: [u8; 2] = [0x0F, 0x05];

static INSTALLED: OnceLock<()> = OnceLock::new();

impl HangWatch {
    /// Starts looking, on the calling thread. A limit of zero stops it.
    pub(crate) fn set(&self, limit: Duration) {
        if asan::ENABLED || (self.limit.get() == limit && self.timer.get().is_some()) {
            return;
        }
        self.limit.set(limit);
        if limit.is_zero() {
            return self.arm(Duration::ZERO);
        }
        INSTALLED.get_or_init(|| _ = install(SIGNAL, tick));
        if self.timer.get().is_none() {
            self.timer.set(create());
        }
        self.arm(limit / LOOKS);
    }

    /// Sets the period of the looks.
    fn arm(&self, period: Duration) {
        let Some(timer) = self.timer.get() else { return };
        let period = libc::timespec {
            tv_sec: i64::try_from(period.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: period.subsec_nanos().into(),
        };
        let period = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: the timer is this simulation's, and the value is valid.
        unsafe { libc::timer_settime(timer, 0, &raw const period, null_mut()) };
    }

    /// The kind of hang, if this look detects one. Called in a handler.
    fn find_hang(&self, machine: &Machine, registers: &RegisterCopies) -> Option<HangKind> {
        let (progress, now) = (machine.progress(), processor_time());
        if self.progress.replace(progress) != progress {
            self.since.set(now);
            self.waits.set((0, 0));
            if self.late.replace(0) != 0 {
                self.arm(self.limit.get() / LOOKS);
            }
            return None;
        }
        if is_waiting(registers) {
            let stack = register(registers, libc::REG_RSP);
            let (before, count) = self.waits.get();
            let count = if before == stack { count + 1 } else { 1 };
            self.waits.set((stack, count));
            return (count >= WAITS && machine.can_leave() && machine.is_interrupted())
                .then_some(HangKind::Waits);
        }
        self.waits.set((0, 0));
        if now.saturating_sub(self.since.get()) < self.limit.get() {
            return None;
        }
        let code = register(registers, libc::REG_RIP) as u64;
        let late = self.late.get();
        let may_hold_a_lock = is_c_library(code) && late < PATIENCE;
        if machine.can_leave() && machine.now.get().call.is_none() && !may_hold_a_lock {
            return Some(HangKind::Spins);
        }
        self.late.set(late + 1);
        if late == 0 {
            self.arm(AGAIN);
        }
        None
    }
}

impl Machine {
    /// The machine's progress. Called in a handler, so the counters may be in the middle of a
    /// change.
    fn progress(&self) -> Progress {
        Progress { epoch: self.epoch.get(), steps: self.clock.progress(), jumps: self.clock.jumps() }
    }

    /// Whether other code of the driver is in the middle of something. It may then hold the lock
    /// that the thread waits for.
    fn is_interrupted(&self) -> bool {
        let others = self.runnable.get() & !(1 << self.current.get());
        let spin = (0..self.count())
            .any(|number| number != self.current.get() && self.programs.get() >> number & 1 == 1);
        let ready = self.processors.iter().take(self.count()).any(|cpu| cpu.ready.get() != 0);
        let waiting = self.kernel.try_borrow().is_ok_and(|kernel| !kernel.waits.all().is_empty());
        others != 0 || spin || ready || waiting || self.cpu().in_dpc.get() || self.now.get().nested
    }
}

/// A timer that sends its signal to the calling thread. `None` if the host has no more timers.
fn create() -> Option<libc::timer_t> {
    // SAFETY: all bytes zero are a valid value.
    let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = SIGNAL;
    // SAFETY: `gettid` has no preconditions.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer = MaybeUninit::zeroed();
    // SAFETY: both pointers are valid.
    let failed = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr()) };
    // SAFETY: `timer_create` has written the value.
    (failed == 0).then(|| unsafe { timer.assume_init() })
}

/// The processor time that the calling thread has spent.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for a write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Whether the signal interrupted a wait for a lock of the host, which continues when the handler
/// returns.
fn is_waiting(registers: &RegisterCopies) -> bool {
    let call = register(registers, libc::REG_RAX);
    if call != libc::SYS_futex && call != libc::SYS_restart_syscall {
        return false;
    }
    let code: *const [u8; 2] =
        core::ptr::with_exposed_provenance(register(registers, libc::REG_RIP) as usize);
    // SAFETY: the code is the interrupted one. No instruction that sets RAX to such a number ends
    // one byte before the end of its page.
    unsafe { code.read_unaligned() == SYSTEM_CALL }
}

/// Whether a debugger is attached, which may hold a run up for any time. Called in a handler.
fn is_debugged() -> bool {
    const FIELD: &[u8] = b"TracerPid:\t";
    let mut text = [0_u8; 2048];
    // SAFETY: the argument is a path that ends with a null byte.
    let file = unsafe { libc::open(c"/proc/self/status".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return false;
    }
    // SAFETY: `text` is valid for a write of its length.
    let read = unsafe { libc::read(file, text.as_mut_ptr().cast(), text.len()) };
    // SAFETY: the file was opened by this function.
    unsafe { libc::close(file) };
    let text = text.get(..usize::try_from(read).unwrap_or(0)).unwrap_or_default();
    let field = text.windows(FIELD.len()).position(|window| window == FIELD);
    field.and_then(|at| text.get(at + FIELD.len())).is_some_and(|digit| *digit != b'0')
}

unsafe extern "C" fn tick(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the call is always valid for the calling thread.
    let error = unsafe { libc::__errno_location() };
    // SAFETY: `errno` of the calling thread is always valid.
    let before = unsafe { error.read() };
    // SAFETY: `context` is the host's, for this call.
    let registers = unsafe { interrupted(context) };
    if let Some(machine) = active().filter(|machine| machine.is_on_coroutine(registers))
        && let Some(kind) = machine.watch.find_hang(machine, registers)
        && !is_debugged()
    {
        machine.leave(registers, Reason::Hang(kind));
    }
    // SAFETY: `errno` of the calling thread is always valid.
    unsafe { error.write(before) };
}
