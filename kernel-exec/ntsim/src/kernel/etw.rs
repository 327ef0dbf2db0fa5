//! Event tracing, with the registered providers, and the sessions with their demands.

extern crate alloc;

use alloc::vec::Vec;

use crate::{
    etw::session::{Event, Session, SessionId},
    types::{GUID, NTSTATUS, PETWENABLECALLBACK, STATUS_BUFFER_OVERFLOW},
};

/// The most sessions that may listen to one provider.
const MOST_SESSIONS: usize = 8;

/// A registered provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registration {
    /// The handle of the provider, which is an address.
    pub(crate) address: usize,
    pub(crate) provider: GUID,
    pub(crate) callback: PETWENABLECALLBACK,
    pub(crate) context: usize,
    /// The thread that the callback runs in.
    pub(crate) called_in: Option<usize>,
    /// Whether EtwUnregister waits for the callback. Only the callback may then use the handle.
    pub(crate) leaving: bool,
}

/// The events that the sessions of a provider have enabled together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EnabledEvents {
    pub(crate) level: u8,
    pub(crate) any: u64,
    pub(crate) all: u64,
}

/// A session with the events that it has received.
#[derive(Debug)]
struct Listener {
    session: Session,
    enabled: bool,
    events: Vec<Event>,
    lost: u64,
}

impl Session {
    /// Returns whether the session asks for an event (`nf-evntrace-enabletraceex2`).
    fn asks_for(&self, level: u8, keyword: u64) -> bool {
        let (any, all) = (self.match_any_keyword, self.match_all_keyword);
        let fits = any == 0 || keyword & any != 0 && keyword & all == all;
        level <= self.level && (keyword == 0 || fits)
    }
}

/// All providers and sessions.
#[derive(Debug, Default)]
pub(crate) struct Etw {
    registrations: Vec<Registration>,
    listeners: Vec<Listener>,
}

impl Etw {
    pub(crate) fn reset(&mut self) {
        if !self.registrations.is_empty() || !self.listeners.is_empty() {
            self.registrations.clear();
            self.listeners.clear();
        }
    }

    pub(crate) fn register(&mut self, registration: Registration) {
        self.registrations.push(registration);
    }

    pub(crate) fn unregister(&mut self, address: usize) {
        self.registrations.retain(|registration| registration.address != address);
    }

    /// Returns the provider with this handle.
    pub(crate) fn get(&self, address: usize) -> Option<Registration> {
        self.registrations.iter().find(|registration| registration.address == address).copied()
    }

    /// Changes the provider with this handle.
    pub(crate) fn update(&mut self, address: usize, change: impl FnOnce(&mut Registration)) {
        let found = self.registrations.iter_mut().find(|registration| registration.address == address);
        if let Some(registration) = found {
            change(registration);
        }
    }

    /// Returns any registered provider.
    pub(crate) fn any(&self) -> Option<Registration> {
        self.registrations.first().copied()
    }

    /// Returns the handles of a GUID's providers that have a callback.
    pub(crate) fn callbacks(&self, provider: GUID) -> Vec<usize> {
        let with = |one: &&Registration| one.provider == provider && one.callback.is_some();
        self.registrations.iter().filter(with).map(|registration| registration.address).collect()
    }

    /// Starts a session. Returns none if too many sessions listen already.
    pub(crate) fn enable(&mut self, session: Session) -> Option<SessionId> {
        if self.listening(session.provider).count() == MOST_SESSIONS {
            return None;
        }
        self.listeners.push(Listener { session, enabled: true, events: Vec::new(), lost: 0 });
        Some(SessionId(self.listeners.len() as u32 - 1))
    }

    /// Ends a session and returns it, unless it has ended before.
    pub(crate) fn disable(&mut self, id: SessionId) -> Option<Session> {
        let listener = self.listeners.get_mut(id.0 as usize).filter(|listener| listener.enabled)?;
        listener.enabled = false;
        Some(listener.session)
    }

    /// Returns the events that a session has received.
    pub(crate) fn events(&self, id: SessionId) -> Option<&[Event]> {
        self.listeners.get(id.0 as usize).map(|listener| listener.events.as_slice())
    }

    /// Returns the number of events that a session should have received and has lost.
    pub(crate) fn lost(&self, id: SessionId) -> Option<u64> {
        self.listeners.get(id.0 as usize).map(|listener| listener.lost)
    }

    fn listening(&self, provider: GUID) -> impl Iterator<Item = &Listener> {
        self.listeners
            .iter()
            .filter(move |listener| listener.enabled && listener.session.provider == provider)
    }

    /// Returns the events that sessions have enabled of a provider.
    ///
    /// These are the highest level, the keywords of all sessions, and the keywords that all
    /// sessions want in every event. `None` means that no session listens.
    pub(crate) fn enabled(&self, provider: GUID) -> Option<EnabledEvents> {
        self.listening(provider)
            .map(|Listener { session, .. }| EnabledEvents {
                level: session.level,
                any: session.match_any_keyword,
                all: session.match_all_keyword,
            })
            .reduce(|one, other| EnabledEvents {
                level: one.level.max(other.level),
                // 0 asks for all keywords.
                any: if one.any == 0 || other.any == 0 { 0 } else { one.any | other.any },
                all: one.all & other.all,
            })
    }

    /// Returns whether a session asks for events with this level and keyword.
    pub(crate) fn is_enabled(&self, provider: GUID, level: u8, keyword: u64) -> bool {
        self.listening(provider).any(|listener| listener.session.asks_for(level, keyword))
    }

    /// Delivers an event to the sessions that ask for it. Returns the sessions that have received
    /// it, and the status if a session has lost it.
    pub(crate) fn write(
        &mut self,
        provider: GUID,
        event: &Event,
        size: usize,
    ) -> (Vec<SessionId>, Option<NTSTATUS>) {
        let (mut taken, mut failure) = (Vec::new(), None);
        for (number, listener) in self.listeners.iter_mut().enumerate() {
            let session = &listener.session;
            let asked = session.provider == provider && session.asks_for(event.level, event.keyword);
            if !listener.enabled || !asked {
                continue;
            }
            let lost = if size > session.buffer_size {
                Some(STATUS_BUFFER_OVERFLOW)
            } else if listener.events.len() >= session.room {
                Some(session.full_status)
            } else {
                None
            };
            if lost.is_some() {
                listener.lost += 1;
                failure = failure.or(lost);
            } else {
                listener.events.push(event.clone());
                taken.push(SessionId(number as u32));
            }
        }
        (taken, failure)
    }
}
