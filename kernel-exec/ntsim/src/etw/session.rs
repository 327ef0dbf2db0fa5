//! Sessions and their events as data.

extern crate alloc;

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::types::{GUID, NTSTATUS, STATUS_NO_MEMORY};

/// The provider and events to which a session listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The provider, registered or not.
    pub provider: GUID,
    /// The source that an enable callback is told. Default zeros.
    pub source: GUID,
    /// The highest level of its events, 1 to 255.
    pub level: u8,
    /// The session gets only events with at least one of these keywords, or with none at all.
    /// Default 0, which means all events.
    pub match_any_keyword: u64,
    /// Of those events, the session gets only events with all of these keywords. Default 0. Ignored
    /// if the other mask is 0.
    pub match_all_keyword: u64,
    /// An event that is larger, with its header of 80 bytes, is lost. Default 65,536.
    pub buffer_size: usize,
    /// The number of events that the session keeps; later ones are lost. Default unlimited.
    pub room: usize,
    /// The status for the writer of an event that is lost because of `room`. Default
    /// STATUS_NO_MEMORY, which means that no buffer is free. STATUS_LOG_FILE_FULL means that the
    /// real-time playback file is full.
    pub full_status: NTSTATUS,
}

impl Session {
    /// A session that listens to a provider's events up to a level, with any keywords.
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

/// An event that a session has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The provider's GUID, as text.
    pub provider: String,
    /// The event's number. This and the next five fields are 0 for EtwWriteString.
    pub id: u16,
    /// The version of its layout.
    pub version: u8,
    /// The event's audience.
    pub channel: u8,
    /// The action that the event reports.
    pub opcode: u8,
    /// The task to which the event belongs.
    pub task: u16,
    /// The event's severity.
    pub level: u8,
    /// The event's subjects, a bit each.
    pub keyword: u64,
    /// The activity's GUID, as text.
    pub activity: Option<String>,
    /// The event's data.
    pub data: Data,
}

/// The data of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data {
    /// The string of EtwWriteString, without its zero.
    Text(String),
    /// The parts of EtwWrite's data, one behind the other.
    Bytes(Vec<u8>),
}
