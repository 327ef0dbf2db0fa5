//! The states of threads, and the ready threads of each processor.
//!
//! A thread is identified by its context, which is also the number of its coroutine. A processor's
//! program has the processor's number. Idle processors have [`IDLE`] and more. All other threads,
//! in the order of their creation, have [`SYSTEM`] and more. Numbers are not reused before the
//! reset, so that an ended thread is not mistaken for another.

extern crate alloc;

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// The idle thread of processor 0. The idle threads of the other processors follow in order.
pub(crate) const IDLE: usize = 64;
/// The first thread that is neither a program nor idle.
pub(crate) const SYSTEM: usize = 128;
/// The context that stands for no thread.
pub(crate) const NO_THREAD: usize = usize::MAX;

/// The name of a thread, which is the same in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThreadName {
    /// The program of this processor, which is its first thread.
    Program(usize),
    /// The idle thread of this processor, which DPCs interrupt if no other thread runs.
    Idle(usize),
    /// A system thread, by its number in the order of creation, from 1.
    System(usize),
}

impl ThreadName {
    /// Returns the name of the thread with this context.
    pub(crate) fn of(context: usize) -> Self {
        match context {
            SYSTEM.. => Self::System(context - SYSTEM + 1),
            IDLE.. => Self::Idle(context - IDLE),
            _ => Self::Program(context),
        }
    }
}

impl Display for ThreadName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(processor) => write!(f, "program {processor}"),
            Self::Idle(processor) => write!(f, "idle thread {processor}"),
            Self::System(number) => write!(f, "thread {number}"),
        }
    }
}

/// The state of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// The thread runs, or is a program, which the processor's own state describes.
    #[default]
    Active,
    /// The thread could run.
    Ready,
    /// The thread waits.
    Waiting,
    /// The thread has ended.
    Ended,
}

/// A thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Thread {
    pub(crate) state: State,
    /// Its IRQL while it does not run, which is below DISPATCH_LEVEL.
    pub(crate) irql: u8,
    /// The processor that it runs on, or ran on last.
    pub(crate) processor: usize,
    /// The status of its last wait.
    pub(crate) status: i32,
    /// The references to its object: its own until it has ended, that of its open handle, and those
    /// of pointers.
    pub(crate) references: usize,
    /// The addresses of its start routine and context.
    pub(crate) start: Option<(usize, usize)>,
    /// Whether a handle to it is open.
    pub(crate) open: bool,
    /// The access that was requested when the handle was created.
    pub(crate) access: u32,
    /// Whether it is a worker thread, which the kernel itself has created.
    pub(crate) worker: bool,
}

/// Addresses that stand for threads. They are never written to.
type Identities = [[u64; 8]; 64];

/// All threads. The table is empty while there are programs only.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    table: Vec<Thread>,
    /// The ready threads of each processor, in the order in which they became ready.
    ready: Vec<VecDeque<usize>>,
    identities: Vec<Box<Identities>>,
}

/// The first word at a thread's address, a dispatcher header's `Type`, as in NT.
const THREAD_OBJECT: u64 = 6;

impl Threads {
    pub(crate) fn reset(&mut self) {
        if self.table.is_empty() {
            return;
        }
        self.table.clear();
        for queue in &mut self.ready {
            queue.clear();
        }
    }

    /// Returns whether the table of threads is in use in this simulation.
    pub(crate) fn used(&self) -> bool {
        !self.table.is_empty()
    }

    /// Fills the table with programs and idle threads, unless it is filled.
    fn begin(&mut self) {
        if self.table.is_empty() {
            self.table.resize_with(SYSTEM, Thread::default);
            self.ready.resize_with(IDLE, VecDeque::new);
            for (context, thread) in self.table.iter_mut().enumerate() {
                thread.processor = context % IDLE;
                thread.references = 1;
            }
        }
    }

    /// Creates a thread that is not ready yet.
    pub(crate) fn create(&mut self, thread: Thread) -> usize {
        self.begin();
        self.table.push(thread);
        self.table.len() - 1
    }

    /// Returns a copy of the thread with this context.
    pub(crate) fn get(&self, context: usize) -> Thread {
        self.table.get(context).copied().unwrap_or_default()
    }

    /// Changes a thread.
    pub(crate) fn update(&mut self, context: usize, change: impl FnOnce(&mut Thread)) {
        self.begin();
        if let Some(thread) = self.table.get_mut(context) {
            change(thread);
        }
    }

    /// Returns the first system thread that a driver created and that has not ended.
    pub(crate) fn first_alive(&self) -> Option<usize> {
        let alive = |thread: &Thread| !thread.worker && thread.state != State::Ended;
        let position = self.table.iter().skip(SYSTEM).position(alive);
        position.map(|number| SYSTEM + number)
    }

    /// Appends a thread to the ready threads of a processor.
    pub(crate) fn push_ready(&mut self, context: usize, processor: usize) {
        self.update(context, |thread| {
            thread.state = State::Ready;
            thread.processor = processor;
        });
        if let Some(queue) = self.ready.get_mut(processor) {
            queue.push_back(context);
        }
    }

    /// Removes the `nth` ready thread of a processor and returns it.
    pub(crate) fn take_ready(&mut self, processor: usize, nth: usize) -> Option<usize> {
        let context = self.ready.get_mut(processor)?.remove(nth)?;
        self.update(context, |thread| thread.state = State::Active);
        Some(context)
    }

    /// Returns the address that stands for a thread.
    pub(crate) fn identity(&mut self, context: usize) -> usize {
        self.begin();
        let (chunk, place) = (context / 64, context % 64);
        while self.identities.len() <= chunk {
            self.identities.push(Box::new([[THREAD_OBJECT, 0, 0, 0, 0, 0, 0, 0]; 64]));
        }
        let chunk = self.identities.get(chunk).map(|chunk| chunk.as_ptr().expose_provenance());
        chunk.map_or(0, |start| start + place * size_of::<[u64; 8]>())
    }

    /// Returns the thread that an address stands for.
    pub(crate) fn find(&self, address: usize) -> Option<usize> {
        if self.table.is_empty() {
            return None;
        }
        self.identities.iter().enumerate().find_map(|(chunk, identities)| {
            let distance = address.checked_sub(identities.as_ptr() as usize)?;
            let context = chunk * 64 + distance / size_of::<[u64; 8]>();
            let inside = distance < size_of::<Identities>() && distance.is_multiple_of(size_of::<[u64; 8]>());
            (inside && context < self.table.len()).then_some(context)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{SYSTEM, State, Thread, ThreadName, Threads};

    #[test]
    fn an_address_stands_for_one_thread() {
        let mut threads = Threads::default();
        assert_eq!(threads.find(0), None);
        let first = threads.create(Thread::default());
        assert_eq!(first, SYSTEM);
        let address = threads.identity(first);
        assert_eq!(threads.find(address), Some(first));
        assert_eq!(threads.find(address + 8), None);
        assert_eq!(threads.find(threads.identities[0].as_ptr() as usize), Some(0));
        threads.reset();
        assert_eq!(threads.find(address), None);
    }

    #[test]
    fn ready_threads_are_taken_in_any_order() {
        let mut threads = Threads::default();
        for _ in 0..3 {
            let context = threads.create(Thread::default());
            threads.push_ready(context, 2);
        }
        assert_eq!(threads.take_ready(2, 1), Some(SYSTEM + 1));
        assert_eq!(threads.get(SYSTEM + 1).state, State::Active);
        assert_eq!(threads.take_ready(2, 0), Some(SYSTEM));
        assert_eq!(threads.take_ready(2, 1), None);
        assert_eq!(ThreadName::of(SYSTEM).to_string(), "thread 1");
    }
}
