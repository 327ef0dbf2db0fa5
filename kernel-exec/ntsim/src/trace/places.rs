//! The places in the driver at which objects were made, set, queued and given up, from the events
//! of the run so far.

extern crate alloc;

use alloc::string::String;

use super::{
    event::{Event, What},
    name::Name,
    value::Value,
};
use crate::{engine::machine::Machine, verifier::irql::Ddi};

/// The calls that set a timer.
pub(crate) const SET_TIMER: &[Ddi] = &[Ddi::KeSetTimer, Ddi::KeSetTimerEx, Ddi::KeSetCoalescableTimer];
/// The calls that queue a work item.
pub(crate) const QUEUE_WORK: &[Ddi] = &[Ddi::IoQueueWorkItem, Ddi::IoQueueWorkItemEx, Ddi::ExQueueWorkItem];
/// The calls that queue a DPC.
pub(crate) const QUEUE_DPC: &[Ddi] = &[Ddi::KeInsertQueueDpc];

impl Machine {
    /// The place of the last event that `is` accepts, such as ` at driver.rs:88`. Empty without
    /// [`Config::callers`](crate::Config::callers), and if there is none.
    pub(crate) fn place_of(&self, is: impl Fn(&Event) -> bool) -> String {
        if !self.tracing.get() || !self.config.get().callers {
            return String::new();
        }
        // A fault may occur in the middle of a record.
        let Ok(recorder) = self.recorder.try_borrow() else { return String::new() };
        let last = recorder.trace.events.iter().rev().find(|event| is(event));
        let caller = last.and_then(|event| event.caller.as_ref());
        caller.map_or_else(String::new, |caller| alloc::format!(" at {}", caller.place))
    }

    /// The place of the last of these calls for the object at an address.
    pub(crate) fn place_of_call(&self, ddis: &[Ddi], address: usize) -> String {
        if !self.config.get().callers {
            return String::new();
        }
        let name = self.name(address);
        self.place_of(|event| is_call(&event.what, ddis, name))
    }
}

/// Whether an event is one of these calls, with this object as the first argument.
fn is_call(what: &What, ddis: &[Ddi], object: Name) -> bool {
    match what {
        What::Call { ddi, arguments, .. } => {
            ddis.contains(ddi) && arguments.first() == Some(&Value::Pointer(object))
        }
        _ => false,
    }
}
