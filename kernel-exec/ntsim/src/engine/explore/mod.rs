//! Bounded exhaustive exploration: every schedule of a program within a bound, one after the other.
//!
//! The guarantees are documented at [`explore`].
//!
//! # Why pruning is sound within a bound `[S1]`
//!
//! Pruning is by sleep sets (Godefroid, Partial-Order Methods for the Verification of Concurrent
//! Systems, 1996). After a step `z` of some processor has been explored from a node, the processor
//! sleeps in the subtrees of that node's other possibilities. It sleeps until a step that does not
//! commute with `z` wakes it. So a schedule `u1 … uk z w` is pruned in favour of `z u1 … uk w`.
//!
//! Sleep sets alone do not respect a bound, because the second schedule may have more preemptions
//! than the first (Coons, Musuvathi, McKinley: Bounded partial-order reduction, OOPSLA 2013). So
//! with a bound a step is put to sleep only if it is the step of the processor `c` that was running
//! and could go on. Then the pruned schedule preempts `c` for `u1`, and it preempts the processor
//! of `uk`, if that can go on, for `z`. The other schedule preempts `c` for `u1`, if `c` can still
//! go on after `z`. It also preempts the processor of `uk`, if that can go on, for `w`, unless `w`
//! is its own step. That is no more preemptions. As the replacement comes earlier in the order of
//! the search, replacing ends.
//!
//! # Points behind calls `[S2]`
//!
//! Only the driver's own code lies between the point behind a call and the next point of its
//! processor. If plain memory is not explored, that code touches no object that another processor
//! touches. Then the two points are one, and the search is asked at the second one.
//!
//! If plain memory is explored, the search is asked at both points. With pruning, the processor
//! then sleeps at the first one from its second possibility on, whatever the others do. So each of
//! these points costs one run, in which the others go on there for as long as they can. All other
//! runs from the first point equal those from the second one.

mod footprint;
pub(crate) mod search;

extern crate alloc;

use self::search::{Bounds, PruneReason, Search};
use super::{recording::Recording, schedule::Schedule};
use crate::{config::Config, simulation::Simulation, trace::Trace, verifier::stop::Stop};

/// The limits of an exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most preemptions in a schedule; `None` means any number. Most races need one or two.
    /// Default 2.
    pub preemptions: Option<u32>,
    /// The most decisions in a schedule. After them a run goes on by round robin, which is fair, so
    /// that programs that wait for each other end. The exploration is then not complete. Default
    /// 10,000.
    pub decisions: usize,
    /// How many decisions in a row may let one processor go on while another one can run. Then it
    /// gives way to the next one, which is no preemption. So a loop that waits for another
    /// processor at preemption points ends, in every run at the same place. The exploration is then
    /// not complete. Default 1,000.
    pub fairness: usize,
    /// The most runs. Default 1,000,000.
    pub runs: u64,
    /// Leaves out schedules that differ from others only in the order of steps that commute.
    /// Default yes.
    pub prune: bool,
    /// The driver shares plain memory between its routines, or frees memory that another routine
    /// may still use. Then the driver may be preempted also between a call and its own code that
    /// follows. With [`Config::special_pool`] it always may. Default no.
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

/// The result of an exploration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Exploration {
    /// The number of runs.
    pub runs: u64,
    /// The number of runs that turned out, in their middle, to be like an earlier one.
    pub redundant: u64,
    /// Whether nothing was left out but for the bound on preemptions. No further run was left to
    /// make, no run was too long, and no processor had to give way by [`Limits::fairness`].
    pub complete: bool,
    /// The first run that ended early.
    pub finding: Option<Finding>,
}

/// A run that ended early.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// The reason.
    pub stop: Stop,
    /// Its decisions, from which [`Schedule::replay`] makes the same run.
    pub recording: Recording,
    /// Its events.
    pub trace: Trace,
}

/// Runs a program under every schedule within the limits, and stops at the first finding.
///
/// `round` is the program. It creates all its state anew, runs it on the given simulation, which
/// has been reset, and returns the outcome. It may run several programs one after the other, and
/// unload. Traces are collected whatever `config` says.
///
/// # What is guaranteed
///
/// A *schedule* is the sequence of decisions in a run. At each preemption point where more than one
/// processor can run, it decides which one does; and it makes each choice that NT leaves open.
/// There is a point before each call and each atomic operation, and before the return of each
/// call-out. A point behind a call and the next point are one, except with [`Limits::plain_memory`]
/// or special pool. A *preemption* is a decision for another processor than the running one, which
/// could go on.
///
/// If [`Exploration::complete`] is true and there is no finding, then:
///
/// - without [`Limits::prune`], every schedule with at most [`Limits::preemptions`] preemptions has
///   been run;
/// - with it, for every such schedule one has been run that has no more preemptions and differs
///   only in the order of neighbouring steps that commute. Two steps commute if neither touches the
///   kernel, or writes to an atomic or cell that the other touches. The run ends in the same state,
///   and sees the same in every such step.
///
/// The second guarantee rests on the trace, which records the objects that a step touches through
/// DDIs and [`sync`](crate::sync). Pruning does not see a race through plain memory between two
/// preemption points. No schedule does, because such accesses are atomic to the simulation; but the
/// *order* of two steps may matter through them. Explore programs that share plain memory without
/// `sync` with [`Limits::plain_memory`], and without pruning. With pruning, a processor that is
/// preempted behind a call goes on only when no other one can, or at its next point.
///
/// The program must be the same in every run. Otherwise the exploration ends with a failure of
/// oracle `replay`.
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
///     kernel.run_on(0, move || {
///         if counter.load(SeqCst) != 2 {
///             ntsim::fail("counter", "an update was lost".into());
///         }
///     })
/// });
/// let finding = explored.finding.expect("the increments are not atomic");
/// assert!(finding.stop.to_string().starts_with("counter: an update was lost"));
/// ```
///
/// # Panics
/// Panics as [`Simulation::new`] does. A panic in `round` passes through.
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
            let failed = |message| Stop::failure("replay", message);
            let walked = kernel.take_schedule().into_search();
            let mut walked = walked.ok_or_else(|| {
                failed("the program has reset the simulation, which explore does before each run".into())
            })?;
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
            Some(PruneReason::Redundant) => explored.redundant += 1,
            Some(PruneReason::TooLong) => explored.complete = false,
            None => {}
        }
        if !walked.advance() {
            return explored;
        }
        search = walked;
    }
}
