//! Bounded exhaustive exploration: every schedule of a program within a bound, one after the other.
//!
//! What is guaranteed is said at [`explore`].
//!
//! # Why pruning is sound within a bound `[S1]`
//!
//! Pruning is by sleep sets (Godefroid, Partial-Order Methods for the Verification of Concurrent Systems, 1996): after a step `z` of
//! some processor has been explored from a node, it sleeps in the subtrees of that node's other possibilities, until a step that
//! cannot change places with it wakes it. What is pruned is a schedule `u1 … uk z w`, in favour of `z u1 … uk w`. Sleep sets
//! alone do not respect a bound, because the second may have more preemptions than the first (Coons, Musuvathi, McKinley: Bounded
//! partial-order reduction, OOPSLA 2013). So with a bound only the step of the processor `c` that was running and could go on is put
//! to sleep. Then the pruned schedule preempts `c` for `u1`, and it preempts `uk`, if it can go on, for `z`. The other preempts `c`
//! for `u1`, if `c` can still go on after `z`, and `uk`, if it can go on, for `w` unless it is its own: no more of them.
//! As the replacement comes earlier in the order of the search, replacing ends.
//!
//! # Points behind calls `[S2]`
//!
//! Between the point behind a call and the next point of its processor lies only the driver's own
//! code. Where plain memory is not explored, that code touches nothing that another processor does,
//! so the two points are one, and the search is asked at the second one. Where it is explored, the
//! search is asked at both. With pruning the processor then sleeps at the first one from its second
//! possibility on, whatever the others do: so each of these points costs one run, in which the
//! others go on there for as long as they can, and everything else that follows from it is what
//! follows from the second point.

mod footprint;
pub(crate) mod search;

extern crate alloc;

use self::search::{Bounds, Rest, Search};
use super::{recording::Recording, schedule::Schedule};
use crate::{config::Config, simulation::Simulation, trace::Trace, verifier::stop::Stop};

/// How far an exploration goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Preemptions in a schedule; `None`: any number. Most races need one or two. Default 2.
    pub preemptions: Option<u32>,
    /// Decisions in a schedule: from then on a run goes on by round robin, which is fair, so that programs that wait for each
    /// other end; the exploration is then not complete. Default 10,000.
    pub decisions: usize,
    /// Decisions in a row that let one processor go on while another one can run. Then it gives way
    /// to the next one, which is no preemption, so that a loop that waits for another processor at
    /// preemption points ends, in every run at the same place. The exploration is then not
    /// complete. Default 1,000.
    pub fairness: usize,
    /// Runs. Default 1,000,000.
    pub runs: u64,
    /// Leaves out schedules that differ from others only in the order of steps that can change places. Default yes.
    pub prune: bool,
    /// The driver shares plain memory between its routines, or frees some that another routine may
    /// still be in: it may be preempted between a call and its own code that follows, too. With
    /// [`Config::special_pool`] it always may. Default no.
    pub plain_memory: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            preemptions: Some(2),
            decisions: 10_000,
            fairness: 1_000,
            runs: 1_000_000,
            prune: true,
            plain_memory: false,
        }
    }
}

/// What an exploration has found out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exploration {
    /// Runs of the program.
    pub runs: u64,
    /// Those of them that turned out, in their middle, to be like an earlier one.
    pub redundant: u64,
    /// Nothing was left out but for the bound on preemptions: neither were there more runs to make,
    /// nor was one too long, nor did a processor have to give way by [`Limits::fairness`].
    pub complete: bool,
    /// The first run that ended early.
    pub finding: Option<Finding>,
}

/// A run that ended early.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// Why.
    pub stop: Stop,
    /// Its decisions: [`Schedule::replay`] makes the same run of them.
    pub recording: Recording,
    /// Its events.
    pub trace: Trace,
}

/// Runs a program under every schedule within the limits, and stops at the first finding.
///
/// `round` is the program: it makes everything anew, runs it on the simulation that it is given, which has been reset, and returns
/// how that went. It may run several programs one after the other, and unload. Traces are collected whatever `config` says.
///
/// # What is guaranteed
///
/// A *schedule* is what is decided in a run: at each preemption point where more than one processor can run, which of them does; and
/// each choice that NT leaves open. There is a point before each call and each atomic operation,
/// and before the return of each call-out. A point behind a call and the next one are one, but with
/// [`Limits::plain_memory`] or special pool. A *preemption* is a decision for another processor
/// than the one that is running and could go on. If [`Exploration::complete`] says so and nothing
/// was found, then:
///
/// - without [`Limits::prune`], every schedule with at most [`Limits::preemptions`] preemptions has been run;
/// - with it, for every such schedule one has been run that has no more preemptions and differs only in the order of
///   neighbouring steps that can change places: such that neither touches the kernel, or writes to an atomic or cell that the
///   other touches. It ends in the same state, and in every such step sees the same.
///
/// The second rests on what a step touches being in the trace: DDIs, [`sync`](crate::sync). A race through plain memory between two
/// preemption points is not seen by it; nor is it by any schedule, because such accesses are atomic to the simulation, but
/// the *order* of two steps may matter through it. Explore programs that share plain memory without
/// `sync` with [`Limits::plain_memory`], and without pruning: with it, a processor that is
/// preempted behind a call goes on when no other one can, or at its next point.
///
/// The program must be the same in every run: else the exploration ends with a failure of oracle `replay`.
///
/// ```
/// use std::rc::Rc;
///
/// use ntsim::{
///     Config, Limits, explore,
///     sync::{AtomicU32, Ordering::SeqCst},
/// };
///
/// let explored = explore(Config { processors: 2, ..Config::default() }, Limits::default(), |kernel| {
///     let counter = Rc::new(AtomicU32::new(0));
///     let increment = |processor| {
///         let counter = Rc::clone(&counter);
///         let program: ntsim::Program = Box::new(move || counter.store(counter.load(SeqCst) + 1, SeqCst));
///         (processor, program)
///     };
///     kernel.run(vec![increment(0), increment(1)])?;
///     kernel.run(vec![(0, Box::new(move || {
///         if counter.load(SeqCst) != 2 {
///             ntsim::fail("counter", "an update was lost".into());
///         }
///     }))])
/// });
/// let finding = explored.finding.expect("the increments are not atomic");
/// assert_eq!(finding.stop.to_string(), "counter: an update was lost");
/// ```
///
/// # Panics
/// As for [`Simulation::new`]; and what panics in `round` passes by.
pub fn explore(
    config: Config,
    limits: Limits,
    mut round: impl FnMut(&mut Simulation) -> Result<(), Stop>,
) -> Exploration {
    let config = Config { trace: true, ..config };
    let Limits { preemptions, decisions, fairness, prune, .. } = limits;
    let plain_memory = limits.plain_memory || config.special_pool;
    let bounds = Bounds { preemptions, decisions, fairness, prune, plain_memory };
    let mut kernel = Simulation::new(config, Schedule::round_robin());
    let mut search = Search::new(bounds);
    let mut explored = Exploration { runs: 0, redundant: 0, complete: true, finding: None };
    loop {
        if explored.runs == limits.runs {
            explored.complete = false;
            return explored;
        }
        kernel.reset(config, Schedule::explore(search));
        let outcome = round(&mut kernel);
        explored.runs += 1;
        let walked = outcome.and_then(|()| {
            let failed = |message| Stop::Failure { oracle: "replay", message };
            let walked = kernel.take_schedule().into_search();
            let mut walked =
                walked.ok_or_else(|| failed("the program has reset the simulation itself".into()))?;
            walked.finish(kernel.trace().events()).map_err(failed)?;
            Ok(walked)
        });
        let mut walked = match walked {
            Ok(walked) => walked,
            Err(stop) => {
                explored.complete = false;
                let (recording, trace) = (kernel.recording(), kernel.trace().clone());
                explored.finding = Some(Finding { stop, recording, trace });
                return explored;
            }
        };
        explored.complete &= !walked.gave_way();
        match walked.rest() {
            Some(Rest::Redundant) => explored.redundant += 1,
            Some(Rest::TooLong) => explored.complete = false,
            None => {}
        }
        if !walked.advance() {
            return explored;
        }
        search = walked;
    }
}
