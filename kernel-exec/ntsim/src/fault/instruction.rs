//! Decodes an instruction that faulted, where the processor reports only that it is not allowed.

extern crate alloc;

use iced_x86::{
    Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register, UsedMemory,
};

use super::cause::{Access, Cause, SYSTEM_START, USER_END};

/// The most bytes of an instruction.
const LONGEST: usize = 15;
const FAST_FAIL: u8 = 0x29;

/// The registers at a fault.
pub(super) trait Registers {
    /// The value of a 64-bit register.
    fn value_of(&self, register: Register) -> Option<u64>;
}

/// The instruction at this address, which has begun to execute.
fn decode(code: u64) -> Instruction {
    let start: *const u8 = core::ptr::with_exposed_provenance(code as usize);
    let page = crate::kernel::pool::PAGE;
    let in_page = page - code as usize % page;
    let read = |length: usize| {
        // SAFETY: the processor has fetched the instruction's bytes. The slice extends beyond their
        // page only if the instruction does not end in it.
        let bytes = unsafe { core::slice::from_raw_parts(start, length) };
        Decoder::with_ip(64, bytes, code, DecoderOptions::NONE).decode()
    };
    let instruction = read(LONGEST.min(in_page));
    if instruction.is_invalid() && in_page < LONGEST { read(LONGEST) } else { instruction }
}

/// The cause of a general protection or stack fault.
pub(super) fn protection_fault(code: u64, registers: &impl Registers) -> Cause {
    let instruction = decode(code);
    if instruction.mnemonic() == Mnemonic::Int && instruction.immediate8() == FAST_FAIL {
        return Cause::FastFail(registers.value_of(Register::RCX).unwrap_or(0) & 0xFFFF_FFFF);
    }
    if instruction.is_privileged() {
        return Cause::Instruction(alloc::format!("{:?}", instruction.mnemonic()).to_lowercase());
    }
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(&instruction).used_memory();
    let accesses = used.iter().filter_map(|memory| Some((address(memory, registers)?, memory.access())));
    for (address, access) in accesses {
        if (USER_END..SYSTEM_START).contains(&address) {
            return Cause::Memory { address, access: kind(access), present: false };
        }
    }
    // A jump to a non-canonical address.
    let target = registers.value_of(instruction.op0_register().full_register());
    if let Some(address) = target.filter(|target| (USER_END..SYSTEM_START).contains(target))
        && instruction.is_jmp_near_indirect() | instruction.is_call_near_indirect()
    {
        return Cause::Memory { address, access: Access::Execute, present: false };
    }
    let what = if used.is_empty() {
        "an instruction was executed that is not allowed"
    } else {
        "memory was accessed at an address that is not a multiple of what the instruction asks for"
    };
    Cause::Exception { code: super::ACCESS_VIOLATION, what }
}

/// The cause of a division's exception.
pub(super) fn divide_error(code: u64, registers: &impl Registers) -> Cause {
    let instruction = decode(code);
    let mut factory = InstructionInfoFactory::new();
    let memory = factory.info(&instruction).used_memory().first().copied();
    let divisor = match memory {
        Some(memory) => address(&memory, registers).map(|address| read(address, memory.memory_size().size())),
        None => {
            let register = instruction.op0_register();
            registers.value_of(register.full_register()).map(|value| low(value, register.size()))
        }
    };
    match divisor {
        Some(1..) => Cause::Exception { code: 0xC000_0095, what: "the quotient of a division was too large" },
        _ => Cause::Exception { code: 0xC000_0094, what: "an integer was divided by zero" },
    }
}

/// The lowest bytes of a value.
fn low(value: u64, bytes: usize) -> u64 {
    if bytes >= 8 { value } else { value & ((1 << (8 * bytes)) - 1) }
}

/// Reads a number of `bytes` bytes that the interrupted instruction has read.
fn read(address: u64, bytes: usize) -> u64 {
    let address: *const u8 = core::ptr::with_exposed_provenance(address as usize);
    let mut value = [0; 8];
    for (offset, byte) in value.iter_mut().enumerate().take(bytes) {
        // SAFETY: the instruction has read these bytes, so they are readable.
        *byte = unsafe { address.wrapping_add(offset).read_volatile() };
    }
    u64::from_le_bytes(value)
}

fn address(memory: &UsedMemory, registers: &impl Registers) -> Option<u64> {
    memory.virtual_address(0, |register, _, _| match register {
        Register::DS | Register::ES | Register::SS | Register::CS => Some(0),
        register => registers.value_of(register.full_register()),
    })
}

fn kind(access: OpAccess) -> Access {
    match access {
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
            Access::Write
        }
        _ => Access::Read,
    }
}
