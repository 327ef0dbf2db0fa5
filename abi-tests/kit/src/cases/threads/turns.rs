//! Threads that take turns.
//!
//! One thread has the baton. It hands the baton on at points where the library, or a waiting
//! thread, says that another one may come in between. A number alone decides which thread gets it.

use core::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::table::Pause;

/// The largest number of points that a thread passes before the next decision.
const MOST: u64 = 8;

/// The baton.
pub(super) struct Turns {
    state: Mutex<State>,
    /// A condition variable for each thread.
    come: Vec<Condvar>,
}

struct State {
    random: u64,
    holder: usize,
    /// The number of points that the holder still passes.
    left: u64,
    /// A bit for each thread that has not ended.
    going: u64,
}

impl State {
    fn random(&mut self, below: u64) -> u64 {
        // xorshift64.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % below.max(1)
    }

    /// Chooses the thread that goes on, from this set.
    fn decide(&mut self, of: u64) {
        let chosen = self.random(of.count_ones().into());
        let mut rest = of;
        for _ in 0..chosen {
            rest &= rest - 1;
        }
        if of != 0 {
            self.holder = rest.trailing_zeros() as usize;
        }
        self.left = self.random(MOST);
    }
}

thread_local! {
    /// The turns in which this thread takes part, and its number.
    static MINE: RefCell<Option<(Arc<Turns>, usize)>> = const { RefCell::new(None) };
}

fn mine() -> Option<(Arc<Turns>, usize)> {
    MINE.with_borrow(Clone::clone)
}

/// A point at which the library lets another thread come in between. A thread that takes no part
/// goes on.
unsafe extern "C" fn point() {
    if let Some((turns, me)) = mine() {
        turns.pass(me, false);
    }
}

/// A point at which this thread waits for another one.
unsafe extern "C" fn pause() {
    if let Some((turns, me)) = mine() {
        turns.pass(me, true);
    }
}

impl Turns {
    pub(super) const POINT: Pause = point;
    pub(super) const PAUSE: Pause = pause;

    /// Creates the turns of this number of threads. The first begins.
    pub(super) fn new(count: usize, schedule: u64) -> Self {
        // The generator would only ever give 0 from the state 0.
        let random = if schedule == 0 { 1 } else { schedule };
        let state = State { random, holder: 0, left: 0, going: (1 << count) - 1 };
        Self { state: Mutex::new(state), come: (0..count).map(|_| Condvar::new()).collect() }
    }

    /// Runs a thread's work from its first turn to its end.
    pub(super) fn attend(self: &Arc<Self>, me: usize, work: impl FnOnce()) {
        MINE.set(Some((Arc::clone(self), me)));
        drop(self.wait(self.lock(), me));
        work();
        let mut state = self.lock();
        state.going &= !(1 << me);
        let going = state.going;
        state.decide(going);
        self.hand_on(&state);
        MINE.set(None);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, me: usize) -> MutexGuard<'a, State> {
        while state.holder != me {
            state = self.come[me].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn hand_on(&self, state: &State) {
        self.come[state.holder].notify_one();
    }

    fn pass(&self, me: usize, waits: bool) {
        let mut state = self.lock();
        if state.left > 0 && !waits {
            state.left -= 1;
            return;
        }
        let others = state.going & !(1 << me);
        let of = if waits && others != 0 { others } else { state.going };
        state.decide(of);
        if state.holder != me {
            self.hand_on(&state);
            drop(self.wait(state, me));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::Turns;

    /// The order in which three threads pass a few points.
    fn order(schedule: u64) -> Vec<usize> {
        let (turns, order) = (Arc::new(Turns::new(3, schedule)), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for me in 0..3 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    turns.attend(me, || {
                        for _ in 0..20 {
                            order.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(me);
                            // SAFETY: any thread may call this function.
                            unsafe { Turns::POINT() };
                        }
                    });
                });
            }
        });
        order.into_inner().unwrap_or_default()
    }

    #[test]
    fn the_same_schedule_is_the_same_order_and_others_are_others() {
        let orders: Vec<Vec<usize>> = (0..20).map(order).collect();
        assert_eq!(orders, (0..20).map(order).collect::<Vec<_>>());
        let mut distinct = orders.clone();
        distinct.sort();
        distinct.dedup();
        // The schedules 0 and 1 are the same.
        assert_eq!(distinct.len(), 19);
        assert!(orders.iter().all(|order| order.len() == 60));
    }
}
