//! Event tracing sessions, which listen to the driver's providers and collect their events.
//!
//! A session is like one that `logman` or a consumer starts by `EnableTraceEx2`. It names a
//! provider, a level and keywords. It may exist before the provider is registered. The events that
//! it gets are data here, and in the trace.
//! ```
//! use ntsim::{Config, Schedule, Simulation, ddi, etw, types::GUID};
//!
//! const PROVIDER: GUID = GUID::from_u128(0x7c0f2a51_9d2e_4b0c_a1f3_0a4f8a1c2e01);
//! let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
//! let session = etw::enable(etw::Session::new(PROVIDER, 4));
//! kernel.run_on(0, || {
//!     let mut handle = 0;
//!     let text: Vec<u16> = "four channels\0".encode_utf16().collect();
//!     // SAFETY: the arguments are valid, and the provider is unregistered.
//!     unsafe {
//!         assert_eq!(ddi::EtwRegister(&PROVIDER, None, std::ptr::null_mut(), &mut handle), 0);
//!         assert_eq!(ddi::EtwWriteString(handle, 4, 1, std::ptr::null(), text.as_ptr()), 0);
//!         assert_eq!(ddi::EtwUnregister(handle), 0);
//!     }
//! })?;
//! kernel.unload()?;
//! assert_eq!(etw::events(session)[0].data, etw::Data::Text("four channels".to_owned()));
//! # Ok::<(), ntsim::Stop>(())
//! ```

extern crate alloc;

pub(crate) mod session;

use alloc::vec::Vec;

use crate::{
    engine::{
        entry::{loaded_here, outside},
        machine::active,
    },
    subsystem::etw,
    types::{EVENT_CONTROL_CODE_DISABLE_PROVIDER, EVENT_CONTROL_CODE_ENABLE_PROVIDER},
};

pub use self::session::{Data, Event, Session, SessionId};
/// Starts a session. The enable callbacks of registered providers are called in the calling thread;
/// that of a provider that is registered later is called then.
///
/// # Panics
/// Panics without a simulation, at raised IRQL, if the session's level is 0, or if eight sessions
/// listen to the provider already. Also panics outside a run if a callback would have to be called.
pub fn enable(session: Session) -> SessionId {
    let Some(machine) = loaded_here() else { outside("etw::enable") };
    assert!(session.level != 0, "ntsim: etw::enable: the session's level is 0, not 1 to 255");
    let irql = machine.irql();
    assert!(irql == 0, "ntsim: etw::enable at IRQL {irql}, not PASSIVE_LEVEL");
    let id = machine.kernel.borrow_mut().etw.enable(session);
    assert!(
        id.is_some(),
        "ntsim: etw::enable: eight sessions listen to {} already, the most that a provider has",
        session.provider
    );
    tell(&machine, session, EVENT_CONTROL_CODE_ENABLE_PROVIDER);
    id.unwrap_or(SessionId(u32::MAX))
}

/// Ends a session, and calls the enable callbacks. Its events stay.
///
/// # Panics
/// Panics as [`enable`] does, and if the session does not exist or has ended before.
pub fn disable(session: SessionId) {
    let Some(machine) = loaded_here() else { outside("etw::disable") };
    let irql = machine.irql();
    assert!(irql == 0, "ntsim: etw::disable at IRQL {irql}, not PASSIVE_LEVEL");
    let ended = machine.kernel.borrow_mut().etw.disable(session);
    assert!(ended.is_some(), "ntsim: etw::disable: session {} does not exist or has ended", session.0);
    if let Some(session) = ended {
        tell(&machine, session, EVENT_CONTROL_CODE_DISABLE_PROVIDER);
    }
}

fn tell(machine: &crate::engine::machine::Machine, session: Session, code: u32) {
    let providers = machine.kernel.borrow().etw.callbacks(session.provider);
    assert!(
        providers.is_empty() || active().is_some() || machine.is_free(),
        "ntsim: an ETW enable callback must be called, but outside a run; change the session in a program"
    );
    for provider in providers {
        machine.checked(etw::call_enable_callback(machine, provider, session.source, code));
    }
}

/// The events that a session has got so far.
///
/// # Panics
/// Panics if the session does not exist.
pub fn events(session: SessionId) -> Vec<Event> {
    let events = loaded_here().and_then(|machine| {
        let kernel = machine.kernel.borrow();
        kernel.etw.events(session).map(<[Event]>::to_vec)
    });
    assert!(events.is_some(), "ntsim: etw::events: session {} does not exist", session.0);
    events.unwrap_or_default()
}

/// How many events a session has lost, as in the `EventsLost` of its properties.
///
/// # Panics
/// Panics if the session does not exist.
pub fn lost(session: SessionId) -> u64 {
    let lost = loaded_here().and_then(|machine| machine.kernel.borrow().etw.lost(session));
    assert!(lost.is_some(), "ntsim: etw::lost: session {} does not exist", session.0);
    lost.unwrap_or_default()
}
