//! The places where bodies run. A body runs at the IRQL of its kind, on its processor, and not on
//! the stack of a caller.

use super::{
    ops::{SpawnMode, TaskKind},
    task::fail,
    thread,
    world::ExecutorWorld,
};

/// The place where a body is polled or dropped, until it leaves. It must be neither inside of
/// another body nor on the stack of an actor.
pub(super) struct Place {
    pub(super) here: usize,
    thread: Option<usize>,
}

impl Place {
    pub(super) fn enter(world: &ExecutorWorld, task: usize, what: &str) -> Self {
        let (here, irql, in_dpc) = (ntsim::current_processor(), ntsim::irql(), ntsim::in_dpc());
        let kind = world.task(task).kind.get();
        let wrong = |why: &str| -> ! { fail("C13", task, &format!("it is {what} {why}, at IRQL {irql}")) };
        let on_dpc = match kind {
            TaskKind::Dpc(_) => true,
            TaskKind::Moving(_) => in_dpc,
            TaskKind::WorkItem(_) => false,
        };
        if on_dpc {
            if !in_dpc || irql != 2 {
                wrong("outside of a DPC");
            }
            if let TaskKind::Dpc(SpawnMode::Pinned(n)) = kind
                && usize::from(n) % world.processors.get() != here
            {
                wrong(&format!("on processor {here}"));
            }
            if let Some(other) = world.in_body[here].replace(Some(task)) {
                wrong(&format!("inside of task {other}"));
            }
            return Self { here, thread: None };
        }
        if in_dpc || irql != 0 {
            wrong("not at PASSIVE_LEVEL");
        }
        let thread = thread::current();
        if world.actors.iter().any(|actor| actor.get() == thread) {
            wrong("on the stack of an actor");
        }
        if world.threads.borrow().contains(&thread) {
            wrong("inside of another task");
        }
        world.threads.borrow_mut().push(thread);
        Self { here, thread: Some(thread) }
    }

    pub(super) fn leave(self, world: &ExecutorWorld) {
        match self.thread {
            Some(thread) => world.threads.borrow_mut().retain(|other| *other != thread),
            None => world.in_body[self.here].set(None),
        }
    }
}
