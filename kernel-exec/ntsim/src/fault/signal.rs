//! The host's signals, and the way a thread leaves its coroutine at any instruction.
//!
//! A handler must not allocate and must not wait. So it only copies the registers to a stack that
//! is set aside, and changes the registers with which the thread continues. The thread then runs
//! `ntsim_fault_entry`. The unwind information of that function says where the copies are, so a
//! backtrace from [`landing`] continues in the frames of the code that faulted.

extern crate alloc;

use alloc::vec::Vec;
use core::{
    arch::global_asm,
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ops::Range,
};
use std::sync::OnceLock;

use iced_x86::Register;

use super::{
    cause::{Access, Cause, Fault, USER_END},
    frames::lines_of,
    instruction::{self, Registers},
    panics,
    state::{Reason, Record, RegisterCopies},
};
use crate::{
    asan,
    engine::machine::{Machine, active},
    fault::{hang, overrun},
    other_pools::{Owner, owner},
    protection::Page,
    subsystem::pool,
};

/// The signals of faults, and the one of `abort`.
const SIGNALS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT];
/// The size in bytes of a handler's stack, for a thread without one.
const HANDLER_STACK: usize = 64 << 10;

/// Exceptions of the processor.
const DIVIDE: i64 = 0;
const BREAKPOINT: i64 = 3;
const INVALID: i64 = 6;
const STACK: i64 = 12;
const PROTECTION: i64 = 13;
const PAGE_FAULT: i64 = 14;
const ALIGNMENT: i64 = 17;

/// Bits of a page fault's code.
const PRESENT: i64 = 1;
const WRITE: i64 = 2;
const FETCH: i64 = 16;

/// The message about a fault outside of every run, at an address of a pool that is closed.
const KEPT: &str = "\nntsim: the pool of a simulated kernel that has ended is used outside of its simulation: an interface, \
                    waker or handle was kept too long; drop it in a program of the simulation that made it\n";

/// The actions for the signals before ntsim installed its own.
static BEFORE: OnceLock<[libc::sigaction; SIGNALS.len()]> = OnceLock::new();
/// The code of the host's C library. Empty where the library is linked into the program.
static C_LIBRARY: OnceLock<Range<usize>> = OnceLock::new();

global_asm!(
    ".globl ntsim_fault_entry",
    ".hidden ntsim_fault_entry",
    ".type ntsim_fault_entry,@function",
    "ntsim_fault_entry:",
    ".cfi_startproc",
    // A signal frame, because the code that faulted has not called this function.
    ".cfi_signal_frame",
    // RSP points to the record. The frame's address is the RSP in the record, `*(rsp + 120)`.
    ".cfi_escape 0x0f, 4, 0x77, 0xf8, 0x00, 0x06",
    // For every register, its number, the length, and `rsp + offset`. R11 is among them because a
    // function that makes room for a large frame counts with it.
    ".cfi_escape 0x10, 8, 2, 0x77, 0x00",
    ".cfi_escape 0x10, 9, 2, 0x77, 0x08",
    ".cfi_escape 0x10, 10, 2, 0x77, 0x10",
    ".cfi_escape 0x10, 11, 2, 0x77, 0x18",
    ".cfi_escape 0x10, 12, 2, 0x77, 0x20",
    ".cfi_escape 0x10, 13, 2, 0x77, 0x28",
    ".cfi_escape 0x10, 14, 2, 0x77, 0x30",
    ".cfi_escape 0x10, 15, 2, 0x77, 0x38",
    ".cfi_escape 0x10, 5, 3, 0x77, 0xc0, 0x00",
    ".cfi_escape 0x10, 4, 3, 0x77, 0xc8, 0x00",
    ".cfi_escape 0x10, 6, 3, 0x77, 0xd0, 0x00",
    ".cfi_escape 0x10, 3, 3, 0x77, 0xd8, 0x00",
    ".cfi_escape 0x10, 1, 3, 0x77, 0xe0, 0x00",
    ".cfi_escape 0x10, 0, 3, 0x77, 0xe8, 0x00",
    ".cfi_escape 0x10, 2, 3, 0x77, 0xf0, 0x00",
    ".cfi_escape 0x10, 16, 3, 0x77, 0x80, 0x01",
    "call {landing}",
    "ud2",
    ".cfi_endproc",
    ".size ntsim_fault_entry, . - ntsim_fault_entry",
    landing = sym landing,
);

unsafe extern "C" {
    fn ntsim_fault_entry();
}

/// Installs the handlers, once for each process, and a stack for them, once for each thread.
pub(crate) fn prepare(_special_pool: bool) {
    panics::install();
    if asan::ENABLED {
        return;
    }
    C_LIBRARY.get_or_init(c_library);
    provide_handler_stack();
    BEFORE.get_or_init(|| SIGNALS.map(|signal| install(signal, handle as Handler)));
}

/// The function that the host calls for a signal.
pub(super) type Handler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// Installs a handler for a signal. Returns the action before.
pub(super) fn install(signal: c_int, handler: Handler) -> libc::sigaction {
    // SAFETY: all bytes zero are a valid value.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as *const () as usize;
    // The handler has a stack of its own, because the fault may be one of a stack.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: both pointers are valid, and the handler has the type that the flags say.
    let failed = unsafe { libc::sigaction(signal, &raw const action, before.as_mut_ptr()) };
    assert_eq!(failed, 0, "ntsim: the host does not let signal {signal} be handled");
    // SAFETY: `sigaction` has written the value, or it is zero, which is valid.
    unsafe { before.assume_init() }
}

/// Gives the calling thread a stack for handlers if it has none, as a thread that std has not
/// begun.
fn provide_handler_stack() {
    let mut now = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: valid for a write.
    unsafe { libc::sigaltstack(core::ptr::null(), now.as_mut_ptr()) };
    // SAFETY: `sigaltstack` has written the value, or it is zero, which is valid.
    let now = unsafe { now.assume_init() };
    if now.ss_flags & libc::SS_DISABLE == 0 {
        return;
    }
    let memory = alloc::vec![0_u8; HANDLER_STACK].leak();
    let stack = libc::stack_t { ss_sp: memory.as_mut_ptr().cast(), ss_flags: 0, ss_size: memory.len() };
    // SAFETY: the memory is leaked, so it is never freed, and nothing else uses it.
    unsafe { libc::sigaltstack(&raw const stack, core::ptr::null_mut()) };
}

/// The mapping that holds `malloc`.
fn c_library() -> Range<usize> {
    let (library, own) = (libc::malloc as *const () as usize, handle as *const () as usize);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let ranges = maps.lines().filter_map(|line| {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        Some(number(start)?..number(end)?)
    });
    let mut ranges = ranges.filter(|range| range.contains(&library) && !range.contains(&own));
    ranges.next().unwrap_or_default()
}

/// Whether an instruction is in the C library.
pub(super) fn is_c_library(code: u64) -> bool {
    C_LIBRARY.get().is_some_and(|library| library.contains(&(code as usize)))
}

/// The registers of the code that a handler has interrupted.
///
/// # Safety
/// `context` is the handler's argument, and the result is used only during the handler's call.
pub(super) unsafe fn interrupted<'a>(context: *mut c_void) -> &'a mut RegisterCopies {
    let context: *mut libc::ucontext_t = context.cast();
    // SAFETY: the host's context is valid for this call, and only the handler uses it.
    unsafe { &mut (*context).uc_mcontext.gregs }
}

unsafe extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: `context` is the host's, for this call.
    let registers = unsafe { interrupted(context) };
    if signal == libc::SIGABRT {
        return handle_abort(signal, info, context, registers);
    }
    // SAFETY: the host's signal information, valid for this call.
    let sent = unsafe { (*info).si_code } <= 0;
    let machine = active().filter(|machine| !sent && machine.is_on_coroutine(registers));
    let address = register(registers, libc::REG_CR2) as usize;
    let is_kept = register(registers, libc::REG_TRAPNO) == PAGE_FAULT && owner(address) == Some(Owner::Ended);
    if !machine.is_some_and(|machine| machine.handle_fault(signal, registers)) {
        if is_kept && !sent {
            say(KEPT);
        }
        pass_on(signal, info, context);
    }
}

/// A thread has called `abort`, or begins to unwind. After a panic in a run it leaves its coroutine
/// instead.
fn handle_abort(
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
    registers: &mut RegisterCopies,
) {
    let is_panic =
        |machine: &&Machine| machine.exit_stack.panic.is_some() && machine.is_on_coroutine(registers);
    match active().filter(is_panic) {
        Some(machine) => machine.leave(registers, Reason::Panic),
        None => pass_on(signal, info, context),
    }
}

impl Machine {
    /// Whether the signal interrupted a coroutine of this machine.
    pub(super) fn is_on_coroutine(&self, registers: &RegisterCopies) -> bool {
        // A frame may be larger than a guard. Then the stack pointer is below the guard, and the
        // fault is in it.
        self.is_on_stack(register(registers, libc::REG_RSP) as usize)
    }

    /// Whether an address is in the stack of the coroutine that runs.
    pub(super) fn is_on_stack(&self, address: usize) -> bool {
        self.control.inside.get() && !self.is_free() && self.bounds.get().holds(address)
    }

    /// Whether the run can end at this instruction, because the driver's code runs and no part of
    /// the machine is borrowed.
    pub(super) fn can_leave(&self) -> bool {
        self.now.get().driver
            && self.kernel.try_borrow_mut().is_ok()
            && self.recorder.try_borrow_mut().is_ok()
            && self.scheduling.decisions.try_borrow_mut().is_ok()
            && self.scheduling.schedule.try_borrow_mut().is_ok()
            && self.stop.try_borrow_mut().is_ok()
    }

    /// Handles a fault. `false` if the fault is not one of the driver.
    fn handle_fault(&self, signal: c_int, registers: &mut RegisterCopies) -> bool {
        let page_fault = register(registers, libc::REG_TRAPNO) == PAGE_FAULT;
        let address = register(registers, libc::REG_CR2) as usize;
        let write = register(registers, libc::REG_ERR) & WRITE != 0;
        if page_fault && let Some(offset) = self.arena.offset(address) {
            match self.arena.pages.of(offset) {
                Page::PagedOut if self.irql() < 2 => {
                    self.arena.page_in(offset);
                    return true;
                }
                Page::Open | Page::PagedIn => {}
                Page::Guard | Page::Freed | Page::PagedOut => {
                    self.leave(registers, Reason::Page { address, write });
                    return true;
                }
            }
        }
        if !self.can_leave() {
            return false;
        }
        let guard = page_fault && self.bounds.get().is_guard(address);
        self.leave(registers, if guard { Reason::Guard } else { Reason::Fault(signal) });
        true
    }

    /// Makes the interrupted code continue in [`landing`].
    pub(super) fn leave(&self, registers: &mut RegisterCopies, reason: Reason) {
        let mut copies = *registers;
        let code = register(registers, libc::REG_RIP);
        let stack = register(registers, libc::REG_RSP);
        let fetched = register(registers, libc::REG_TRAPNO) == PAGE_FAULT
            && register(registers, libc::REG_ERR) & FETCH != 0;
        if fetched && matches!(reason, Reason::Fault(_)) && self.bounds.get().is_open(stack as usize) {
            // The called address has no frame. The caller's frame begins at its return address.
            let top: *const i64 = core::ptr::with_exposed_provenance(stack as usize);
            // SAFETY: `stack` is in the open part of the coroutine's stack, where a call has just
            // put the return address.
            set(&mut copies, libc::REG_RIP, unsafe { top.read_unaligned() });
            set(&mut copies, libc::REG_RSP, stack + 8);
        }
        let record = self.exit_stack.record();
        // SAFETY: the record is in the stack that is set aside, which nothing else uses.
        unsafe { record.write(Record { registers: copies, code: code as u64, reason }) };
        set(registers, libc::REG_RSP, record.addr() as i64);
        set(registers, libc::REG_RDI, record.addr() as i64);
        set(registers, libc::REG_RIP, ntsim_fault_entry as *const () as i64);
    }

    /// The driver's functions at a fault, innermost first.
    fn backtrace_at(&self, record: &Record) -> Vec<alloc::string::String> {
        let mut lines = Vec::new();
        let mut first = true;
        self.walk_from(register(&record.registers, libc::REG_RSP) as usize, |frame| {
            // At the fault, the address of the instruction itself, not of the instruction after a
            // call.
            let exact = core::mem::take(&mut first) && frame.ip().addr() as u64 == record.code;
            lines_of(frame.ip().addr() + usize::from(exact), &mut lines);
            lines.len() < super::frames::MAX_FRAMES
        });
        lines
    }

    /// Whether the fault interrupted a function of the C library that another one of the library
    /// called. It may hold a lock that this thread would wait for.
    fn is_inside_c_library(&self, record: &Record) -> bool {
        let mut frames = 0_u32;
        let mut inside = 0;
        self.walk_from(register(&record.registers, libc::REG_RSP) as usize, |frame| {
            frames += 1;
            inside += u32::from(is_c_library(frame.ip().addr() as u64));
            frames < 2
        });
        inside == 2
    }
}

pub(super) fn register(registers: &RegisterCopies, number: c_int) -> i64 {
    registers.get(number as usize).copied().unwrap_or(0)
}

fn set(registers: &mut RegisterCopies, number: c_int, value: i64) {
    if let Some(register) = registers.get_mut(number as usize) {
        *register = value;
    }
}

impl Registers for RegisterCopies {
    fn value_of(&self, wanted: Register) -> Option<u64> {
        let number = match wanted {
            Register::RAX => libc::REG_RAX,
            Register::RBX => libc::REG_RBX,
            Register::RCX => libc::REG_RCX,
            Register::RDX => libc::REG_RDX,
            Register::RSI => libc::REG_RSI,
            Register::RDI => libc::REG_RDI,
            Register::RBP => libc::REG_RBP,
            Register::RSP => libc::REG_RSP,
            Register::R8 => libc::REG_R8,
            Register::R9 => libc::REG_R9,
            Register::R10 => libc::REG_R10,
            Register::R11 => libc::REG_R11,
            Register::R12 => libc::REG_R12,
            Register::R13 => libc::REG_R13,
            Register::R14 => libc::REG_R14,
            Register::R15 => libc::REG_R15,
            Register::RIP => libc::REG_RIP,
            _ => return None,
        };
        Some(register(self, number) as u64)
    }
}

/// The cause of a signal.
fn cause(signal: c_int, record: &Record) -> Cause {
    let registers = &record.registers;
    let exception = |code, what| Cause::Exception { code, what };
    match register(registers, libc::REG_TRAPNO) {
        PAGE_FAULT if signal == libc::SIGBUS => {
            exception(0xC000_0006, "a file that is memory has no such page")
        }
        PAGE_FAULT => {
            let bits = register(registers, libc::REG_ERR);
            let access = match bits {
                _ if bits & FETCH != 0 => Access::Execute,
                _ if bits & WRITE != 0 => Access::Write,
                _ => Access::Read,
            };
            let address = register(registers, libc::REG_CR2) as u64;
            // The host reports memory as present at all of its own addresses.
            let present = bits & PRESENT != 0 && address < USER_END;
            Cause::Memory { address, access, present }
        }
        PROTECTION | STACK => instruction::protection_fault(record.code, registers),
        DIVIDE => instruction::divide_error(record.code, registers),
        BREAKPOINT => exception(0x8000_0003, "a breakpoint was reached"),
        INVALID => exception(0xC000_001D, "an instruction was executed that does not exist"),
        ALIGNMENT => exception(0x8000_0002, "memory was accessed at an address that is not aligned"),
        _ => exception(0xC000_0090, "a floating-point operation was not valid"),
    }
}

/// The function in which a thread continues after it has left its coroutine.
extern "C" fn landing(record: *const Record) -> ! {
    // SAFETY: the handler has written the record on the stack that is set aside, and nothing
    // changes it.
    let record = unsafe { &*record };
    // The handler has seen an active machine.
    let Some(machine) = active() else { std::process::abort() };
    if let Reason::Fault(signal) = record.reason
        && machine.is_inside_c_library(record)
    {
        end_process(signal);
    }
    if let Reason::Panic = record.reason {
        machine.panicked()
    }
    let backtrace = machine.backtrace_at(record);
    match record.reason {
        Reason::Fault(signal) => {
            machine.host_fault(Fault { cause: cause(signal, record), code: record.code, backtrace })
        }
        Reason::Page { address, write } => pool::page_fault(machine, address, write, backtrace),
        Reason::Guard => overrun::guard_touched(machine, backtrace),
        Reason::Hang(kind) => hang::end_run(machine, kind, &backtrace),
        Reason::Panic => machine.panicked(),
    }
}

/// Writes to the host's error stream, from a handler.
fn say(text: &str) {
    // SAFETY: `text` is valid for a read of its length.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
}

/// Ends the process by a signal, as if ntsim did not handle it.
fn end_process(signal: c_int) -> ! {
    std::eprintln!("ntsim: a fault inside the host's C library, which may have left a lock held");
    // SAFETY: the default action replaces ntsim's handler, which is not needed any more.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: the signal ends the process.
    unsafe { libc::raise(signal) };
    std::process::abort()
}

/// Passes a fault that is not the driver's to the handler before ntsim's.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let number = SIGNALS.iter().position(|known| *known == signal);
    let before = number.and_then(|number| BEFORE.get()?.get(number));
    let before = before.map_or(libc::SIG_DFL, |before| before.sa_sigaction);
    if before == libc::SIG_DFL || before == libc::SIG_IGN {
        // SAFETY: the default action was in place before ntsim's handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: the signal comes when the handler returns, and ends the process.
        unsafe { libc::raise(signal) };
        return;
    }
    let before: *const c_void = core::ptr::with_exposed_provenance(before);
    // SAFETY: this is std's handler or a tool's, installed with SA_SIGINFO.
    let before: Handler = unsafe { core::mem::transmute(before) };
    // SAFETY: the arguments are those of this handler.
    unsafe { before(signal, info, context) };
}
