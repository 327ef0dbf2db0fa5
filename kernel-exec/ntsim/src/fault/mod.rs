//! Faults of the host while the driver's code runs, and the bug checks that NT makes of them.
//!
//! Access to memory that is not there, division by zero, and an instruction that does not exist are
//! signals of the host. The handler (`signal`) makes the thread continue in
//! [`Machine::host_fault`], on a stack of its own. That function ends the run with NT's bug check
//! and never returns `[P1]`. Two faults end the process as usual. One is a fault of ntsim's own
//! code outside of a kernel call. The other is a fault in the host's C library, which may hold a
//! lock of the allocator.
//!
//! - `cause` and `state` have the data of the other files.
//! - `signal` has the handlers, and makes a thread leave its coroutine.
//! - `panics` ends runs with the panics of the driver and of programs, and `checks` with what the
//!   checks of a build with debug assertions find.
//! - `instruction` decodes the instruction that faulted, where the processor does not say.
//! - `stack` has the sizes of stacks, and `overrun` bug check 0x7F.
//! - `frames` makes backtraces.
//! - `hang` and `watch` end runs that do not reach a preemption point any more.

pub(crate) mod cause;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod checks;
pub(crate) mod frames;
pub(crate) mod hang;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod instruction;
pub(crate) mod overrun;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod panics;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod signal;
pub(crate) mod stack;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod state;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "no_state.rs"]
pub(crate) mod state;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod watch;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use signal as host;
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[path = "unhandled.rs"]
pub(crate) mod host;

extern crate alloc;

use alloc::{boxed::Box, string::String, vec::Vec};

use self::cause::{Access, Cause, Fault, SYSTEM_START, USER_END};
use crate::{
    engine::{halt::unbox, machine::Machine},
    kernel::thread::{IDLE, SYSTEM},
    other_pools::owner,
    verifier::{
        Violation,
        bugcheck::{
            BugCheck, access,
            exception::{self, Raised},
            security_check,
        },
        stop::Stop,
    },
};

const DISPATCH: u8 = 2;
const ACCESS_VIOLATION: u32 = 0xC000_0005;
/// An address below this one is an offset from a null pointer.
const NULL_END: u64 = 0x1_0000;

impl Machine {
    /// Ends the run with the bug check that NT makes of a fault.
    #[cold]
    pub(crate) fn host_fault(&self, fault: Fault) -> ! {
        let Fault { cause, code, backtrace } = fault;
        let violation = match cause {
            Cause::Memory { address, access, present } => self.bad_access(address, access, present, code),
            Cause::Exception { code: exception, what } => {
                self.exception(exception, [0, 0], code, alloc::format!("{}{what}", self.callee()))
            }
            Cause::FastFail(code) => security_check::fast_fail(code),
            Cause::Instruction(instruction) => self.halt(Stop::Failure {
                oracle: "not supported",
                message: alloc::format!(
                    "the driver has executed `{instruction}`, which a host does not let programs do"
                ),
                backtrace,
            }),
        };
        self.bug_check_with(violation, backtrace)
    }

    /// Ends the run with a bug check that has a backtrace.
    pub(crate) fn bug_check_with(&self, violation: Box<Violation>, backtrace: Vec<String>) -> ! {
        let Violation { code, parameters, rule } = unbox(violation);
        let (processor, irql) = (self.current.get(), self.irql());
        self.halt(Stop::BugCheck(BugCheck { code, parameters, processor, irql, rule, backtrace }))
    }

    /// The running kernel call, as the beginning of a rule's text.
    fn callee(&self) -> String {
        self.now.get().call.map_or_else(String::new, |ddi| alloc::format!("{}: ", ddi.name()))
    }

    /// The violation for an access to memory that does not exist or does not allow it.
    pub(crate) fn bad_access(
        &self,
        address: u64,
        access: Access,
        present: bool,
        code: u64,
    ) -> Box<Violation> {
        let (irql, call) = (self.irql(), self.now.get().call);
        let (caller, words) = (self.callee(), access.words());
        let owner = owner(address as usize).filter(|_| self.arena.offset(address as usize).is_none());
        let what = match address {
            0 => alloc::format!("a null pointer was {words}"),
            1..NULL_END => alloc::format!("{address:#x} was {words}, an offset from a null pointer"),
            USER_END..SYSTEM_START => {
                alloc::format!("{address:#x} was {words}, which is not a canonical address")
            }
            _ if owner.is_some() => {
                alloc::format!("{} was {words}", owner.map_or("", |owner| owner.describe()))
            }
            _ if present => alloc::format!("memory was {words} that is not for it"),
            _ => alloc::format!("memory was {words} that is not there"),
        };
        let what = alloc::format!("{caller}{what}");
        match access {
            Access::Write if present => return access::write_to_read_only(address, what),
            Access::Execute if present => return access::execution_of_data(address, what),
            _ => {}
        }
        if irql >= DISPATCH {
            let parameters = [address, access.number(), code];
            return access::fault_at_dispatch(parameters, irql, call.is_some(), what);
        }
        if address >= SYSTEM_START {
            let access = match access {
                Access::Read | Access::Unknown => 0,
                Access::Write => 2,
                Access::Execute => 0x10,
            };
            return access::fault_in_system_range(address, access, code, what);
        }
        self.exception(ACCESS_VIOLATION, [access.number(), address], code, what)
    }

    /// The violation for an exception without a handler.
    fn exception(&self, exception: u32, parameters: [u64; 2], code: u64, what: String) -> Box<Violation> {
        let (running, thread, in_dpc) = (self.now.get(), self.thread(), self.cpu().in_dpc.get());
        let raised = if !in_dpc && (thread >= SYSTEM || running.system) {
            Raised::InSystemThread
        } else if !in_dpc && thread < IDLE && running.dispatch {
            Raised::InSystemService
        } else {
            Raised::Elsewhere
        };
        exception::not_handled(raised, exception, code, parameters, what)
    }
}
