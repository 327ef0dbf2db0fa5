//! The driver's logging. All events go to its ETW provider, and warnings and errors also to a
//! debugger.

use ntcom::trace::{EtwProvider, Level, Sink};

use crate::kernel::DbgPrintEx;

/// The driver's provider. `tracelog -start sensor -guid #0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d03
/// -level 5` starts a session for it.
pub static PROVIDER: EtwProvider = EtwProvider::new(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7d03);

/// The keyword of all the driver's events.
pub const LIFE: u64 = 1;

ntcom::etw_sink!(static EVENTS = PROVIDER, keyword LIFE, Level::Debug);
ntcom::debugger_sink!(static DEBUGGER = unsafe { DbgPrintEx }, Level::Warn);

/// A sink that writes to ETW and to the debugger.
pub(crate) static BOTH: Sink = Sink {
    level: Level::Debug,
    write: |record| {
        for sink in [&EVENTS, &DEBUGGER] {
            if record.level <= sink.level {
                (sink.write)(record);
            }
        }
    },
};
