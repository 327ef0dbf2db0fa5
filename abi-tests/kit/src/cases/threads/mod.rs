//! Cases of C3, C5, C8, C9, C10 and C14 in which several threads use an operation while another one
//! runs its body. Each case exists in two ways.
//!
//! *In turn* (`..._in_turn`), one thread runs at a time. At each point where another thread may
//! come in between, a number decides which one runs. The kit tries many schedules, and their
//! findings are repeatable. The library has threads that take turns, as our simulated kernel has,
//! or calls the kit at such points.
//!
//! *At once*, the threads race, so a run may miss a breach that the next one finds. There are many
//! rounds. In a round the threads meet at barriers again and again, and go on after pauses that the
//! seed determines. All rounds are run, and the number of failed ones is reported.
//!
//! The world of the other cases belongs to one thread. Here the bodies and threads share atomics.

mod client;
mod crew;
mod lead;
mod shared;
mod turns;

use self::{crew::Crew, shared::Shared};
use crate::{
    case::{Case, Expects, Runs},
    finding::{Check, Finding},
    load::Loaded,
    need::Need,
    offers::offers,
    rounds::{CLIENTS, Does, Rounds, Seeds, Way, mix},
    rule::Rule,
    table::reason,
    verdict::Verdict,
    world,
};

const NOTHING: Does =
    Does { counts: false, reads: false, wakes: false, cancels: false, sets: false, releases: false };
const COUNT: Does = Does { counts: true, ..NOTHING };
const READ: Does = Does { reads: true, ..NOTHING };
const WAKE: Does = Does { wakes: true, ..NOTHING };
const RELEASE: Does = Does { counts: true, wakes: true, releases: true, ..NOTHING };
const CANCEL: Does = Does { cancels: true, reads: true, wakes: true, ..NOTHING };
const SET: Does = Does { sets: true, ..NOTHING };

pub(super) const CASES: &[Case] = &[
    at_once(Rule::C3, "several_threads_count", COUNT),
    in_turn(Rule::C3, "several_threads_count_in_turn", COUNT),
    at_once(Rule::C5, "several_threads_read_the_result", READ),
    in_turn(Rule::C5, "several_threads_read_the_result_in_turn", READ),
    at_once(Rule::C8, "several_threads_wake", WAKE),
    in_turn(Rule::C8, "several_threads_wake_in_turn", WAKE),
    at_once(Rule::C9, "several_threads_release", RELEASE),
    in_turn(Rule::C9, "several_threads_release_in_turn", RELEASE),
    at_once(Rule::C10, "several_threads_cancel", CANCEL),
    in_turn(Rule::C10, "several_threads_cancel_in_turn", CANCEL),
    at_once(Rule::C14, "several_threads_set_a_handler", SET),
    in_turn(Rule::C14, "several_threads_set_a_handler_in_turn", SET),
];

const AT_ONCE: &[Need] = &[Need::Threads];
const AT_ONCE_WITH_CONTROL: &[Need] = &[Need::Threads, Need::Control];
const IN_TURN: &[Need] = &[Need::Turns];
const IN_TURN_WITH_CONTROL: &[Need] = &[Need::Turns, Need::Control];

const fn threads(rule: Rule, name: &'static str, rounds: Rounds, needs: &'static [Need]) -> Case {
    Case { rule, name, needs, expects: Expects::End, runs: Runs::Threads(rounds) }
}

const fn at_once(rule: Rule, name: &'static str, does: Does) -> Case {
    let needs = if does.controls() { AT_ONCE_WITH_CONTROL } else { AT_ONCE };
    threads(rule, name, Rounds { way: Way::AtOnce, does }, needs)
}

const fn in_turn(rule: Rule, name: &'static str, does: Does) -> Case {
    let needs = if does.controls() { IN_TURN_WITH_CONTROL } else { IN_TURN };
    threads(rule, name, Rounds { way: Way::InTurn, does }, needs)
}

/// Runs the rounds of a case.
pub(crate) fn judge(library: &Loaded, rule: Rule, rounds: Rounds, seeds: Seeds) -> Verdict {
    let way = rounds.way;
    let Seeds { seed, schedules } = seeds;
    let all = way.rounds(schedules);
    let mut failed = 0;
    let mut first: Option<(u64, Finding)> = None;
    let mut before = Vec::new();
    for round in 0..all {
        world::with(|world| {
            world.reset();
            before.iter().for_each(|line: &String| world.trail.add(line.clone()));
            world.trail.add(match way {
                Way::AtOnce => format!("round {round}: {CLIENTS} threads at once"),
                Way::InTurn => format!("schedule {round}: {CLIENTS} threads in turn"),
            });
        });
        let Err(finding) = one_round(library, rule, rounds, mix(seed, round)) else { continue };
        if way == Way::InTurn {
            let message = format!("{} (it repeats itself: schedule {round}, --seed {seed})", finding.message);
            return failed_with(Finding { message, ..finding });
        }
        failed += 1;
        before.push(format!("round {round} has failed: {finding}"));
        // A finding against the case's own rule says the most.
        if first.as_ref().is_none_or(|(_, first)| first.rule != rule && finding.rule == rule) {
            first = Some((round, finding));
        }
    }
    let Some((round, finding)) = first else { return Verdict::Passed };
    let message = format!(
        "{} (a race, in round {round}: {failed} of {all} rounds failed, --seed {seed}; another run may find more or fewer)",
        finding.message
    );
    world::with(|world| {
        world.trail.clear();
        before.into_iter().for_each(|line| world.trail.add(line));
    });
    failed_with(Finding { message, ..finding })
}

fn failed_with(finding: Finding) -> Verdict {
    world::with(|world| world.trail.add(finding.line()));
    Verdict::Failed { findings: vec![finding], whole: true }
}

fn one_round(library: &Loaded, rule: Rule, rounds: Rounds, number: u64) -> Check {
    let file = world::with(|world| world.trail.file());
    let shared = Box::new(Shared::new(offers(library), rounds, number, file));
    let (stopped, stop) = Crew { table: &library.table, way: rounds.way, number }.run(&shared);
    world::with(|world| shared.said().into_iter().for_each(|line| world.trail.remember(line)));
    let ended = shared.ended.load(core::sync::atomic::Ordering::SeqCst);
    let check = match shared.breached() {
        Ok(()) if stopped => Err(Finding::new(rule, format!("the library stopped: {}", reason(&stop)))),
        Ok(()) if !ended => {
            Err(Finding::new(rule, "the library's run did not run its program to the end".to_owned()))
        }
        check => check,
    };
    if check.is_err() {
        // A thread of the library may still use it.
        Box::leak(shared);
    }
    check
}
