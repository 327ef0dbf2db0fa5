//! Asks the machine's schedule, and records its decisions.

extern crate alloc;

use alloc::string::String;

use super::{
    choice::{Next, PointKind},
    explore::search::SchedulePoint,
    identity::mixed,
    machine::Machine,
    recording::Decision,
    replay::RunDigest,
    schedule::Source,
};

impl Machine {
    /// Asks the schedule which of several runnable processors runs.
    pub(crate) fn ask_schedule(&self, runnable: u64, kind: PointKind) -> Result<Next, String> {
        let (current, mut schedule) = (self.current.get(), self.scheduling.schedule.borrow_mut());
        if let Source::Follow(follower) = &mut schedule.source {
            let forced = self.clock.is_woken() || matches!(kind, PointKind::Woken | PointKind::Switch);
            return Ok(follower.run(
                runnable,
                current,
                kind,
                forced,
                self.recorder.borrow().trace().events(),
            ));
        }
        let Source::Explore(search) = &mut schedule.source else {
            return schedule.run(runnable, current, kind, self.digest());
        };
        let (timed, recorder) = (self.timed(), self.recorder.borrow());
        search.run(&SchedulePoint {
            runnable,
            current,
            running: self.control.inside.get(),
            kind,
            events: recorder.trace().events(),
            named: recorder.named(),
            timed,
        })
    }

    /// Whether the schedule is asked before the return of a call-out.
    pub(crate) fn asks_at_return(&self) -> bool {
        self.scheduling.schedule.borrow().asks_at_return(self.digest())
    }

    /// Records that the schedule was not asked, because only one processor could run.
    pub(crate) fn not_asked(&self, only: usize) {
        let mut schedule = self.scheduling.schedule.borrow_mut();
        schedule.unbroken = false;
        if let Source::Guide(guide) = &mut schedule.source {
            guide.runs(only, self.clock.steps());
        }
    }

    /// Chooses one of a processor's threads, from 0. The last one already runs unless the processor
    /// is vacant.
    pub(crate) fn choose_thread(&self, options: u8, vacant: bool) -> u8 {
        if let (false, Source::Follow(follower)) = (vacant, &mut self.scheduling.schedule.borrow_mut().source)
        {
            follower.next_is_thread();
        }
        self.choose(options)
    }

    /// While tracing, records the place of a decision among the events.
    pub(crate) fn note_decision(&self, decision: Decision) {
        if self.tracing.get() {
            let events = self.recorder.borrow().trace().events().len();
            self.scheduling.ordered.borrow_mut().push((events, decision));
        }
    }

    /// Records which processor runs. If the schedule is asked at every point, successive decisions
    /// for the same processor are joined. The point at which it was asked counts, too, if it is one
    /// that counts.
    pub(crate) fn record_run(&self, processor: usize, points: u32, kind: PointKind) {
        let decision = match kind {
            PointKind::After => Decision::After { processor: processor as u8, points },
            PointKind::Woken => Decision::Woken { processor: processor as u8, points },
            _ => Decision::Run { processor: processor as u8, points },
        };
        self.note_decision(decision);
        let mut schedule = self.scheduling.schedule.borrow_mut();
        let goes_on =
            self.control.inside.get() && processor == self.current.get() && kind == PointKind::Before;
        let join = schedule.is_fine() && core::mem::replace(&mut schedule.unbroken, true) && goes_on;
        let mut decisions = self.scheduling.decisions.borrow_mut();
        if let (true, Some(last)) = (join, decisions.last_mut())
            && last.join(processor, points)
        {
            return;
        }
        decisions.push(decision, self.digest().hash);
    }

    /// A summary of the program's actions so far.
    pub(crate) fn digest(&self) -> RunDigest {
        let (counts, mut hash) = (&self.counts, self.calls.get());
        let atomics = [&counts.loads, &counts.stores, &counts.rmw].map(crate::counters::Count::get);
        let step = self.clock.steps();
        for number in atomics.into_iter().chain([step, self.current.get() as u64]) {
            hash = mixed(hash, number);
        }
        let short = |hash: u64| (hash >> 32) as u32 | 1;
        RunDigest { hash: short(mixed(hash, self.identities.hash())), hash_2: short(hash), step }
    }
}
