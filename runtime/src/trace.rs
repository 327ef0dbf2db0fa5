//! What a driver says of what it does: a hook, levels, and sinks: one for the kernel's debugger, one for Event Tracing for Windows.
//!
//! Nothing is said, and nothing is formatted, before a driver has set a sink: a [`log!`](crate::log) is one load and a comparison then. Nothing is
//! allocated ever. A sink is a function, so a driver that wants it all in two places, or has a buffer of its own, writes one.

mod etw;

use core::{
    ffi::{CStr, c_char},
    fmt,
    sync::atomic::{AtomicPtr, Ordering},
};

#[doc(hidden)]
pub use etw::__write_event;
pub use ntcom_exec::{EtwProvider, EtwRegistration};

/// How much something matters. The numbers are the kernel's for `DbgPrintEx`; ETW's are [`Level::etw`].
///
/// ```
/// use ntcom::trace::Level;
/// assert!(Level::Error < Level::Info);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub enum Level {
    /// Something has failed (`DPFLTR_ERROR_LEVEL`).
    Error = 0,
    /// Something is odd (`DPFLTR_WARNING_LEVEL`).
    Warn = 1,
    /// What happens, in the large (`DPFLTR_TRACE_LEVEL`).
    Info = 2,
    /// In the small (`DPFLTR_INFO_LEVEL`).
    Debug = 3,
}

/// Something that was said.
///
/// ```
/// fn first_words(record: &ntcom::trace::Record<'_>) -> (ntcom::trace::Level, &'static str) {
///     (record.level, record.target)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// How much it matters.
    pub level: Level,
    /// Where: the module.
    pub target: &'static str,
    /// What, not yet formatted.
    pub message: fmt::Arguments<'a>,
}

/// Where it goes.
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
    /// What matters less is not written.
    pub level: Level,
    /// Writes. Called at the IRQL of whoever speaks, on several processors at once; it may not speak itself.
    pub write: fn(&Record<'_>),
}

static SINK: AtomicPtr<Sink> = AtomicPtr::new(core::ptr::null_mut());

/// From now on everything goes there. IRQL: any.
///
/// ```
/// use ntcom::trace::{Level, Sink, set_sink};
/// static NOWHERE: Sink = Sink { level: Level::Error, write: |_| {} };
/// set_sink(&NOWHERE);
/// ```
pub fn set_sink(sink: &'static Sink) {
    SINK.store(core::ptr::from_ref(sink).cast_mut(), Ordering::Release);
}

/// Says something: what [`log!`](crate::log) expands to. IRQL: what the sink allows.
///
/// ```
/// ntcom::trace::say(ntcom::trace::Level::Debug, module_path!(), format_args!("{} samples", 4));
/// ```
pub fn say(level: Level, target: &'static str, message: fmt::Arguments<'_>) {
    let sink = SINK.load(Ordering::Acquire);
    // SAFETY: null, or a static, by `set_sink`.
    if let Some(sink) = unsafe { sink.as_ref() }
        && level <= sink.level
    {
        (sink.write)(&Record { level, target, message });
    }
}

/// Says something, with a level and what `format!` takes. IRQL: what the sink allows.
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

/// How long a line of the debugger is, with its null: `DbgPrint` takes no more than 512 bytes.
const LINE: usize = 384;

/// A line for the debugger: what does not fit is left out, at a character's border; a null in it is a space.
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
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; LINE], length: 0 }
    }

    /// What is in it.
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
            // Nothing follows what has been cut off.
            self.length = if fits.len() < text.len() { LINE - 1 } else { self.length + fits.len() };
        }
        Ok(())
    }
}

/// The kernel's `DbgPrintEx`, as it is declared for Rust.
///
/// ```
/// use ntcom::trace::DbgPrintEx;
/// let theirs: DbgPrintEx = ntsim::ddi::DbgPrintEx; // in a driver: wdk_sys::ntddk::DbgPrintEx
/// ```
pub type DbgPrintEx = unsafe extern "C" fn(component: u32, level: u32, format: *const c_char, ...) -> u32;

/// `DPFLTR_IHVDRIVER_ID`: the component of drivers that have none of their own.
const COMPONENT: u32 = 77;

#[doc(hidden)]
/// Writes a record with `DbgPrintEx`.
///
/// # Safety
/// It is the kernel's.
pub unsafe fn __print(print: DbgPrintEx, record: &Record<'_>) {
    use fmt::Write as _;
    let Record { level, target, message } = record;
    let mut line = Line::new();
    // It never fails: what does not fit is left out.
    let _always = write!(line, "{target}: {message}");
    let text = line.as_c_str();
    // SAFETY: a format with one string, and that string.
    unsafe { print(COMPONENT, *level as u32, c"%s\n".as_ptr(), text.as_ptr()) };
}

/// Makes a static [`Sink`](crate::trace::Sink) that writes to the kernel's debugger with `DbgPrintEx`: a name, the function, and a level. It is `unsafe`, because nothing else says that it is the kernel's function. Levels are shown as the
/// component mask of `IHVDRIVER` says. IRQL: ≤ DIRQL, as `DbgPrintEx`'s.
///
/// ```
/// use ntcom::trace::{Level, set_sink};
///
/// // In a driver: wdk_sys::ntddk::DbgPrintEx.
/// ntcom::debugger_sink!(static DEBUGGER = unsafe { ntsim::ddi::DbgPrintEx }, Level::Info);
///
/// set_sink(&DEBUGGER);
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run(vec![(0, Box::new(|| {
/// ntcom::log!(Level::Info, "sensor: {} channels", 4);
/// # }))]).unwrap();
/// ```
#[macro_export]
macro_rules! debugger_sink {
    ($visibility:vis static $name:ident = unsafe { $print:path }, $level:expr) => {
        $visibility static $name: $crate::trace::Sink = $crate::trace::Sink {
            level: $level,
            // SAFETY: who writes `unsafe` says that it is the kernel's function.
            write: |record| unsafe { $crate::trace::__print($print, record) },
        };
    };
}
