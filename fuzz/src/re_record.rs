//! Re-recording of inputs. An input gets the schedule that makes this build repeat the run of
//! another build.
//!
//! A byte of a schedule is the number of preemption points for which a processor runs. A change of
//! the simulated kernel's points, or of the kernel calls and atomics of the code under test, gives
//! the same bytes another run. Re-recording preserves the order of the events.

pub use ntsim::Order;

use crate::{
    harness::run::Runner,
    targets::{self, with_schedule},
};

/// The result of re-recording an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReRecorded {
    /// The input does what it did, as it is.
    Unchanged,
    /// These bytes do the same as the input did.
    Same(Vec<u8>),
    /// These bytes repeat a beginning of the events in the same order.
    Near {
        /// The re-recorded input.
        bytes: Vec<u8>,
        /// Number of events in the same order.
        common: usize,
        /// Number of events of the other build's run.
        events: usize,
    },
}

/// Gives an input of the named target the schedule that repeats `order`.
///
/// # Errors
/// There is no such schedule. The error says why.
pub fn re_record(target: &str, data: &[u8], order: &Order) -> Result<ReRecorded, String> {
    if events(target, data, None)?.0.same_events(order) {
        return Ok(ReRecorded::Unchanged);
    }
    let (followed, outcome) = events(target, data, Some(order))?;
    // A target with one processor has no schedule.
    let Some((common, schedule)) = outcome else { return Ok(ReRecorded::Unchanged) };
    let does_it = |length: usize| {
        let shorter = schedule.get(..length)?;
        let bytes = with_schedule(target, data, shorter)?;
        let (again, _) = events(target, &bytes, None).ok()?;
        again.same_events(&followed).then_some(bytes)
    };
    let longest = last(0, schedule.len(), |length| {
        with_schedule(target, data, schedule.get(..length).unwrap_or_default()).is_some()
    });
    // Bisect for the shortest schedule that does it. The result may be longer, if a longer schedule
    // than one that does it may fail.
    let (mut too_short, mut enough) = (0, longest);
    let mut found = does_it(enough);
    while too_short + 1 < enough {
        let middle = too_short.midpoint(enough);
        match does_it(middle) {
            Some(bytes) => (found, enough) = (Some(bytes), middle),
            None => too_short = middle,
        }
    }
    let all = order.events();
    if let Some(bytes) = found {
        return Ok(if common == all {
            ReRecorded::Same(bytes)
        } else {
            ReRecorded::Near { bytes, common, events: all }
        });
    }
    // The end of the schedule does not fit. Keep its beginning.
    let rewritten = schedule.get(..longest).and_then(|beginning| with_schedule(target, data, beginning));
    let Some(bytes) = rewritten else { return Err("its steps leave no room for a schedule".into()) };
    let (again, _) = events(target, &bytes, None)?;
    Ok(ReRecorded::Near { bytes, common: again.same_beginning(&followed).min(common), events: all })
}

/// The highest number for which `is` is true, if `is` is true up to some number and false beyond
/// it.
fn last(mut low: usize, mut high: usize, is: impl Fn(usize) -> bool) -> usize {
    if is(high) {
        return high;
    }
    while low + 1 < high {
        let middle = low.midpoint(high);
        *(if is(middle) { &mut low } else { &mut high }) = middle;
    }
    low
}

type Followed = Option<(usize, Vec<u8>)>;

fn events(target: &str, data: &[u8], order: Option<&Order>) -> Result<(Order, Followed), String> {
    let mut runner = Runner::new();
    if let Some(order) = order {
        runner.follow(order.clone());
    }
    match targets::run(&mut runner, target, data, true) {
        Some(Ok(_)) => Ok((runner.order(), runner.followed())),
        Some(Err(malformed)) => Err(malformed.to_string()),
        None => Err(format!("no target `{target}`")),
    }
}
