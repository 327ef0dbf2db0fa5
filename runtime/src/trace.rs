//! Logging for drivers, with levels, a hook, and sinks for the kernel's debugger and for Event
//! Tracing for Windows.
//!
//! Until a driver sets a sink, nothing is formatted, and a [`log!`](crate::log) costs one load and
//! a comparison. No call ever allocates. A sink is a function, so a driver can write its own that
//! writes to two places, or to a buffer.

mod etw;

use core::{
    ffi::{CStr, c_char},
    fmt,
    sync::atomic::{AtomicPtr, Ordering},
};

#[doc(hidden)]
pub use etw::__write_event;
pub use ntcom_exec::{EtwProvider, EtwRegistration};

/// The severity of a record.
///
/// The numbers are the kernel's for `DbgPrintEx`. [`Level::etw`] returns ETW's.
///
/// ```
/// use ntcom::trace::Level;
/// assert!(Level::Error < Level::Info);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum Level {
    /// An operation has failed (`DPFLTR_ERROR_LEVEL`).
    Error = 0,
    /// An unexpected event (`DPFLTR_WARNING_LEVEL`).
    Warn = 1,
    /// An important event (`DPFLTR_TRACE_LEVEL`).
    Info = 2,
    /// Details for debugging (`DPFLTR_INFO_LEVEL`).
    Debug = 3,
}

/// A log record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The record's severity.
    pub level: Level,
    /// The module that logs.
    pub target: &'static str,
    /// The message, not yet formatted.
    pub message: fmt::Arguments<'a>,
}

/// A destination for log records.
///
/// ```
/// use ntcom::trace::{Level, Record, Sink, set_sink};
///
/// fn count(_record: &Record<'_>) { /* … */ }
/// static COUNTS: Sink = Sink { level: Level::Warn, write: count };
/// set_sink(&COUNTS);
/// ntcom::log!(Level::Error, "channel {} does not answer", 3);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sink {
    /// The least severe level that is written.
    pub level: Level,
    /// Writes a record. It is called at the IRQL of the code that logs, and on several processors
    /// at once. It must not log itself.
    pub write: fn(&Record<'_>),
}

static SINK: AtomicPtr<Sink> = AtomicPtr::new(core::ptr::null_mut());

/// Sets the sink for all later records. IRQL: any.
pub fn set_sink(sink: &'static Sink) {
    SINK.store(core::ptr::from_ref(sink).cast_mut(), Ordering::Release);
}

/// Logs a record; [`log!`](crate::log) expands to this call. IRQL: as the sink allows.
pub fn say(level: Level, target: &'static str, message: fmt::Arguments<'_>) {
    let sink = SINK.load(Ordering::Acquire);
    // SAFETY: the pointer is null, or points to a static, because `set_sink` takes a `&'static
    // Sink`.
    if let Some(sink) = unsafe { sink.as_ref() }
        && level <= sink.level
    {
        (sink.write)(&Record { level, target, message });
    }
}

/// Logs a message, with a level and the arguments of `format!`. IRQL: as the sink allows.
///
/// ```
/// use ntcom::trace::Level;
/// let channel = 3;
/// ntcom::log!(Level::Warn, "channel {channel} is slow");
/// ```
#[macro_export]
macro_rules! log {
    ($level:expr, $($message:tt)+) => {
        $crate::trace::say($level, ::core::module_path!(), ::core::format_args!($($message)+))
    };
}

/// The size of a debugger line in bytes, with its null. `DbgPrint` takes no more than 512 bytes.
const LINE: usize = 384;

/// A line of text for the debugger, on the stack.
///
/// Text that does not fit is cut off at a character boundary, and a null in the text becomes a
/// space.
///
/// ```
/// use core::fmt::Write as _;
/// let mut line = ntcom::trace::Line::new();
/// write!(line, "{}", 42).unwrap();
/// assert_eq!(line.as_c_str(), c"42");
/// ```
#[derive(Debug)]
pub struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Line {
    /// Makes an empty line.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; LINE], length: 0 }
    }

    /// Returns the line's text.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LINE - 1 - self.length;
        let fits = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
        if let Some(place) = self.bytes.get_mut(self.length..self.length + fits.len()) {
            for (place, byte) in place.iter_mut().zip(fits.bytes()) {
                *place = if byte == 0 { b' ' } else { byte };
            }
            // A full line stays full, so that no later text follows one that was cut off.
            self.length = if fits.len() < text.len() { LINE - 1 } else { self.length + fits.len() };
        }
        Ok(())
    }
}

/// The kernel's `DbgPrintEx`, as Rust declares it.
pub type DbgPrintEx = unsafe extern "C" fn(component: u32, level: u32, format: *const c_char, ...) -> u32;

/// `DPFLTR_IHVDRIVER_ID`, the component of drivers that have no component of their own.
const COMPONENT: u32 = 77;

#[doc(hidden)]
/// Writes a record with `DbgPrintEx`.
///
/// # Safety
/// `print` is the kernel's `DbgPrintEx`.
pub unsafe fn __print(print: DbgPrintEx, record: &Record<'_>) {
    use fmt::Write as _;
    let Record { level, target, message } = record;
    let mut line = Line::new();
    // `Line` never returns an error, because it cuts off text that does not fit.
    let _always = write!(line, "{target}: {message}");
    let text = line.as_c_str();
    // SAFETY: `print` is `DbgPrintEx`, as the caller guarantees. It gets a format for one string,
    // and that string.
    unsafe { print(COMPONENT, *level as u32, c"%s\n".as_ptr(), text.as_ptr()) };
}

/// Makes a static [`Sink`](crate::trace::Sink) that writes to the kernel's debugger with
/// `DbgPrintEx`.
///
/// It takes a name, the function, and a level. It is `unsafe`, because the caller must guarantee
/// that the function is the kernel's. The component mask of `IHVDRIVER` selects the levels that are
/// shown. IRQL: that of `DbgPrintEx`, ≤ DIRQL.
///
/// ```
/// use ntcom::trace::{Level, set_sink};
///
/// // In a driver, the function is wdk_sys::ntddk::DbgPrintEx.
/// ntcom::debugger_sink!(static DEBUGGER = unsafe { ntsim::ddi::DbgPrintEx }, Level::Info);
///
/// set_sink(&DEBUGGER);
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// ntcom::log!(Level::Info, "sensor: {} channels", 4);
/// # }).unwrap();
/// ```
#[macro_export]
macro_rules! debugger_sink {
    ($visibility:vis static $name:ident = unsafe { $print:path }, $level:expr) => {
        $visibility static $name: $crate::trace::Sink = $crate::trace::Sink {
            level: $level,
            // SAFETY: the `unsafe` in the macro's input guarantees that this is the kernel's
            // function.
            write: |record| unsafe { $crate::trace::__print($print, record) },
        };
    };
}
