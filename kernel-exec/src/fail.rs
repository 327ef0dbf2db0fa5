//! Failing fast, where continuing would corrupt the machine.

use crate::nt;

/// The reason why the machine stops.
///
/// In a kernel it is the first parameter of bug check 0x139 (KERNEL_SECURITY_CHECK_FAILURE)
/// (learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-0x139--kernel-security-check-failure).
/// On a host without a kernel the program aborts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum FailFast {
    /// `FAST_FAIL_INVALID_ARG`: a transition that the task protocol does not know.
    Protocol = 5,
    /// `FAST_FAIL_VTGUARD_CHECK_FAILURE`: an interface's table changed under its user.
    Interface = 1,
    /// `FAST_FAIL_FATAL_APP_EXIT`: a panic in user code below a poll `[C12]`.
    Panic = 7,
    /// `FAST_FAIL_RANGE_CHECK_FAILURE`: a processor with a number beyond the table of slots.
    #[allow(dead_code, reason = "without a kernel there are no processors")]
    Processor = 8,
    /// `FAST_FAIL_INVALID_REFERENCE_COUNT`: overflow or underflow of a count `[C3]`.
    ReferenceCount = 14,
}

/// Stops the machine.
#[cold]
pub(crate) fn fail_fast(reason: FailFast) -> ! {
    nt::fail_fast(reason as u32, [0; 3])
}

/// Stops the machine, because a COM interface has lost slots that were there before.
#[cold]
pub fn fail_fast_corrupt_interface() -> ! {
    fail_fast(FailFast::Interface)
}

/// Stops the machine from a driver's panic handler, with a bug check that tells where the panic
/// was.
///
/// The bug check is 0x139 (KERNEL_SECURITY_CHECK_FAILURE), with these parameters:
///
/// 1. 7, `FAST_FAIL_FATAL_APP_EXIT`;
/// 2. the address of the source file's name, which is in the image, without a zero at its end;
/// 3. the length of that name, in bytes;
/// 4. the line in the upper 32 bits, the column in the lower ones.
///
/// In WinDbg, `da <parameter 2> L<parameter 3>` prints the file's name, and
/// `? <parameter 4> >> 0n32` the line. The message is not formatted, because that would need stack
/// that may not be there. IRQL: any.
///
/// ```
/// # #[cfg(any())]
/// #[panic_handler]
/// fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
///     ntcom_exec::bug_check_panic(info)
/// }
/// # let _: fn(&core::panic::PanicInfo<'_>) -> ! = ntcom_exec::bug_check_panic;
/// ```
#[cold]
pub fn bug_check_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    nt::fail_fast(FailFast::Panic as u32, info.location().map_or([0; 3], bug_check_parameters))
}

fn bug_check_parameters(location: &core::panic::Location<'_>) -> [u64; 3] {
    let file = location.file();
    let line_and_column = u64::from(location.line()) << 32 | u64::from(location.column());
    [file.as_ptr().expose_provenance() as u64, file.len() as u64, line_and_column]
}

/// Calls user code below a slot. A panic in it stops the machine instead of unwinding into the
/// caller `[C12]`.
pub fn no_unwind<R>(f: impl FnOnce() -> R) -> R {
    NoUnwind::run(f)
}

/// A guard that stops the machine when it is dropped by unwinding, because user code may not unwind
/// out of a poll.
pub(crate) struct NoUnwind(());

impl NoUnwind {
    pub(crate) fn run<R>(f: impl FnOnce() -> R) -> R {
        let guard = Self(());
        let result = f();
        let _disarmed = core::mem::ManuallyDrop::new(guard);
        result
    }
}

impl Drop for NoUnwind {
    fn drop(&mut self) {
        fail_fast(FailFast::Panic);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_place_of_a_panic_is_told() {
        let here = core::panic::Location::caller();
        let [_, length, place] = super::bug_check_parameters(here);
        assert_eq!(length, here.file().len() as u64);
        assert_eq!((place >> 32, place & 0xFFFF_FFFF), (here.line().into(), here.column().into()));
    }
}
