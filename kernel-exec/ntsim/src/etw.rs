//! Event tracing sessions: who listens to the driver's providers, and what was heard.
//!
//! A session is what `EnableTraceEx2` makes of `logman` or a consumer: it names a provider, a level and keywords. It may be there before
//! the provider is registered. Events that it gets are data here, and in the trace.
//!
//! ```
//! use ntsim::{Config, Schedule, Simulation, ddi, etw, types::GUID};
//!
//! const PROVIDER: GUID = GUID::from_u128(0x7c0f2a51_9d2e_4b0c_a1f3_0a4f8a1c2e01);
//! let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
//! let session = etw::enable(etw::Session::new(PROVIDER, 4));
//! kernel.run(vec![(0, Box::new(|| {
//!     let mut handle = 0;
//!     let text: Vec<u16> = "four channels\0".encode_utf16().collect();
//!     // SAFETY: the arguments are valid, and the provider is unregistered.
//!     unsafe {
//!         assert_eq!(ddi::EtwRegister(&PROVIDER, None, std::ptr::null_mut(), &mut handle), 0);
//!         assert_eq!(ddi::EtwWriteString(handle, 4, 1, std::ptr::null(), text.as_ptr()), 0);
//!         assert_eq!(ddi::EtwUnregister(handle), 0);
//!     }
//! }))])?;
//! kernel.unload()?;
//! assert_eq!(etw::events(session)[0].data, etw::Data::Text("four channels".to_owned()));
//! # Ok::<(), ntsim::Stop>(())
//! ```

extern crate alloc;

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    engine::machine::{active, loaded_here, outside},
    types::{
        EVENT_CONTROL_CODE_DISABLE_PROVIDER, EVENT_CONTROL_CODE_ENABLE_PROVIDER, GUID, NTSTATUS,
        STATUS_NO_MEMORY,
    },
};

/// What a session listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The provider, registered or not.
    pub provider: GUID,
    /// Whom an enable callback is told that it comes from. Default: zeros.
    pub source: GUID,
    /// Events above this level are not for it: 1 to 255.
    pub level: u8,
    /// Events without any of these keywords are not, unless they have none at all. Default 0: all are.
    pub match_any_keyword: u64,
    /// Of those events, the ones without all of these keywords are not. Default 0. Not looked at where the other mask is 0.
    pub match_all_keyword: u64,
    /// A larger event, with its header of 80 bytes, is lost. Default 65,536.
    pub buffer_size: usize,
    /// Events beyond this many are lost. Default: none.
    pub room: usize,
    /// What who writes one of those is told. Default STATUS_NO_MEMORY: no buffer is free; STATUS_LOG_FILE_FULL: the real-time
    /// playback file is full.
    pub full_status: NTSTATUS,
}

impl Session {
    /// A session that listens to a provider's events up to a level, whatever their keywords.
    pub const fn new(provider: GUID, level: u8) -> Self {
        Self {
            provider,
            source: GUID::from_u128(0),
            level,
            match_any_keyword: 0,
            match_all_keyword: 0,
            buffer_size: 65_536,
            room: usize::MAX,
            full_status: STATUS_NO_MEMORY,
        }
    }
}

/// A session of this simulation, until its reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(pub(crate) u32);

/// An event as a session gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The provider's GUID, as text.
    pub provider: String,
    /// The event's number; 0 for EtwWriteString, as the next five.
    pub id: u16,
    /// The version of its layout.
    pub version: u8,
    /// Its audience.
    pub channel: u8,
    /// What it does.
    pub opcode: u8,
    /// What it is a part of.
    pub task: u16,
    /// How much it matters.
    pub level: u8,
    /// What it is about.
    pub keyword: u64,
    /// The activity's GUID, as text.
    pub activity: Option<String>,
    /// What it says.
    pub data: Data,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// The string of EtwWriteString, without its zero.
    Text(String),
    /// The parts of EtwWrite's data, one behind the other.
    Bytes(Vec<u8>),
}

/// A session begins to listen. Registered providers that have an enable callback are told, in the calling thread; a provider that is
/// registered later is told then.
///
/// # Panics
/// Without a simulation; at raised IRQL; where the session's level is 0, or eight sessions listen to the provider already; outside a
/// run, where a callback would have to be called.
pub fn enable(session: Session) -> SessionId {
    let Some(machine) = loaded_here() else { outside("etw::enable") };
    assert!(session.level != 0, "ntsim: an ETW session's level is 1 to 255");
    assert!(machine.irql() == 0, "ntsim: ETW sessions begin and end at PASSIVE_LEVEL");
    let id = machine.kernel.borrow_mut().etw.enable(session);
    assert!(id.is_some(), "ntsim: eight ETW sessions listen to {} already", session.provider);
    tell(&machine, session, EVENT_CONTROL_CODE_ENABLE_PROVIDER);
    id.unwrap_or(SessionId(u32::MAX))
}

/// A session ends; its events stay. Enable callbacks are told.
///
/// # Panics
/// As for [`enable`], and where it is no session, or has ended before.
pub fn disable(session: SessionId) {
    let Some(machine) = loaded_here() else { outside("etw::disable") };
    assert!(machine.irql() == 0, "ntsim: ETW sessions begin and end at PASSIVE_LEVEL");
    let ended = machine.kernel.borrow_mut().etw.disable(session);
    assert!(ended.is_some(), "ntsim: there is no such ETW session any more");
    if let Some(session) = ended {
        tell(&machine, session, EVENT_CONTROL_CODE_DISABLE_PROVIDER);
    }
}

fn tell(machine: &crate::engine::machine::Machine, session: Session, code: u32) {
    let providers = machine.kernel.borrow().etw.callbacks(session.provider);
    assert!(
        providers.is_empty() || active().is_some() || machine.is_free(),
        "ntsim: an ETW enable callback is to be called outside a run"
    );
    for provider in providers {
        machine.checked(machine.call_enable_callback(provider, session.source, code));
    }
}

/// The events that a session has got so far.
///
/// # Panics
/// Where there is no such session.
pub fn events(session: SessionId) -> Vec<Event> {
    let events = loaded_here().and_then(|machine| {
        let kernel = machine.kernel.borrow();
        kernel.etw.events(session).map(<[Event]>::to_vec)
    });
    assert!(events.is_some(), "ntsim: there is no such ETW session");
    events.unwrap_or_default()
}

/// How many events a session has lost: the `EventsLost` of its properties.
///
/// # Panics
/// Where there is no such session.
pub fn lost(session: SessionId) -> u64 {
    let lost = loaded_here().and_then(|machine| machine.kernel.borrow().etw.lost(session));
    assert!(lost.is_some(), "ntsim: there is no such ETW session");
    lost.unwrap_or_default()
}
