//! The threads of a round. They are the library's own, or the kit's inside of the library's `run`.

use core::ffi::c_void;
use std::{sync::Arc, thread};

use super::{client, lead, shared::Shared, turns::Turns};
use crate::{
    rounds::{CLIENTS, Way},
    table::{Pause, Program, Stop, Table},
};

/// The threads of a round.
pub(super) struct Crew<'a> {
    pub(super) table: &'a Table,
    pub(super) way: Way,
    /// The schedule, or the seed of the pauses.
    pub(super) number: u64,
}

/// The number of threads.
const COUNT: u32 = CLIENTS as u32 + 1;

impl Crew<'_> {
    /// Runs a round to its end. Returns whether the library has stopped it, and why.
    pub(super) fn run(&self, shared: &Shared) -> (bool, Stop) {
        let mut stop = Stop::EMPTY;
        let place = &raw mut stop;
        let context = core::ptr::from_ref(shared).cast_mut().cast();
        let answer = match (self.way, self.table.run_at_once, self.table.run_in_turn) {
            // SAFETY: the header lets the kit pass this program. Its context lives until the call
            // has returned.
            (Way::AtOnce, Some(run), _) => unsafe { run(COUNT, thread, context, place) },
            // SAFETY: the header lets the kit pass this program. Its context lives until the call
            // has returned.
            (Way::InTurn, _, Some(run)) => unsafe { run(COUNT, self.number, thread, context, place) },
            (Way::AtOnce, None, _) => self.inside(at_once, context, place),
            (Way::InTurn, _, None) => self.inside(in_turn, context, place),
        };
        (answer != 0, stop)
    }

    fn inside(&self, program: Program, context: *mut c_void, stop: *mut Stop) -> i32 {
        // SAFETY: the header lets the kit pass this program. Its context lives until the call has
        // returned.
        self.table.run.map_or(-1, |run| unsafe { run(program, context, stop) })
    }
}

/// The program of a thread.
unsafe extern "C" fn thread(context: *mut c_void, number: u32, pause: Pause) {
    // SAFETY: `Crew::run` passed this context, and the library calls this before that returns.
    be(unsafe { &*context.cast::<Shared>() }, number, pause);
}

fn be(shared: &Shared, number: u32, pause: Pause) {
    match number {
        0 => lead::lead(shared, pause),
        1..COUNT => client::work(shared, number as usize - 1, pause),
        _ => {}
    }
}

/// Runs threads of the kit at once.
unsafe extern "C" fn at_once(context: *mut c_void) {
    unsafe extern "C" fn pause() {
        thread::yield_now();
    }
    // SAFETY: `Crew::run` passed this context, and the library calls this before that returns.
    let shared = unsafe { &*context.cast::<Shared>() };
    thread::scope(|scope| {
        for number in 1..COUNT {
            scope.spawn(move || be(shared, number, pause));
        }
        be(shared, 0, pause);
    });
}

/// Runs threads of the kit in turn.
unsafe extern "C" fn in_turn(context: *mut c_void) {
    // SAFETY: `Crew::run` passed this context, and the library calls this before that returns.
    let shared = unsafe { &*context.cast::<Shared>() };
    let turns = Arc::new(Turns::new(COUNT as usize, shared.number));
    let yield_with = |point: Option<Pause>| {
        if let Some(yield_with) = shared.table.yield_with {
            // SAFETY: the point is null, or a function that any thread may call, as the header
            // requires.
            unsafe { yield_with(point) };
        }
    };
    yield_with(Some(Turns::POINT));
    thread::scope(|scope| {
        for number in 1..COUNT {
            let turns = &turns;
            scope.spawn(move || turns.attend(number as usize, || be(shared, number, Turns::PAUSE)));
        }
        turns.attend(0, || be(shared, 0, Turns::PAUSE));
    });
    yield_with(None);
}
