//! The run of a case, from its beginning to a verdict. The case runs inside of the library's `run`,
//! and everything is given back at its end.

use crate::{
    case::{Case, Expects, Runs},
    cases::threads,
    load::Loaded,
    need::first_missing,
    offers::offers,
    program::{finish, run_program},
    rounds::Seeds,
    verdict::Verdict,
};

/// Runs a case. The seeds determine the schedules of threads, and their pauses.
#[must_use]
pub fn run_case(library: &Loaded, case: &Case, seeds: Seeds) -> Verdict {
    if let Some(need) = first_missing(case.needs, offers(library)) {
        return Verdict::NotOffered(need.member().to_owned());
    }
    let run = match case.runs {
        Runs::Alone(run) => run,
        Runs::Threads(rounds) => return threads::judge(library, case.rule, rounds, seeds),
    };
    let ended = run_program(library, &|kit| {
        run(kit)?;
        if case.expects == Expects::End { finish(kit) } else { Ok(()) }
    });
    ended.verdict(case.rule, case.expects)
}
