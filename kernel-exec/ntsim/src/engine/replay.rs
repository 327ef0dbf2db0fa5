//! Replays a recording: makes its decisions in order, and checks that the program is the recorded
//! one.

extern crate alloc;

use alloc::string::String;

use super::{
    choice::{Next, PointKind},
    recording::{Decision, Recording},
};

/// A summary of the program's actions so far.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct RunDigest {
    /// A hash of the kernel calls, their steps, the number of atomic operations of each kind, and
    /// the atomics that they used. Never 0.
    pub(crate) hash: u32,
    /// The same without the atomics: what recordings of version 2 have.
    pub(crate) hash_2: u32,
    pub(crate) step: u64,
}

/// A recording in replay.
#[derive(Debug, Clone)]
pub(crate) struct Player {
    recording: Recording,
    /// The number of the next decision.
    position: usize,
    /// How many runs have ended.
    runs: usize,
}

impl Player {
    pub(crate) fn new(recording: Recording) -> Self {
        Self { recording, position: 0, runs: 0 }
    }

    /// What the recording's version says of a program.
    fn hash_of(&self, digest: RunDigest) -> u32 {
        if self.recording.is_of_version_2() { digest.hash_2 } else { digest.hash }
    }

    /// The next decision about which processor runs, and its number.
    fn next_numbered(&self) -> Option<(usize, &Decision)> {
        let mut rest = self.recording.decisions().iter().enumerate().skip(self.position);
        rest.find(|(_, decision)| !matches!(decision, Decision::Choice { .. }))
    }

    fn next_run(&self) -> Option<&Decision> {
        self.next_numbered().map(|(_, decision)| decision)
    }

    /// Whether the next decision about which processor runs was made here, before the return of a
    /// call-out. Before the next call there is one step more, and so another hash.
    pub(crate) fn asks_at_return(&self, digest: RunDigest) -> bool {
        let next = self.next_numbered().and_then(|(number, _)| self.recording.hash(number));
        next.is_none_or(|hash| hash == self.hash_of(digest))
    }

    /// Whether the running processor, which was alone until now, is to be stopped behind the call.
    pub(crate) fn asks_early(&self) -> bool {
        matches!(self.next_run(), Some(Decision::Woken { .. }))
    }

    pub(crate) fn run(&mut self, runnable: u64, kind: PointKind, digest: RunDigest) -> Result<Next, String> {
        let number = self.next(digest)?;
        let recorded = self.recording.decisions().get(number);
        let (processor, points, behind) = match recorded {
            Some(&Decision::Run { processor, points }) => (processor, points, false),
            Some(&(Decision::After { processor, points } | Decision::Woken { processor, points })) => {
                (processor, points, true)
            }
            other => return Err(misfit(number, "a processor", other)),
        };
        if runnable >> processor & 1 == 0 {
            return Err(alloc::format!("decision {number}: processor {processor} is not runnable"));
        }
        if kind.is_behind() != behind {
            let where_it_is = if kind.is_behind() { "behind" } else { "before" };
            return Err(misfit(number, &alloc::format!("a processor, {where_it_is} a call"), recorded));
        }
        // The next decision says whether this slice ends behind a call.
        let early = matches!(self.next_run(), Some(Decision::After { .. }));
        Ok(Next { processor: processor.into(), points, early })
    }

    pub(crate) fn choose(&mut self, options: u8, digest: RunDigest) -> Result<u8, String> {
        let number = self.next(digest)?;
        match self.recording.decisions().get(number) {
            Some(decision @ Decision::Choice { options: recorded, taken }) => {
                if *recorded == options {
                    Ok(*taken)
                } else {
                    Err(misfit(number, "a choice of another number of possibilities", Some(decision)))
                }
            }
            other => Err(misfit(number, "a choice", other)),
        }
    }

    /// The number of the next decision. The program's actions before it must equal the recorded
    /// ones.
    fn next(&mut self, digest: RunDigest) -> Result<usize, String> {
        let number = self.position;
        self.position += 1;
        match self.recording.hash(number) {
            Some(hash) if hash != self.hash_of(digest) => Err(other_events(number, digest)),
            _ => Ok(number),
        }
    }

    /// Checks the end of a run that has ended well.
    pub(crate) fn end(&mut self, digest: RunDigest) -> Result<(), String> {
        let recorded = self.recording.ends().get(self.runs).copied();
        self.runs += 1;
        let known = !self.recording.ends().is_empty() || self.recording.hash(0).is_some();
        let until = recorded.map_or(self.recording.decisions().len(), |end| end.decisions);
        if known && self.position < until {
            return Err(self.left_over(until));
        }
        match recorded {
            Some(end)
                if end.decisions != self.position || (end.hash != 0 && end.hash != self.hash_of(digest)) =>
            {
                Err(other_events(self.position, digest))
            }
            _ => Ok(()),
        }
    }

    /// Checks at unload that no recorded decision is left.
    pub(crate) fn unloaded(&self) -> Result<(), String> {
        let until = self.recording.decisions().len();
        if self.position < until { Err(self.left_over(until)) } else { Ok(()) }
    }

    fn left_over(&self, until: usize) -> String {
        let (position, left) = (self.position, until - self.position);
        alloc::format!(
            "decision {position}: the run has ended, and {left} recorded decision(s) are left over"
        )
    }
}

fn other_events(number: usize, RunDigest { step, .. }: RunDigest) -> String {
    alloc::format!(
        "decision {number}: at step {step}, the program has done something else since the decision before than when it was recorded"
    )
}

fn misfit(number: usize, asked: &str, recorded: Option<&Decision>) -> String {
    match recorded {
        Some(decision) => alloc::format!("decision {number}: asked for {asked}, recorded is {decision:?}"),
        None => alloc::format!("decision {number}: asked for {asked}, but the recording has ended"),
    }
}
