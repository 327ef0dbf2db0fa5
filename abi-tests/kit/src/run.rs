//! One case, from its beginning to a verdict: inside of the library's `run`, with everything given back at its end.

use core::ffi::c_void;
use std::thread::{self, ThreadId};

use ntcom_fuzz::{ops::Via, script::GATES};
use serde::{Deserialize, Serialize};

use crate::{
    body::{self, Calls},
    cases::{Case, Expects, Runs, Seeds, threads},
    client::breached,
    ensure,
    finding::{Check, Finding},
    kit::{Kit, status},
    load::Loaded,
    need::unmet,
    rule::Rule,
    table::{Stop, Table},
    world::{self, World},
};

/// What is said of a case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// It is as the rule says.
    Passed,
    /// It is not.
    Failed(Finding),
    /// The library has no means to tell: the members of the table that it would need.
    NotOffered(String),
}

/// Runs a case. Of the seeds come the schedules of threads, and their pauses.
#[must_use]
pub fn run_case(library: &Loaded, case: &Case, seeds: Seeds) -> Verdict {
    if let Some(need) = unmet(case.needs, &library.table) {
        return Verdict::NotOffered(need.member().to_owned());
    }
    let run = match case.runs {
        Runs::Alone(run) => run,
        Runs::Threads(rounds) => return threads::judge(library, case.rule, rounds, seeds),
    };
    let mut ended = Ended::default();
    let (stopped, stop) = run_program(&library.table, &mut ended, &|kit| {
        run(kit)?;
        if case.expects == Expects::End { finish(kit) } else { Ok(()) }
    });
    let verdict = |finding: Finding| Verdict::Failed(finding);
    match (case.expects, stopped) {
        (_, true) if matches!(ended.check, Some(Err(_))) => verdict(ended.finding(case.rule)),
        // Its program did not get to its end.
        (Expects::FailFast, true) if ended.check.is_none() => Verdict::Passed,
        (Expects::FailFast, _) => {
            let why = "it should have failed fast, and went on";
            match ended.check {
                Some(Err(finding)) => verdict(finding),
                _ => verdict(Finding::new(case.rule, why)),
            }
        }
        (Expects::End, true) => {
            verdict(Finding::new(case.rule, format!("the library stopped: {}", stop.text())))
        }
        (Expects::End, false) => match ended.check {
            // Nothing has been asked: nothing is said.
            Some(Ok(())) => match world::with(|world| world.lacks.get()) {
                Some(lacks) => Verdict::NotOffered(lacks.to_owned()),
                None => Verdict::Passed,
            },
            Some(Err(finding)) => verdict(finding),
            None => verdict(Finding::new(case.rule, "the library's run did not run its program to the end")),
        },
    }
}

/// What a program has left behind.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    pub(crate) check: Option<Check>,
}

impl Ended {
    fn finding(self, rule: Rule) -> Finding {
        match self.check {
            Some(Err(finding)) => finding,
            _ => Finding::new(rule, "it did not end"),
        }
    }
}

struct Program<'a> {
    ended: &'a mut Ended,
    run: &'a dyn Fn(&Kit<'_>) -> Check,
    /// Whose program it is.
    thread: ThreadId,
    called: bool,
}

unsafe extern "C" fn program(context: *mut c_void) {
    // SAFETY: what `run_program` gave, called before it returns, by one thread.
    let program = unsafe { &mut *context.cast::<Program<'_>>() };
    let wrong = if core::mem::replace(&mut program.called, true) {
        Some("the library's run has called its program twice")
    } else if program.thread != thread::current().id() {
        // The world is the other one's.
        Some("the library's run has called its program on another thread than its own")
    } else {
        None
    };
    program.ended.check = Some(match wrong {
        // It is no rule of the contract: the kit's own, on which all of its cases depend.
        Some(why) => Err(Finding::new(Rule::C9, why)),
        None => world::with(|world| (program.run)(&Kit(world))),
    });
}

/// Runs a program in the library. Was it stopped, and why? A breach that a body saw before the stop is the program's end.
pub(crate) fn run_program(table: &Table, ended: &mut Ended, run: &dyn Fn(&Kit<'_>) -> Check) -> (bool, Stop) {
    world::begin_here();
    world::with(|world| {
        world.reset();
        world.table.set(*table);
    });
    let mut stop = Stop::EMPTY;
    let mut inside = Program { ended, run, thread: thread::current().id(), called: false };
    let answer = match table.run {
        // SAFETY: the header: our program and its context, which lives until this has returned.
        Some(run) => unsafe { run(program, (&raw mut inside).cast(), &raw mut stop) },
        None => -1,
    };
    let breach = world::with(breached);
    if answer != 0 && ended.check.is_none() && breach.is_err() {
        ended.check = Some(breach);
    }
    (answer != 0, stop)
}

/// The end of a case: everything ends and is given back, and nothing remains.
///
/// # Errors
/// Something remains.
pub(crate) fn finish(kit: &Kit<'_>) -> Check {
    let world = kit.0;
    world.all_open.set(true);
    for gate in 0..GATES {
        kit.open(gate)?;
    }
    kit.advance()?;
    for operation in 0..world.count() {
        let held = world.slot(operation, |slot| slot.references > u32::from(slot.lent));
        if held && kit.status(operation)? == status::STARTED {
            kit.cancel(operation)?;
        }
    }
    kit.advance()?;
    give_back(kit)?;
    kit.advance()?;
    // A body may have given away wakers once more.
    give_back(kit)?;
    kit.advance()?;
    nothing_remains(kit)
}

/// Gives up every waker, handle and reference.
pub(crate) fn give_back(kit: &Kit<'_>) -> Check {
    let world = kit.0;
    drop_wakers(world);
    for operation in 0..world.count() {
        while world.handles.borrow().iter().any(|(owner, _)| *owner == operation) {
            kit.handle_drop(operation)?;
        }
    }
    let objects = world.objects.borrow().len();
    for object in 0..objects {
        while world.objects.borrow()[object].references > 0 {
            kit.object_release(object)?;
        }
    }
    for operation in 0..world.count() {
        while world.slot(operation, |slot| slot.references > u32::from(slot.lent)) {
            kit.release(operation, Via::Operation)?;
        }
    }
    Ok(())
}

fn drop_wakers(world: &World) {
    let mut wakers: Vec<(usize, *mut c_void)> = Vec::new();
    for gate in world.gates.borrow_mut().iter_mut() {
        wakers.append(&mut gate.waiters);
    }
    wakers.append(&mut world.stash.borrow_mut());
    for (operation, slot) in world.slots.borrow_mut().iter_mut().enumerate() {
        wakers.extend(slot.kept.take().map(|waker| (operation, waker)));
    }
    for (operation, waker) in wakers {
        world.trail.add(format!("a waker of operation {operation} is dropped"));
        Calls(world).drop_waker(waker);
    }
}

/// When everything has been given back and the executor has run, nothing is left.
pub(crate) fn nothing_remains(kit: &Kit<'_>) -> Check {
    let world = kit.0;
    breached(world)?;
    for operation in 0..world.count() {
        let slot = world.slot(operation, |slot| slot.clone());
        ensure!(
            C9,
            slot.bodyless || slot.record.drops == 1,
            "nobody has operation {operation} any more, and its body has not been dropped"
        );
        ensure!(
            C14,
            !slot.handler || slot.record.handled > 0,
            "operation {operation} has ended, and its completion handler has not run"
        );
    }
    for (number, object) in world.objects.borrow().iter().enumerate() {
        ensure!(C19, object.drops == 1, "nobody has object {number} any more, and it has not been dropped");
    }
    if let Some(live) = kit.live() {
        ensure!(C3, live == 0, "everything has been released, and memory of {live} operations is left");
    }
    Ok(())
}

/// Opens every gate, for ever: the end of a sequence.
pub(crate) fn open_everything(world: &World) {
    world.all_open.set(true);
    for gate in 0..GATES {
        body::open_gate(world, gate);
    }
}
