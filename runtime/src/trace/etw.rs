//! The sink for Event Tracing for Windows.

use ntcom_exec::EtwProvider;

use super::{Level, Record};

impl Level {
    /// Returns the level's number in ETW.
    ///
    /// `Level`'s numbers are `TRACE_LEVEL_ERROR` (2), `TRACE_LEVEL_WARNING` (3),
    /// `TRACE_LEVEL_INFORMATION` (4) and `TRACE_LEVEL_VERBOSE` (5). `TRACE_LEVEL_CRITICAL` (1), for
    /// events that end a driver's work, has no level here; write it with [`EtwProvider::write`].
    ///
    /// ```
    /// use ntcom::trace::Level;
    /// assert_eq!([Level::Error, Level::Warn, Level::Info, Level::Debug].map(Level::etw), [2, 3, 4, 5]);
    /// ```
    #[must_use]
    pub const fn etw(self) -> u8 {
        match self {
            Self::Error => 2,
            Self::Warn => 3,
            Self::Info => 4,
            Self::Debug => 5,
        }
    }
}

#[doc(hidden)]
/// Writes a record as an event, if a session asks for it.
pub fn __write_event(provider: &EtwProvider, keyword: u64, record: &Record<'_>) {
    let Record { level, target, message } = record;
    provider.write(level.etw(), keyword, format_args!("{target}: {message}"));
}

/// Makes a static [`Sink`](crate::trace::Sink) that writes the events of a provider.
///
/// It takes a name, the provider's static, the keywords of its events, and a level. A record that
/// no session asks for, or that is above the level, is not formatted. Nothing is allocated. IRQL:
/// any.
///
/// A driver registers its provider in DriverEntry, and unregisters it in Unload
/// ([`EtwProvider`](crate::trace::EtwProvider)). Records before and after that are discarded.
///
/// ```
/// use ntcom::{NTSTATUS, log, trace::{EtwProvider, EtwRegistration, Level, Sink, set_sink}};
/// # use ntsim::{Config, Schedule, Simulation, etw, types::GUID};
///
/// static PROVIDER: EtwProvider = EtwProvider::new(0x7c0f2a51_9d2e_4b0c_a1f3_0a4f8a1c2e03);
/// ntcom::etw_sink!(static EVENTS = PROVIDER, keyword 0x1, Level::Debug);
///
/// // A sink is a function. This one writes to two others, to the debugger only warnings and
/// // errors.
/// ntcom::debugger_sink!(static DEBUGGER = unsafe { ntsim::ddi::DbgPrintEx }, Level::Warn);
/// static BOTH: Sink = Sink {
///     level: Level::Debug,
///     write: |record| {
///         for sink in [&EVENTS, &DEBUGGER] {
///             if record.level <= sink.level {
///                 (sink.write)(record);
///             }
///         }
///     },
/// };
///
/// fn load() -> Result<EtwRegistration, NTSTATUS> {
///     let registration = PROVIDER.register()?;
///     set_sink(&BOTH);
///     log!(Level::Info, "sensor: {} channels", 4);
///     Ok(registration)
/// }
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # let session = etw::enable(etw::Session::new(GUID::from_u128(0x7c0f2a51_9d2e_4b0c_a1f3_0a4f8a1c2e03), 4));
/// # kernel.run_on(0, || drop(load().unwrap())).unwrap();
/// # kernel.unload().unwrap();
/// # assert_eq!(etw::events(session).len(), 1);
/// ```
#[macro_export]
macro_rules! etw_sink {
    ($visibility:vis static $name:ident = $provider:path, keyword $keyword:expr, $level:expr) => {
        $visibility static $name: $crate::trace::Sink = $crate::trace::Sink {
            level: $level,
            write: |record| $crate::trace::__write_event(&$provider, $keyword, record),
        };
    };
}
