//! Tracks of the timeline, which show the lives of objects: tasks, IRPs, work items, and the waits
//! of threads.
//!
//! A life is a series of bars without gaps, each for a state. Lives of one kind share a track if
//! they do not overlap.

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
    value::Value,
};
use crate::{kernel::thread::ThreadName, verifier::irql::Ddi};

/// Lives that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Track {
    pub(super) kind: Kind,
    pub(super) bars: Vec<Bar>,
}

/// A state of an object, from one event to another, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Bar {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) state: State,
    pub(super) label: String,
}

/// The kind of a track's objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A task, or another object of a program's marks.
    Task,
    Irp,
    Work,
    /// A thread that waits.
    Thread,
}

/// The state of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// A task waits for a wake.
    Idle,
    /// A task or a work item waits for its turn.
    Queued,
    /// A task is polled, a routine runs, or an IRP is in a driver's dispatch routine.
    Running,
    /// An IRP is marked pending.
    Pending,
    /// A thread waits.
    Waiting,
    /// A thread can run, and waits for a processor.
    Ready,
}

impl State {
    /// The word for the state of an object of a kind.
    fn word(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Idle, _) => "idle",
            (Self::Queued, Kind::Task) => "scheduled",
            (Self::Queued, _) => "queued",
            (Self::Running, Kind::Task) => "polled",
            (Self::Running, Kind::Irp) => "dispatched",
            (Self::Running, _) => "running",
            (Self::Pending, _) => "pending",
            (Self::Waiting, _) => "waiting",
            (Self::Ready, _) => "ready",
        }
    }
}

type Key = (Kind, String);

/// An object that lives.
struct Life {
    bars: Vec<Bar>,
    /// Whether a task was woken in the middle of its poll.
    woken: bool,
}

#[derive(Default)]
struct Lives {
    open: BTreeMap<Key, Life>,
    over: Vec<(Kind, Vec<Bar>)>,
}

/// All tracks, in the order of their kinds and of their beginnings.
pub(super) fn find(events: &[Event]) -> Vec<Track> {
    let mut lives = Lives::default();
    for (at, event) in events.iter().enumerate() {
        match &event.what {
            What::Mark(mark) => lives.mark(at, mark),
            What::Call { ddi, arguments, .. } => lives.call(at, *ddi, arguments),
            What::WorkStart { item, .. } => lives.go_on(at, work(item), State::Running),
            What::WorkEnd { item } => lives.end(at, &work(item)),
            What::ThreadWait { thread, ddi: Some(ddi), objects } => {
                let names: Vec<String> = objects.iter().map(ToString::to_string).collect();
                let what = if names.is_empty() { String::from(ddi.name()) } else { names.join(", ") };
                lives.begin(at, waiter(*thread), State::Waiting);
                lives.describe(&waiter(*thread), &alloc::format!("waits for {what}"));
            }
            What::ThreadReady { thread, .. } => lives.go_on(at, waiter(*thread), State::Ready),
            What::Thread { thread, .. } => lives.end(at, &waiter(*thread)),
            _ => {}
        }
    }
    lives.tracks(events.len().saturating_sub(1))
}

fn work(item: impl ToString) -> Key {
    (Kind::Work, alloc::format!("work item {}", item.to_string()))
}

fn waiter(thread: ThreadName) -> Key {
    (Kind::Thread, thread.to_string())
}

impl Lives {
    fn mark(&mut self, at: usize, mark: &Mark) {
        let key = (Kind::Task, mark.subject.clone());
        match mark.kind {
            MarkKind::Spawn => self.begin(at, key, State::Queued),
            MarkKind::PollStart => self.begin(at, key, State::Running),
            MarkKind::PollEnd => {
                let woken = self.open.get_mut(&key).is_some_and(|life| core::mem::take(&mut life.woken));
                self.go_on(at, key, if woken { State::Queued } else { State::Idle });
            }
            MarkKind::Wake | MarkKind::Cancel => match self.state(&key) {
                Some(State::Idle) => self.go_on(at, key, State::Queued),
                Some(State::Running) => {
                    self.open.entry(key).and_modify(|life| life.woken = true);
                }
                _ => {}
            },
            MarkKind::End => self.end(at, &key),
            MarkKind::Drop | MarkKind::Call => {}
        }
    }

    fn call(&mut self, at: usize, ddi: Ddi, arguments: &[Value]) {
        let named = |number: usize| match arguments.get(number) {
            Some(Value::Pointer(name)) => Some(*name),
            _ => None,
        };
        let irp = |number| named(number).map(|name| (Kind::Irp, alloc::format!("IRP {name}")));
        match ddi {
            Ddi::IofCallDriver => irp(1).into_iter().for_each(|irp| self.begin(at, irp, State::Running)),
            Ddi::IoMarkIrpPending => {
                irp(0).into_iter().for_each(|irp| self.go_on(at, irp, State::Pending));
            }
            Ddi::IofCompleteRequest | Ddi::IoFreeIrp | Ddi::IoReuseIrp => {
                irp(0).iter().for_each(|irp| self.end(at, irp));
            }
            Ddi::IoQueueWorkItem | Ddi::IoQueueWorkItemEx | Ddi::ExQueueWorkItem => {
                named(0).iter().for_each(|item| self.begin(at, work(item), State::Queued));
            }
            _ => {}
        }
    }

    fn state(&self, key: &Key) -> Option<State> {
        self.open.get(key)?.bars.last().map(|bar| bar.state)
    }

    /// Puts an object, which may be new, into a state.
    fn begin(&mut self, at: usize, key: Key, state: State) {
        self.open.entry(key.clone()).or_insert_with(|| Life { bars: Vec::new(), woken: false });
        self.go_on(at, key, state);
    }

    /// Puts an object into a state, if it lives.
    fn go_on(&mut self, at: usize, key: Key, state: State) {
        let label = alloc::format!("{}: {}", key.1, state.word(key.0));
        let Some(life) = self.open.get_mut(&key) else { return };
        if life.bars.last().is_some_and(|bar| bar.state == state) {
            return;
        }
        life.close(at);
        life.bars.push(Bar { from: at, to: at, state, label });
    }

    /// Gives the present bar of an object another label.
    fn describe(&mut self, key: &Key, what: &str) {
        if let Some(bar) = self.open.get_mut(key).and_then(|life| life.bars.last_mut()) {
            bar.label = alloc::format!("{} {what}", key.1);
        }
    }

    fn end(&mut self, at: usize, key: &Key) {
        if let Some(mut life) = self.open.remove(key) {
            life.close(at);
            self.over.push((key.0, life.bars));
        }
    }

    fn tracks(mut self, last: usize) -> Vec<Track> {
        for ((kind, _), mut life) in core::mem::take(&mut self.open) {
            life.close(last);
            self.over.push((kind, life.bars));
        }
        self.over.sort_by_key(|(kind, bars)| (*kind, bars.first().map(|bar| bar.from)));
        let mut tracks: Vec<Track> = Vec::new();
        for (kind, bars) in self.over {
            let from = bars.first().map(|bar| bar.from);
            let is_free =
                |track: &&mut Track| track.kind == kind && track.bars.last().map(|bar| bar.to) < from;
            match tracks.iter_mut().find(is_free) {
                Some(track) => track.bars.extend(bars),
                None => tracks.push(Track { kind, bars }),
            }
        }
        tracks
    }
}

impl Life {
    /// Ends the last bar at an event.
    fn close(&mut self, at: usize) {
        if let Some(bar) = self.bars.last_mut() {
            bar.to = at;
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
        Kind, State, Track, find,
    };
    use crate::{kernel::thread::ThreadName, verifier::irql::Ddi};

    fn tracks(list: Vec<What>) -> Vec<Track> {
        let event = |what| Event { step: 0, time: 0, processor: 0, irql: 0, what, caller: None };
        find(&list.into_iter().map(event).collect::<Vec<_>>())
    }

    fn bars(track: &Track) -> Vec<(usize, usize, State)> {
        track.bars.iter().map(|bar| (bar.from, bar.to, bar.state)).collect()
    }

    fn mark(kind: MarkKind) -> What {
        What::Mark(Mark::new(kind, "task block1"))
    }

    fn call(ddi: Ddi, arguments: &[u32]) -> What {
        let arguments = arguments.iter().map(|number| Value::Pointer(Name::Object(*number))).collect();
        What::Call { ddi, arguments, result: None }
    }

    #[test]
    fn a_task_is_scheduled_polled_and_idle() {
        use MarkKind::{Cancel, End, PollEnd, PollStart, Spawn, Wake};
        let list =
            [Spawn, PollStart, Wake, PollEnd, PollStart, PollEnd, Cancel, PollStart, PollEnd, End, Wake];
        let found = tracks(list.into_iter().map(mark).collect());
        let [track] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            bars(track),
            [
                (0, 1, State::Queued),
                (1, 3, State::Running),
                (3, 4, State::Queued),
                (4, 5, State::Running),
                (5, 6, State::Idle),
                (6, 7, State::Queued),
                (7, 8, State::Running),
                (8, 9, State::Idle),
            ]
        );
        assert_eq!(track.bars[0].label, "task block1: scheduled");
    }

    #[test]
    fn an_irp_is_dispatched_pending_and_completed() {
        let found = tracks(vec![
            call(Ddi::IofCallDriver, &[9, 1]),
            call(Ddi::IoMarkIrpPending, &[1]),
            call(Ddi::IofCallDriver, &[9, 2]),
            call(Ddi::IofCompleteRequest, &[1]),
            call(Ddi::IofCompleteRequest, &[2]),
            call(Ddi::IofCallDriver, &[9, 3]),
        ]);
        let [one, other] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            bars(one),
            [(0, 1, State::Running), (1, 3, State::Pending), (5, 5, State::Running)],
            "the third one comes after the first"
        );
        assert_eq!((other.kind, bars(other)), (Kind::Irp, vec![(2, 4, State::Running)]));
        assert_eq!(one.bars[1].label, "IRP object1: pending");
    }

    #[test]
    fn a_work_item_waits_for_a_worker_and_a_thread_for_an_object() {
        let thread = ThreadName::System(1);
        let found = tracks(vec![
            call(Ddi::IoQueueWorkItem, &[1]),
            What::WorkStart { item: Name::Object(1), routine: Name::Null },
            What::ThreadWait {
                thread,
                ddi: Some(Ddi::KeWaitForSingleObject),
                objects: vec![Name::Object(4)],
            },
            What::ThreadReady { processor: 0, thread },
            What::Thread { processor: 0, thread },
            What::WorkEnd { item: Name::Object(1) },
        ]);
        let [work, waits] = &found[..] else { panic!("{found:?}") };
        assert_eq!(bars(work), [(0, 1, State::Queued), (1, 5, State::Running)]);
        assert_eq!(bars(waits), [(2, 3, State::Waiting), (3, 4, State::Ready)]);
        assert_eq!(waits.bars[0].label, "thread 1 waits for object4");
    }

    #[test]
    fn objects_that_have_ended_do_not_live_again() {
        let end = [MarkKind::PollEnd, MarkKind::Wake, MarkKind::End, MarkKind::Drop];
        let mut list: Vec<What> = end.into_iter().map(mark).collect();
        list.push(call(Ddi::IofCompleteRequest, &[1]));
        list.push(What::WorkEnd { item: Name::Object(1) });
        assert!(tracks(list).is_empty());
    }
}
