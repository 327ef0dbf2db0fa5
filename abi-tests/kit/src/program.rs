//! Programs that run inside of the library's `run`, and their ends.

use core::ffi::c_void;
use std::thread::{self, ThreadId};

use ntcom_fuzz_model::{ops::Via, script::GATES};

use crate::{
    body::{self, Calls},
    case::Expects,
    check,
    finding::{Check, Finding},
    kit::{Kit, status},
    load::Loaded,
    rule::Rule,
    table::{Stop, reason},
    verdict::Verdict,
    world::{self, CaseWorld},
};

/// The end of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The program's result. `None` if it did not come to its end.
    check: Option<Check>,
    /// The reason for which the library has stopped the run.
    stop: Option<String>,
}

impl Ended {
    /// The verdict on the program, with the findings so far. A complaint of the library itself,
    /// which no check has made, counts as a breach of `rule`.
    pub(crate) fn verdict(self, rule: Rule, expects: Expects) -> Verdict {
        let Self { check, stop } = self;
        let whole = matches!(check, Some(Ok(()))) && stop.is_none();
        let own = match (expects, &check, stop) {
            // The breach that broke off the program has been found. A later complaint of the
            // library may be its consequence.
            (_, Some(Err(_)), _) => None,
            (Expects::FailFast, Some(Ok(())), _) => {
                Some("it should have failed fast, and went on".to_owned())
            }
            (Expects::FailFast, None, Some(_)) => None,
            (Expects::End, _, Some(why)) => Some(format!("the library stopped: {why}")),
            (_, None, None) => Some("the library's run did not run its program to the end".to_owned()),
            (Expects::End, Some(Ok(())), None) => None,
        };
        world::with(|world| {
            if let Some(why) = own {
                world.find(Finding::new(rule, why));
            }
            let findings = world.take_findings();
            match world.lacks.get() {
                _ if !findings.is_empty() => Verdict::Failed { findings, whole },
                // No check was done, so there is no verdict.
                Some(lacks) => Verdict::NotOffered(lacks.to_owned()),
                None => Verdict::Passed,
            }
        })
    }
}

struct Program<'a> {
    check: Option<Check>,
    run: &'a dyn Fn(&Kit<'_>) -> Check,
    /// The thread that runs the program.
    thread: ThreadId,
    called: bool,
}

unsafe extern "C" fn program(context: *mut c_void) {
    // SAFETY: `run_program` passed this context, and the library calls this before that returns, on
    // one thread.
    let program = unsafe { &mut *context.cast::<Program<'_>>() };
    let wrong = if core::mem::replace(&mut program.called, true) {
        Some("the library's run has called its program twice")
    } else if program.thread != thread::current().id() {
        // The world belongs to the other thread.
        Some("the library's run has called its program on another thread than its own")
    } else {
        None
    };
    let Some(why) = wrong else {
        program.check = Some(world::with(|world| {
            let check = (program.run)(&Kit(world));
            if let Err(finding) = &check {
                world.find(finding.clone());
            }
            world.over.set(true);
            check
        }));
        return;
    };
    // The breach is of the kit's own rule, on which all its cases depend, and not of one of the
    // contract.
    program.check = Some(Err(Finding::new(Rule::C9, why)));
}

/// Runs a program in the library.
pub(crate) fn run_program(library: &Loaded, run: &dyn Fn(&Kit<'_>) -> Check) -> Ended {
    let table = library.table;
    world::begin_here();
    world::with(|world| {
        world.reset();
        world.table.set(table);
    });
    let mut stop = Stop::EMPTY;
    let mut inside = Program { check: None, run, thread: thread::current().id(), called: false };
    let answer = match table.run {
        // SAFETY: the header lets the kit pass this program. Its context lives until the call has
        // returned.
        Some(run) => unsafe { run(program, (&raw mut inside).cast(), &raw mut stop) },
        None => -1,
    };
    let check = inside.check;
    world::with(|world| {
        world.over.set(true);
        let stray_call = world::no_stray_call().err();
        let broken_off = check.as_ref().and_then(|check| check.clone().err());
        stray_call.into_iter().chain(broken_off).for_each(|finding| world.find(finding));
    });
    Ended { check, stop: (answer != 0).then(|| reason(&stop)) }
}

/// Ends a case. Every operation ends and everything is given back, and nothing may remain.
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
        if held && world.controls.get() && kit.status(operation)? == status::STARTED {
            kit.cancel(operation)?;
        }
    }
    kit.advance()?;
    give_back(kit)?;
    kit.advance()?;
    // A body may have given away wakers since.
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

fn drop_wakers(world: &CaseWorld) {
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

/// Checks that nothing is left after everything has been given back and the executor has run.
pub(crate) fn nothing_remains(kit: &Kit<'_>) -> Check {
    let world = kit.0;
    for operation in 0..world.count() {
        let slot = world.slot(operation, |slot| slot.clone());
        check!(
            kit,
            C9,
            slot.bodyless || slot.record.drops == 1,
            "no client has operation {operation} any more, and its body has not been dropped"
        );
        check!(
            kit,
            C14,
            !slot.handler || slot.record.handled > 0,
            "operation {operation} has ended, and its completion handler has not run"
        );
    }
    for (number, object) in world.objects.borrow().iter().enumerate() {
        check!(
            kit,
            C19,
            object.drops == 1,
            "no client has object {number} any more, and it has not been dropped"
        );
    }
    if let Some(live) = kit.live() {
        check!(kit, C3, live == 0, "everything has been released, and memory of {live} operations is left");
    }
    Ok(())
}

/// Opens every gate for ever, at the end of a sequence.
pub(crate) fn open_everything(world: &CaseWorld) {
    world.all_open.set(true);
    for gate in 0..GATES {
        body::open_gate(world, gate);
    }
}
