//! What lasts: who runs, IRQLs, programs, DPCs, polls, waits for spin locks.

extern crate alloc;

use alloc::{
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use serde::Serialize;

use super::super::{
    event::{Event, What},
    mark::{Mark, MarkKind},
};
use crate::verifier::bugcheck::irql_name;

/// Something that lasts from an event to another, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Span {
    pub(super) cpu: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: Kind,
    pub(super) irql: u8,
    pub(super) label: String,
}

/// What lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The processor is at an IRQL, running or not.
    Irql,
    /// The processor is the one that runs.
    Run,
    /// A program.
    Program,
    /// A DPC routine.
    Dpc,
    /// A poll, by the program's marks.
    Poll,
    /// The processor waits for a spin lock.
    Wait,
}

/// One processor's spans in the making.
#[derive(Default)]
struct Lane {
    /// Begun and not ended, innermost last.
    open: Vec<Span>,
}

impl Lane {
    /// The innermost open span of a kind ends at `to`.
    fn close(&mut self, kind: Kind, to: usize) -> Option<Span> {
        let position = self.open.iter().rposition(|span| span.kind == kind)?;
        let span = self.open.remove(position);
        Some(Span { to, ..span })
    }
}

/// All spans, in the order of their kinds and then of their beginnings.
pub(super) fn find(events: &[Event]) -> Vec<Span> {
    let mut lanes: BTreeMap<usize, Lane> = BTreeMap::new();
    let mut spans = Vec::new();
    let mut running: Option<usize> = None;
    for (index, event) in events.iter().enumerate() {
        let (cpu, irql) = (event.processor, event.irql);
        let span = |kind, label| Span { cpu, from: index, to: index, kind, irql, label };
        if running != Some(cpu) {
            let before = running.and_then(|before| lanes.get_mut(&before));
            spans.extend(before.and_then(|lane| lane.close(Kind::Run, index.saturating_sub(1))));
            lanes.entry(cpu).or_default().open.push(span(Kind::Run, String::new()));
            running = Some(cpu);
        }
        let lane = lanes.entry(cpu).or_default();
        // It goes on: what it waited for has come.
        spans.extend(lane.close(Kind::Wait, index));
        let band = lane.open.iter().find(|span| span.kind == Kind::Irql);
        if band.is_none_or(|band| band.irql != irql) {
            spans.extend(lane.close(Kind::Irql, index.saturating_sub(1)));
            let label = alloc::format!("IRQL {irql}, {}", irql_name(irql));
            lane.open.push(span(Kind::Irql, label));
        }
        match &event.what {
            What::ProgramStart => lane.open.push(span(Kind::Program, "program".into())),
            What::ProgramEnd => spans.extend(lane.close(Kind::Program, index)),
            What::DpcStart { dpc, .. } => lane.open.push(span(Kind::Dpc, alloc::format!("DPC {dpc}"))),
            What::DpcEnd { .. } => spans.extend(lane.close(Kind::Dpc, index)),
            What::Mark(Mark { kind: MarkKind::PollStart, subject, .. }) => {
                if let Some(dpc) = lane.open.iter_mut().rfind(|span| span.kind == Kind::Dpc)
                    && !dpc.label.ends_with(subject.as_str())
                {
                    dpc.label.push_str(" · ");
                    dpc.label.push_str(subject);
                }
                lane.open.push(span(Kind::Poll, subject.clone()));
            }
            What::Mark(Mark { kind: MarkKind::PollEnd, .. }) => spans.extend(lane.close(Kind::Poll, index)),
            What::Wait { object, .. } => lane.open.push(span(Kind::Wait, object.to_string())),
            _ => {}
        }
    }
    let last = events.len().saturating_sub(1);
    spans.extend(lanes.into_values().flat_map(|lane| lane.open).map(|span| Span { to: last, ..span }));
    spans.sort_by_key(|span| (span.kind, span.from));
    spans
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{
            event::{Event, What},
            mark::{Mark, MarkKind},
            name::Name,
        },
        Kind, find,
    };
    use crate::verifier::irql::Ddi;

    fn events(list: Vec<(usize, u8, What)>) -> Vec<Event> {
        list.into_iter()
            .map(|(processor, irql, what)| Event { step: 0, time: 0, processor, irql, what })
            .collect()
    }

    #[test]
    fn spans_nest_are_split_and_go_on_to_the_end() {
        let (dpc, routine) = (Name::Object(0), Name::Object(1));
        let mark = |kind| What::Mark(Mark::new(kind, "task"));
        let list = events(vec![
            (0, 0, What::ProgramStart),
            (0, 2, What::DpcStart { dpc, routine }),
            (0, 2, mark(MarkKind::PollStart)),
            (1, 0, What::ProgramStart),
            (1, 2, What::Wait { ddi: Ddi::KeAcquireSpinLockRaiseToDpc, object: Name::Object(2) }),
            (0, 2, What::Switch { to: 0 }),
            (0, 2, mark(MarkKind::PollEnd)),
            (0, 2, What::DpcEnd { dpc }),
            (1, 2, What::Switch { to: 1 }),
            (0, 0, What::ProgramEnd),
            (1, 2, What::Note("on and on".into())),
        ]);
        let found = find(&list);
        let of = |kind| {
            let spans = found.iter().filter(move |span| span.kind == kind);
            spans.map(|span| (span.cpu, span.from, span.to)).collect::<Vec<_>>()
        };
        assert_eq!(of(Kind::Program), [(0, 0, 9), (1, 3, 10)]);
        assert_eq!(of(Kind::Dpc), [(0, 1, 7)]);
        assert_eq!(of(Kind::Poll), [(0, 2, 6)]);
        assert_eq!(of(Kind::Wait), [(1, 4, 8)]);
        assert_eq!(of(Kind::Run), [(0, 0, 2), (1, 3, 4), (0, 5, 7), (1, 8, 8), (0, 9, 9), (1, 10, 10)]);
        assert_eq!(of(Kind::Irql), [(0, 0, 0), (0, 1, 8), (1, 3, 3), (1, 4, 10), (0, 9, 10)]);
        let poll = found.iter().find(|span| span.kind == Kind::Poll).unwrap();
        assert_eq!((poll.label.as_str(), poll.irql), ("task", 2));
        let dpc = found.iter().find(|span| span.kind == Kind::Dpc).unwrap();
        assert_eq!(dpc.label, "DPC object0 · task", "what is polled in it");
    }

    #[test]
    fn ends_without_beginnings_are_nothing() {
        let list = events(vec![(0, 0, What::ProgramEnd), (0, 0, What::DpcEnd { dpc: Name::Null })]);
        assert!(find(&list).iter().all(|span| matches!(span.kind, Kind::Run | Kind::Irql)));
        assert!(find(&[]).is_empty());
    }
}
