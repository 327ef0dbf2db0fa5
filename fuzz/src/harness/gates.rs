//! Gates. A gate lets one wait of a body pass each time it is opened.

use core::{
    array,
    cell::{Cell, RefCell},
    task::{Context, Waker},
};

use ntsim::trace::MarkKind;

/// Marks in the trace an action on a task or an operation.
type Mark = fn(MarkKind, usize, &'static str);

#[derive(Default)]
struct Gate {
    /// Whether the next wait passes.
    open: bool,
    /// The waiting tasks or operations with their wakers.
    waiters: Vec<(usize, Waker)>,
}

/// The gates of a run.
pub struct Gates<const N: usize> {
    gates: RefCell<[Gate; N]>,
    /// Whether every wait passes, as at the end of a run.
    all_open: Cell<bool>,
}

impl<const N: usize> Default for Gates<N> {
    fn default() -> Self {
        Self { gates: RefCell::new(array::from_fn(|_| Gate::default())), all_open: Cell::default() }
    }
}

impl<const N: usize> Gates<N> {
    fn passes(&self, gate: usize) -> bool {
        self.all_open.get() || core::mem::take(&mut self.gates.borrow_mut()[gate].open)
    }

    /// Tries to pass a gate, and waits there otherwise. True if it passes.
    #[must_use]
    pub fn pass(&self, gate: usize, number: usize, context: &Context<'_>) -> bool {
        if self.passes(gate) {
            return true;
        }
        drop(self.wait(gate, number, context.waker().clone()));
        // Another processor may have opened the gate since.
        self.passes(gate)
    }

    /// Waits at a gate. Returns an earlier waker of the same body, for the caller to drop.
    fn wait(&self, gate: usize, number: usize, waker: Waker) -> Option<Waker> {
        let waiters = &mut self.gates.borrow_mut()[gate].waiters;
        match waiters.iter_mut().find(|(waiting, _)| *waiting == number) {
            Some((_, old)) => Some(core::mem::replace(old, waker)),
            None => {
                waiters.push((number, waker));
                None
            }
        }
    }

    /// Opens a gate and wakes all that wait there. `mark` marks a wake in the trace.
    pub fn open(&self, gate: usize, mark: Mark) {
        let mut waiters = {
            let gate = &mut self.gates.borrow_mut()[gate];
            gate.open = true;
            core::mem::take(&mut gate.waiters)
        };
        for (number, waker) in waiters.drain(..) {
            mark(MarkKind::Wake, number, "a gate opens");
            waker.wake();
        }
        // Put the list back to reuse its memory, unless a body waits there already.
        let now = &mut self.gates.borrow_mut()[gate].waiters;
        if now.is_empty() {
            *now = waiters;
        }
    }

    /// Opens all gates for ever.
    pub fn open_all(&self, mark: Mark) {
        self.all_open.set(true);
        (0..N).for_each(|gate| self.open(gate, mark));
    }

    /// Whether all gates are open for ever.
    #[must_use]
    pub fn are_open(&self) -> bool {
        self.all_open.get()
    }

    /// The task or operation that has waited longest at a gate.
    #[must_use]
    pub fn first(&self, gate: usize) -> Option<usize> {
        self.gates.borrow()[gate].waiters.first().map(|(number, _)| *number)
    }

    /// Drops the wakers of all that wait.
    pub fn drop_waiters(&self) {
        let pop = |gate: usize| self.gates.borrow_mut()[gate].waiters.pop();
        for gate in 0..N {
            // Take one waker at a time, because dropping it may let bodies run.
            while let Some((_, waker)) = pop(gate) {
                drop(waker);
            }
        }
    }
}
