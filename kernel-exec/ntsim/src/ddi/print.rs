//! Messages to the debugger (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-dbgprint`, `nf-wdm-dbgprintex`).
//!
//! Rust cannot define functions with a variable number of arguments yet. So the exported symbol is
//! a few instructions that store the argument registers side by side and call a function that walks
//! over them. They support x86-64 with the System V convention only.

extern crate alloc;

use alloc::string::String;
use core::{arch::naked_asm, ffi::c_char};

use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::format::{Refusal, Source, message},
    trace::event::What,
    types::{DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL, PCSTR, STATUS_SUCCESS, ULONG},
    verifier::{Violation, bugcheck::driver_verifier::irql::wide_text_too_high, irql::Ddi, memory::Use},
};

unsafe extern "C" {
    /// Sends a message to the debugger. Here the message is an event of the trace, whatever filters
    /// a real machine may have.
    ///
    /// `Format` is printf's, in the kernel's dialect. It takes `%d %i %u %x %X %o` with the sizes
    /// `h hh l ll I32 I64 I`, where `l` is 32 bits; `%p`; `%c %s` and, of 16 bits, `%wc %lc %C %ws
    /// %ls %S`; `%Z` of an ANSI_STRING and `%wZ` of a UNICODE_STRING; flags, widths and precisions.
    /// At most 512 bytes are sent. Any IRQL, except for characters of 16 bits.
    ///
    /// Bug check 0xC4/0xE5 if characters of 16 bits are formatted above PASSIVE_LEVEL; 0xD1 if a
    /// string is in freed pool, or in paged pool above APC_LEVEL. Floating point, `%n`, and an
    /// unknown directive end the run as not supported (`nf-wdm-dbgprint`).
    ///
    /// ```
    /// use ntsim::{Config, Schedule, Simulation, ddi};
    ///
    /// let mut kernel = Simulation::new(Config { trace: true, ..Config::default() }, Schedule::round_robin());
    /// kernel.run_on(0, || {
    ///     // SAFETY: the arguments are what the format says.
    ///     unsafe { ddi::DbgPrint(c"%d of %s: %I64x\n".as_ptr(), 7, c"seven".as_ptr(), u64::MAX) };
    /// })?;
    /// assert!(kernel.trace().to_string().contains("7 of seven: ffffffffffffffff"));
    /// # Ok::<(), ntsim::Stop>(())
    /// ```
    ///
    /// # Safety
    /// The arguments are as many and of such types as the format says, and their pointers are valid
    /// for reads.
    #[link_name = "ntsim_DbgPrint"]
    pub fn DbgPrint(Format: PCSTR, ...) -> ULONG;

    /// Sends a message like [`DbgPrint`], with a component and a level (`nf-wdm-dbgprintex`).
    ///
    /// # Safety
    /// The same as for [`DbgPrint`].
    #[link_name = "ntsim_DbgPrintEx"]
    pub fn DbgPrintEx(ComponentId: ULONG, Level: ULONG, Format: PCSTR, ...) -> ULONG;
}

/// Defines entry points that pass on the arguments of a call, both those in registers and those on
/// the stack.
///
/// An entry point reserves 56 bytes, and stores the registers in the lower 48. Above the 56 bytes
/// come the return address and then the arguments that the caller has pushed. With the return
/// address it is 64 bytes, so that the stack is aligned for the call.
macro_rules! with_arguments {
    ($($symbol:literal $entry:ident $print:ident)*) => {$(
        #[unsafe(naked)]
        #[unsafe(export_name = $symbol)]
        unsafe extern "C" fn $entry() {
            naked_asm!(
                "sub rsp, 56",
                "mov [rsp], rdi",
                "mov [rsp + 8], rsi",
                "mov [rsp + 16], rdx",
                "mov [rsp + 24], rcx",
                "mov [rsp + 32], r8",
                "mov [rsp + 40], r9",
                "mov rdi, rsp",
                "lea rsi, [rsp + 64]",
                "call {print}",
                "add rsp, 56",
                "ret",
                print = sym $print,
            )
        }
    )*};
}

with_arguments! {
    "ntsim_DbgPrint" dbg_print_entry dbg_print
    "ntsim_DbgPrintEx" dbg_print_ex_entry dbg_print_ex
}

/// Implements [`DbgPrint`] for its entry point.
///
/// # Safety
/// The same as for [`DbgPrint`]; the arguments are where the entry point has put them.
unsafe extern "C" fn dbg_print(registers: *const [u64; REGISTERS], stack: *const u64) -> ULONG {
    let mut arguments = Arguments { registers, stack, taken: 0 };
    let format = arguments.next();
    print(Ddi::DbgPrint, DPFLTR_DEFAULT_ID, DPFLTR_INFO_LEVEL, format, arguments)
}

/// Implements [`DbgPrintEx`] for its entry point.
///
/// # Safety
/// The same as for [`DbgPrintEx`]; the arguments are where the entry point has put them.
unsafe extern "C" fn dbg_print_ex(registers: *const [u64; REGISTERS], stack: *const u64) -> ULONG {
    let mut arguments = Arguments { registers, stack, taken: 0 };
    let (component, level) = (arguments.next() as u32, arguments.next() as u32);
    let format = arguments.next();
    print(Ddi::DbgPrintEx, component, level, format, arguments)
}

/// The number of registers that hold arguments.
const REGISTERS: usize = 6;

struct Arguments {
    registers: *const [u64; REGISTERS],
    stack: *const u64,
    taken: usize,
}

impl Arguments {
    fn next(&mut self) -> u64 {
        let number = self.taken;
        self.taken += 1;
        let place = match number.checked_sub(REGISTERS) {
            None => self.registers.cast::<u64>().wrapping_add(number),
            Some(pushed) => self.stack.wrapping_add(pushed),
        };
        // SAFETY: the caller of the DDI promises as many arguments as the format says.
        unsafe { place.read() }
    }
}

/// The arguments of a call within a run.
struct MessageArguments<'a> {
    machine: &'a Machine,
    arguments: Arguments,
}

impl Source for MessageArguments<'_> {
    type Error = alloc::boxed::Box<Violation>;

    fn argument(&mut self) -> u64 {
        self.arguments.next()
    }

    fn byte(&mut self, address: u64) -> Result<u8, Self::Error> {
        self.machine.check_memory(address as usize, Use::Text)?;
        let byte: *const c_char = core::ptr::with_exposed_provenance(address as usize);
        // SAFETY: `check_memory` has refused freed pool; for other memory the caller of the DDI
        // promises that the string is readable.
        Ok(unsafe { byte.read() }.cast_unsigned())
    }
}

fn print(ddi: Ddi, component: u32, level: u32, format: u64, arguments: Arguments) -> ULONG {
    let machine = &*enter(ddi);
    let irql = machine.irql();
    let text = match message(format, irql == 0, MessageArguments { machine, arguments }) {
        Ok(text) => text,
        Err(Refusal::Memory(violation)) => machine.bug_check(violation),
        Err(Refusal::Directive(directive, why)) => {
            machine.fail("not supported", alloc::format!("{} with {directive:?}: {why}", ddi.name()))
        }
        Err(Refusal::Wide(directive)) => machine.bug_check(wide_text_too_high(ddi.name(), irql, directive)),
    };
    if machine.tracing.get() {
        let text = String::from_utf8_lossy(&text).into_owned();
        machine.record(What::Print { component, level, text });
    }
    STATUS_SUCCESS.cast_unsigned()
}
