//! Spans of the timeline: running processors, IRQLs, programs and threads, work items, DPCs, polls,
//! and waits for spin locks.
//!
//! A thread's span lasts only while a processor runs the thread. A wait cuts it in pieces, and the
//! next piece may be on another processor.

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
use crate::{kernel::thread::ThreadName, verifier::irql::irql_name};

/// A period from one event to another, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Span {
    pub(super) cpu: usize,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: Kind,
    pub(super) irql: u8,
    pub(super) label: String,
}

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The processor is at an IRQL, running or not.
    Irql,
    /// The processor is the one that runs.
    Run,
    /// A program.
    Program,
    /// A system thread.
    Thread,
    /// A work item's routine.
    Work,
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
    /// The spans that have begun and not ended, innermost last.
    open: Vec<Span>,
}

impl Kind {
    /// Whether the span is on the stack of a thread, and so moves with the thread.
    fn is_of_thread(self) -> bool {
        matches!(self, Self::Program | Self::Thread | Self::Work | Self::Poll)
    }
}

impl Lane {
    /// Removes the open spans of the thread that leaves the processor, and ends them at `to`.
    fn leave(&mut self, to: usize) -> Vec<Span> {
        let left = self.open.extract_if(.., |span| span.kind.is_of_thread());
        left.map(|span| Span { to, ..span }).collect()
    }

    /// Ends the innermost open span of a kind at `to`.
    fn close(&mut self, kind: Kind, to: usize) -> Option<Span> {
        let position = self.open.iter().rposition(|span| span.kind == kind)?;
        let span = self.open.remove(position);
        Some(Span { to, ..span })
    }
}

/// The thread of each processor, and the spans of threads that do not run.
#[derive(Default)]
struct ThreadSpans {
    current: BTreeMap<usize, ThreadName>,
    aside: BTreeMap<ThreadName, Vec<Span>>,
}

impl ThreadSpans {
    /// Takes a processor's thread off it. Returns the pieces that end with this.
    fn leave(&mut self, processor: usize, lane: &mut Lane, to: usize) -> Vec<Span> {
        let pieces = lane.leave(to);
        // Before the first such event the program runs.
        let thread = self.current.remove(&processor).unwrap_or(ThreadName::Program(processor));
        if !pieces.is_empty() {
            self.aside.insert(thread, pieces.clone());
        }
        pieces
    }

    /// Puts a thread on a processor, and continues the thread's spans.
    fn arrive(&mut self, processor: usize, thread: ThreadName, lane: &mut Lane, new: Span) {
        let Span { from, irql, .. } = new;
        self.current.insert(processor, thread);
        let known = self.aside.remove(&thread).unwrap_or_default();
        if known.is_empty() && matches!(thread, ThreadName::System(_)) {
            lane.open.push(Span { cpu: processor, ..new });
        }
        lane.open.extend(known.into_iter().map(|span| Span { cpu: processor, from, irql, ..span }));
    }

    /// Forgets a thread that has ended.
    fn end(&mut self, thread: ThreadName) {
        self.aside.remove(&thread);
        self.current.retain(|_, current| *current != thread);
    }
}

/// All spans, in the order of their kinds and then of their beginnings.
pub(super) fn find(events: &[Event]) -> Vec<Span> {
    let mut lanes: BTreeMap<usize, Lane> = BTreeMap::new();
    let mut spans = Vec::new();
    let mut running: Option<usize> = None;
    let mut threads = ThreadSpans::default();
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
        // The processor goes on, so its wait is over.
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
            What::Thread { processor, thread } => {
                let lane = lanes.entry(*processor).or_default();
                spans.extend(threads.leave(*processor, lane, index));
                threads.arrive(*processor, *thread, lane, span(Kind::Thread, thread.to_string()));
            }
            What::ThreadWait { .. } => spans.extend(threads.leave(cpu, lane, index)),
            What::ThreadEnd { thread } => {
                spans.extend(lane.leave(index));
                threads.end(*thread);
            }
            What::WorkStart { item, .. } => {
                lane.open.push(span(Kind::Work, alloc::format!("work item {item}")))
            }
            What::WorkEnd { .. } => spans.extend(lane.close(Kind::Work, index)),
            What::DpcStart { dpc, .. } => lane.open.push(span(Kind::Dpc, alloc::format!("DPC {dpc}"))),
            What::DpcEnd { .. } => spans.extend(lane.close(Kind::Dpc, index)),
            What::Mark(Mark { kind: MarkKind::PollStart, subject, .. }) => {
                let bar = lane.open.iter_mut().rfind(|span| matches!(span.kind, Kind::Dpc | Kind::Work));
                if let Some(bar) = bar
                    && !bar.label.ends_with(subject.as_str())
                {
                    bar.label.push_str(" · ");
                    bar.label.push_str(subject);
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
    use crate::{kernel::thread::ThreadName, verifier::irql::Ddi};

    fn events(list: Vec<(usize, u8, What)>) -> Vec<Event> {
        list.into_iter()
            .map(|(processor, irql, what)| Event { step: 0, time: 0, processor, irql, what, caller: None })
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
    fn what_a_thread_does_goes_where_it_goes() {
        let (item, routine) = (Name::Object(0), Name::Object(1));
        let goes_on = |processor, thread| What::Thread { processor, thread };
        let (program, worker) = (ThreadName::Program(0), ThreadName::System(1));
        let list = events(vec![
            (0, 0, What::ProgramStart),
            (0, 0, goes_on(0, worker)),
            (0, 0, What::WorkStart { item, routine }),
            (0, 0, What::Mark(Mark::new(MarkKind::PollStart, "task"))),
            (0, 0, What::ThreadWait { thread: worker, ddi: None, objects: Vec::new() }),
            (0, 0, goes_on(0, program)),
            (1, 0, goes_on(1, worker)),
            (1, 0, What::Mark(Mark::new(MarkKind::PollEnd, "task"))),
            (1, 0, What::WorkEnd { item }),
            (1, 0, What::ThreadEnd { thread: worker }),
            (1, 0, goes_on(1, ThreadName::Idle(1))),
            (0, 0, What::ProgramEnd),
        ]);
        let found = find(&list);
        let of = |kind| {
            let spans = found.iter().filter(move |span| span.kind == kind);
            spans.map(|span| (span.cpu, span.from, span.to)).collect::<Vec<_>>()
        };
        assert_eq!(of(Kind::Program), [(0, 0, 1), (0, 5, 11)]);
        assert_eq!(of(Kind::Thread), [(0, 1, 4), (1, 6, 9)]);
        assert_eq!(of(Kind::Work), [(0, 2, 4), (1, 6, 8)]);
        assert_eq!(of(Kind::Poll), [(0, 3, 4), (1, 6, 7)]);
        let labels =
            |kind| found.iter().filter(move |span| span.kind == kind).map(|span| span.label.as_str());
        assert!(labels(Kind::Work).all(|label| label == "work item object0 · task"));
        assert!(labels(Kind::Thread).all(|label| label == "thread 1"));
    }

    #[test]
    fn ends_without_beginnings_are_nothing() {
        let list = events(vec![(0, 0, What::ProgramEnd), (0, 0, What::DpcEnd { dpc: Name::Null })]);
        assert!(find(&list).iter().all(|span| matches!(span.kind, Kind::Run | Kind::Irql)));
        assert!(find(&[]).is_empty());
    }
}
