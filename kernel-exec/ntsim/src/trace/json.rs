//! Traces as JSON lines, for other programs.
//!
//! The first line is `{"format":"ntsim trace","version":1,"events":N}`. Each of the next N lines is
//! an [`Event`], with the names of its fields and, in small letters, of its variants:
//!
//! ```json
//! {"step":3,"time":3,"processor":0,"irql":2,"what":{"call":{"ddi":"KeInsertQueueDpc","arguments":[{"pointer":"block0"}],"result":{"boolean":true}}}}
//! ```
//!
//! Objects are texts, as in [`Name`](super::Name). Numbers have up to 64 bits, more than
//! JavaScript's.

extern crate alloc;

use alloc::{string::String, string::ToString, vec::Vec};
use core::fmt::{self, Display, Formatter};
use std::io;

use serde::{Deserialize, Serialize};

use super::{
    event::{Event, What},
    recorder::Trace,
};
use crate::limits::PROCESSORS;

const FORMAT: &str = "ntsim trace";
const VERSION: u32 = 1;
const HIGH_LEVEL: u8 = 15;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    events: usize,
}

/// The reason why a text is not a trace, and the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseTraceError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1. 0 means the whole line.
    pub column: usize,
    /// The error at that place.
    pub message: String,
}

impl ParseTraceError {
    fn new(line: usize, column: usize, message: String) -> Self {
        Self { line, column, message }
    }
}

impl Display for ParseTraceError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "trace, line {}", self.line)?;
        if self.column != 0 {
            write!(f, ", column {}", self.column)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl core::error::Error for ParseTraceError {}

impl Trace {
    /// Writes the trace as JSON lines.
    ///
    /// # Errors
    /// An error in writing to `to`.
    pub fn write_json_lines(&self, to: &mut impl io::Write) -> io::Result<()> {
        let header = Header { format: FORMAT.into(), version: VERSION, events: self.events().len() };
        serde_json::to_writer(&mut *to, &header)?;
        to.write_all(b"\n")?;
        for event in self.events() {
            serde_json::to_writer(&mut *to, event)?;
            to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Reads a trace from the lines that [`Trace::write_json_lines`] writes.
    ///
    /// # Errors
    /// The first line that does not follow the format, is missing, or comes after the last event.
    /// Also the first event on a processor or at an IRQL that does not exist, or with a step or
    /// time before that of the event above it.
    pub fn read_json_lines(text: &str) -> Result<Self, ParseTraceError> {
        let mut lines = text.lines().zip(1..);
        let expected = match lines.next() {
            Some((line, number)) => header(line, number)?,
            None => return Err(ParseTraceError::new(1, 0, "the trace is empty, without a header".into())),
        };
        let mut events: Vec<Event> = Vec::new();
        let mut last = 1;
        for (line, number) in lines {
            last = number;
            if events.len() == expected {
                let message = alloc::format!("the trace has more events than the {expected} of its header");
                return Err(ParseTraceError::new(number, 0, message));
            }
            let event = parse(line, number)?;
            plausible(&event, events.last()).map_err(|message| ParseTraceError::new(number, 0, message))?;
            events.push(event);
        }
        if events.len() < expected {
            let message = alloc::format!("the trace ends after {} of {expected} events", events.len());
            return Err(ParseTraceError::new(last + 1, 0, message));
        }
        Ok(Self::new(events))
    }
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str, number: usize) -> Result<T, ParseTraceError> {
    serde_json::from_str(line).map_err(|error| {
        let said = error.to_string();
        // serde_json also gives the place, by its own line numbers.
        let message = said.rsplit_once(" at line ").map_or(said.as_str(), |(message, _)| message);
        ParseTraceError::new(number, error.column().max(1), message.into())
    })
}

fn header(line: &str, number: usize) -> Result<usize, ParseTraceError> {
    let header: Header = parse(line, number)?;
    if header.format != FORMAT {
        let message = alloc::format!("the format is {:?}, not {FORMAT:?}", header.format);
        return Err(ParseTraceError::new(number, 0, message));
    }
    if header.version != VERSION {
        let message = alloc::format!("the version is {}, not {VERSION}", header.version);
        return Err(ParseTraceError::new(number, 0, message));
    }
    Ok(header.events)
}

/// Checks the properties that a run guarantees for every event.
fn plausible(event: &Event, before: Option<&Event>) -> Result<(), String> {
    let Event { step, time, processor, irql, what, caller: _ } = event;
    let named = match what {
        What::Thread { processor, .. }
        | What::ThreadReady { processor, .. }
        | What::Switch { to: processor } => processor,
        _ => processor,
    };
    if let Some(none) = [processor, named].into_iter().find(|number| **number >= PROCESSORS) {
        return Err(alloc::format!("processor {none} does not exist; the highest is {}", PROCESSORS - 1));
    }
    if *irql > HIGH_LEVEL {
        return Err(alloc::format!("IRQL {irql} does not exist; the highest is {HIGH_LEVEL}"));
    }
    match before {
        Some(before) if before.step > *step => {
            Err(alloc::format!("step {step} comes after step {}", before.step))
        }
        Some(before) if before.time > *time => {
            Err(alloc::format!("time {time} comes after time {}", before.time))
        }
        _ => Ok(()),
    }
}
