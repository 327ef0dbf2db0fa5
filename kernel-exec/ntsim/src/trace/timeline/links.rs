//! Arrows of the timeline, from causes to effects.

extern crate alloc;

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::Serialize;

use super::super::{
    event::{Event, What},
    mark::{Mark, MarkKind},
    name::Name,
    value::Value,
};
use crate::verifier::irql::Ddi;

/// An arrow from an event to a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: LinkKind,
}

/// The meaning of an arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LinkKind {
    /// From a wake or a spawn to the poll that it requests.
    Wake,
    /// From a cancel request to the next poll.
    Cancel,
    /// From the insertion of a DPC or a timer's expiry to the DPC's run.
    Dpc,
    /// From the queueing of a work item to its run.
    Work,
    /// From the setting of a timer to its expiry, and from there to the next expiry.
    Timer,
    /// From the release of a spin lock to the processor that waited for it.
    Lock,
}

/// The causes that have not had their effect yet.
#[derive(Default)]
struct Causes<'a> {
    polls: BTreeMap<&'a str, Vec<(usize, LinkKind)>>,
    dpcs: BTreeMap<String, usize>,
    work_items: BTreeMap<String, usize>,
    /// For each timer, the call that set it or its last expiry since then, and its DPC.
    timers: BTreeMap<String, (usize, Name)>,
    releases: BTreeMap<String, usize>,
    /// For each processor, the lock that it waits for.
    waits: BTreeMap<usize, String>,
}

/// All arrows, in the order of their effects.
pub(super) fn find(events: &[Event]) -> Vec<Link> {
    let mut causes = Causes::default();
    let mut links = Vec::new();
    for (to, event) in events.iter().enumerate() {
        if let Some(lock) = causes.waits.remove(&event.processor)
            && let Some(&from) = causes.releases.get(&lock)
        {
            links.push(Link { from, to, kind: LinkKind::Lock });
        }
        match &event.what {
            What::Mark(mark) => causes.mark(to, mark, &mut links),
            What::Call { ddi, arguments, result } => causes.call(to, *ddi, arguments, *result),
            What::DpcStart { dpc, .. } => {
                let cause = causes.dpcs.remove(&String::from(*dpc));
                links.extend(cause.map(|from| Link { from, to, kind: LinkKind::Dpc }));
            }
            What::WorkStart { item, .. } => {
                let cause = causes.work_items.remove(&String::from(*item));
                links.extend(cause.map(|from| Link { from, to, kind: LinkKind::Work }));
            }
            What::TimerExpired { object } => {
                if let Some((from, dpc)) = causes.timers.get_mut(&String::from(*object)) {
                    links.push(Link { from: *from, to, kind: LinkKind::Timer });
                    causes.dpcs.insert((*dpc).into(), to);
                    // The expiry of a periodic timer causes the next one.
                    *from = to;
                }
            }
            What::Wait { object, .. } => {
                causes.waits.insert(event.processor, (*object).into());
            }
            _ => {}
        }
    }
    links
}

impl<'a> Causes<'a> {
    fn mark(&mut self, at: usize, mark: &'a Mark, links: &mut Vec<Link>) {
        let polls = self.polls.entry(mark.subject.as_str()).or_default();
        match mark.kind {
            MarkKind::Wake | MarkKind::Spawn => polls.push((at, LinkKind::Wake)),
            MarkKind::Cancel => polls.push((at, LinkKind::Cancel)),
            MarkKind::PollStart => {
                links.extend(polls.drain(..).map(|(from, kind)| Link { from, to: at, kind }));
            }
            _ => {}
        }
    }

    fn call(&mut self, at: usize, ddi: Ddi, arguments: &[Value], result: Option<Value>) {
        let pointer = |index: usize| match arguments.get(index) {
            Some(Value::Pointer(name)) => Some(*name),
            _ => None,
        };
        let Some(object) = pointer(0).map(String::from) else { return };
        let yes = result == Some(Value::Boolean(true));
        match ddi {
            Ddi::KeInsertQueueDpc if yes => _ = self.dpcs.insert(object, at),
            Ddi::KeRemoveQueueDpc if yes => _ = self.dpcs.remove(&object),
            Ddi::IoQueueWorkItem | Ddi::IoQueueWorkItemEx | Ddi::ExQueueWorkItem => {
                self.work_items.insert(object, at);
            }
            Ddi::KeSetTimer | Ddi::KeSetTimerEx | Ddi::KeSetCoalescableTimer => {
                let dpc = arguments.iter().rev().find_map(|value| match value {
                    Value::Pointer(name) => Some(*name),
                    _ => None,
                });
                self.timers.insert(object, (at, dpc.unwrap_or(Name::Null)));
            }
            Ddi::KeCancelTimer if yes => _ = self.timers.remove(&object),
            Ddi::KeReleaseSpinLock | Ddi::KeReleaseSpinLockFromDpcLevel => {
                self.releases.insert(object, at);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            event::{Event, What},
            mark::{Mark, MarkKind},
            name::Name,
            value::Value,
        },
        LinkKind, find,
    };
    use crate::verifier::irql::Ddi;

    fn links(list: Vec<(usize, What)>) -> Vec<(usize, usize, LinkKind)> {
        let events: Vec<Event> = list
            .into_iter()
            .map(|(processor, what)| Event { step: 0, time: 0, processor, irql: 0, what, caller: None })
            .collect();
        find(&events).into_iter().map(|link| (link.from, link.to, link.kind)).collect()
    }

    fn mark(kind: MarkKind, subject: &str) -> What {
        What::Mark(Mark::new(kind, subject))
    }

    fn call(ddi: Ddi, arguments: &[u32], result: bool) -> What {
        let arguments = arguments.iter().map(|number| Value::Pointer(Name::Object(*number))).collect();
        What::Call { ddi, arguments, result: Some(Value::Boolean(result)) }
    }

    #[test]
    fn wakes_lead_to_the_next_poll_of_what_they_wake() {
        let found = links(vec![
            (0, mark(MarkKind::Spawn, "a")),
            (1, mark(MarkKind::Wake, "b")),
            (1, mark(MarkKind::PollStart, "a")),
            (0, mark(MarkKind::Wake, "a")),
            (0, mark(MarkKind::Cancel, "a")),
            (1, mark(MarkKind::PollEnd, "a")),
            (1, mark(MarkKind::PollStart, "a")),
            (1, mark(MarkKind::PollStart, "a")),
        ]);
        assert_eq!(found, [(0, 2, LinkKind::Wake), (3, 6, LinkKind::Wake), (4, 6, LinkKind::Cancel)]);
    }

    #[test]
    fn a_dpc_runs_because_of_its_insertion_or_its_timer() {
        let start = |dpc| What::DpcStart { dpc: Name::Object(dpc), routine: Name::Null };
        let found = links(vec![
            (0, call(Ddi::KeInsertQueueDpc, &[1], true)),
            (0, call(Ddi::KeInsertQueueDpc, &[1], false)),
            (1, start(1)),
            (0, call(Ddi::KeSetTimer, &[2, 3], false)),
            (1, What::TimerExpired { object: Name::Object(2) }),
            (1, start(3)),
            (0, call(Ddi::KeInsertQueueDpc, &[1], true)),
            (0, call(Ddi::KeRemoveQueueDpc, &[1], true)),
            (0, call(Ddi::KeSetTimer, &[2, 3], false)),
            (0, call(Ddi::KeCancelTimer, &[2], true)),
            (1, start(1)),
        ]);
        assert_eq!(found, [(0, 2, LinkKind::Dpc), (3, 4, LinkKind::Timer), (4, 5, LinkKind::Dpc)]);
    }

    #[test]
    fn a_coalescable_timer_expires_because_it_was_set() {
        let set = call(Ddi::KeSetCoalescableTimer, &[2, 3], false);
        let found = links(vec![(0, set), (1, What::TimerExpired { object: Name::Object(2) })]);
        assert_eq!(found, [(0, 1, LinkKind::Timer)]);
    }

    #[test]
    fn a_periodic_timer_expires_again_because_it_has_expired() {
        let (expired, start) = (
            || (1, What::TimerExpired { object: Name::Object(2) }),
            || (1, What::DpcStart { dpc: Name::Object(3), routine: Name::Null }),
        );
        let set = (0, call(Ddi::KeSetTimerEx, &[2, 3], false));
        let found = links(vec![set, expired(), start(), expired(), start()]);
        assert_eq!(
            found,
            [(0, 1, LinkKind::Timer), (1, 2, LinkKind::Dpc), (1, 3, LinkKind::Timer), (3, 4, LinkKind::Dpc)]
        );
    }

    #[test]
    fn a_work_item_runs_because_it_was_queued() {
        let start = |item| What::WorkStart { item: Name::Object(item), routine: Name::Null };
        for ddi in [Ddi::IoQueueWorkItem, Ddi::IoQueueWorkItemEx, Ddi::ExQueueWorkItem] {
            let found =
                links(vec![(0, call(ddi, &[1, 9], true)), (1, start(2)), (1, start(1)), (1, start(1))]);
            assert_eq!(found, [(0, 2, LinkKind::Work)]);
        }
    }

    #[test]
    fn a_thread_that_waited_for_a_lock_goes_on_because_of_its_release() {
        let wait = What::Wait { ddi: Ddi::KeAcquireSpinLockRaiseToDpc, object: Name::Object(1) };
        let found = links(vec![
            (0, wait),
            (1, call(Ddi::KeReleaseSpinLock, &[1], true)),
            (0, What::Switch { to: 0 }),
            (0, What::Switch { to: 0 }),
        ]);
        assert_eq!(found, [(1, 2, LinkKind::Lock)]);
    }
}
