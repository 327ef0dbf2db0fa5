//! A gate under loom, in every interleaving of the users of a value and its closer, weak memory
//! included.

use loom::{cell::UnsafeCell, sync::Arc, thread};

use super::Gate;

/// A gate, and a cell that stands for its value. The owner writes the cell, and the users read it.
struct GateWorld {
    gate: Gate,
    alive: UnsafeCell<bool>,
}

// SAFETY: loom checks every access to the cell.
unsafe impl Send for GateWorld {}
// SAFETY: loom checks every access to the cell.
unsafe impl Sync for GateWorld {}

impl GateWorld {
    fn new() -> Arc<Self> {
        Arc::new(Self { gate: Gate::new(), alive: UnsafeCell::new(false) })
    }

    fn make(&self, value: usize) -> bool {
        if !self.gate.claim() {
            return false;
        }
        // SAFETY: loom detects accesses at the same time.
        self.alive.with_mut(|alive| unsafe { *alive = true });
        self.gate.open(value);
        true
    }

    /// Uses the value and returns it, if the gate was open.
    fn use_it(&self) -> Option<usize> {
        let entered = self.gate.enter()?;
        // SAFETY: loom detects writes at the same time.
        assert!(
            self.alive.with(|alive| unsafe { *alive }),
            "the value is used before it was made or after it ended"
        );
        Some(entered.value())
    }

    fn end(&self) -> Option<usize> {
        self.ended(self.gate.close(thread::yield_now)?)
    }

    /// Closes a kept gate, as any caller may, and ends the value like [`GateWorld::end`].
    fn end_kept(&self) -> Option<usize> {
        self.ended(self.gate.close_kept(thread::yield_now)?)
    }

    fn ended(&self, value: usize) -> Option<usize> {
        // SAFETY: loom detects accesses at the same time.
        self.alive.with_mut(|alive| unsafe { *alive = false });
        self.gate.give_up();
        Some(value)
    }
}

#[test]
fn loom_a_closed_gate_admits_no_use_of_its_value() {
    loom::model(|| {
        let world = GateWorld::new();
        assert!(world.make(7));
        let users = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.use_it())
        });
        assert_eq!(world.end(), Some(7));
        assert_eq!(world.use_it(), None);
        for user in users {
            assert!(matches!(user.join().unwrap(), None | Some(7)));
        }
    });
}

#[test]
fn loom_a_caller_that_enters_sees_what_was_made_before_the_gate_was_opened() {
    loom::model(|| {
        let world = GateWorld::new();
        let user = Arc::clone(&world);
        let user = thread::spawn(move || user.use_it());
        assert!(world.make(7));
        assert!(matches!(user.join().unwrap(), None | Some(7)));
        assert_eq!(world.end(), Some(7));
    });
}

#[test]
fn loom_a_gate_that_is_kept_is_closed_by_one_and_may_be_opened_again() {
    loom::model(|| {
        let world = GateWorld::new();
        assert!(world.make(7));
        let other = Arc::clone(&world);
        let other = thread::spawn(move || (other.end_kept(), other.make(8)));
        world.gate.keep();
        let mine = world.end_kept();
        let (theirs, again) = other.join().unwrap();
        let sevens = [mine, theirs].into_iter().filter(|ended| *ended == Some(7)).count();
        assert_eq!(sevens, 1, "{mine:?}, {theirs:?}");
        // The gate that the other thread has opened is not kept, so it belongs to that thread
        // alone.
        assert_eq!(world.use_it(), again.then_some(8));
        assert_eq!(world.end(), again.then_some(8));
    });
}
