//! Panics of the driver and of programs, which end the run.
//!
//! A driver that panics stops the machine. Here the panic ends the run, before any code unwinds:
//!
//! 1. std calls the panic hook. It keeps the message and the place in `PendingPanic`, and returns,
//!    because std holds a lock while the hook runs.
//! 2. std calls `_Unwind_RaiseException`, or `abort` for a panic that cannot unwind. ntsim's
//!    function of the first name stands before the unwinder's, and sends the signal of `abort`.
//! 3. The handler of that signal makes the thread leave its coroutine, as after a fault. POSIX
//!    allows a handler of that signal not to return.
//!
//! With AddressSanitizer there are no handlers, and step 2 ends the run itself. A panic outside of
//! the driver and of programs, and one in a free run, unwinds as usual.

extern crate alloc;

use alloc::{
    boxed::Box,
    string::{String, ToString},
    vec::Vec,
};
use core::{any::Any, ffi::c_int};
use std::{
    panic::{PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook},
    path::Path,
    sync::{Once, OnceLock},
};

use super::{
    checks::{cannot_unwind, is_check},
    frames::{MAX_FRAMES, lines_of},
    state::PanicReport,
};
use crate::{
    asan,
    engine::machine::{Machine, active},
    verifier::{backtrace::is_own, stop::Stop},
};

/// Puts ntsim's hook in front of the present one, once in a process. A hook that is set later
/// replaces it.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    if cfg!(not(panic = "unwind")) || std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            let machine = active();
            if !machine.is_some_and(|machine| machine.note_panic(panic)) {
                before(panic);
            }
            if let Some(machine) = machine {
                // The frames of a panic that the driver catches are not its own.
                machine.now.disturb();
            }
        }));
    });
}

/// The message of a panic.
fn message(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&'static str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value that is no text")
}

/// Takes the panic that runs the hook out of std's count, as that panic never ends. std counts
/// the end of a panic that a hook raises, but not its beginning. Returns whether this thread has no
/// other panic.
fn forget_panic() -> bool {
    let caught = catch_unwind(|| resume_unwind(Box::new(())));
    caught.is_err() && !std::thread::panicking()
}

impl Machine {
    /// Keeps a panic of the driver's code or of a program, so that the thread can leave its
    /// coroutine. Returns false for any other panic.
    fn note_panic(&self, panic: &PanicHookInfo<'_>) -> bool {
        // std makes this value in the frame of the function that calls the hook.
        let frame = core::ptr::from_ref(panic).addr();
        if !self.is_on_stack(frame) || !self.can_leave() || asan::ENABLED && cannot_unwind() {
            return false;
        }
        let message = String::from(message(panic.payload()));
        let (check, location) = (is_check(&message), panic.location());
        if !forget_panic() {
            return false;
        }
        let place = location.filter(|place| !is_own(Path::new(place.file()))).map(ToString::to_string);
        self.exit_stack.panic.0.replace(Some(PanicReport { message, place, check, frame }));
        true
    }

    /// Ends the run with the panic that the hook has kept.
    pub(super) fn panicked(&self) -> ! {
        // The caller has seen that there is one.
        let Some(found) = self.exit_stack.panic.0.take() else { std::process::abort() };
        let (mut code, mut backtrace) = (0, Vec::new());
        self.walk_from(found.frame, |frame| {
            lines_of(frame.ip().addr(), &mut backtrace);
            if code == 0 && !backtrace.is_empty() {
                code = frame.ip().addr() as u64;
            }
            backtrace.len() < MAX_FRAMES
        });
        let place = found.place.or_else(|| backtrace.first().cloned());
        if found.check {
            let violation = self.violation_of(&found.message, &place.unwrap_or_default(), code);
            self.bug_check_with(violation, backtrace)
        }
        let (processor, irql) = (self.current.get(), self.irql());
        self.halt(Stop::Panic { message: found.message, place, processor, irql, backtrace })
    }
}

/// An exception of the unwinder's.
#[repr(C)]
struct Exception {
    _opaque: [u8; 0],
}

type Raise = unsafe extern "C-unwind" fn(*mut Exception) -> c_int;

/// The unwinder's own function.
fn unwinder() -> Raise {
    static UNWINDER: OnceLock<Raise> = OnceLock::new();
    *UNWINDER.get_or_init(|| {
        // SAFETY: the name ends with a zero.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"_Unwind_RaiseException".as_ptr()) };
        if found.is_null() {
            std::eprintln!("ntsim: a panic, and the unwinder's _Unwind_RaiseException is not found");
            std::process::abort();
        }
        // SAFETY: the unwinder's function of this name has this type in the Itanium C++ ABI.
        unsafe { core::mem::transmute::<*mut core::ffi::c_void, Raise>(found) }
    })
}

/// Begins to unwind, or ends the run with the panic that the hook has kept. std calls it, because
/// the linker finds it before the unwinder's function of the same name.
///
/// # Safety
/// `exception` is a valid one, as for the unwinder's function.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn _Unwind_RaiseException(exception: *mut Exception) -> c_int {
    if let Some(machine) = active().filter(|machine| machine.exit_stack.panic.is_some()) {
        if !asan::ENABLED {
            // SAFETY: the handler of this signal makes the thread leave its coroutine.
            unsafe { libc::raise(libc::SIGABRT) };
        }
        machine.panicked()
    }
    asan::leave_frames();
    // SAFETY: the caller passes a valid exception.
    unsafe { unwinder()(exception) }
}
