//! The interface for other drivers, and the queue of items behind it.

use core::mem;

use ntcom::{
    AsyncBody, ComRc, ComStatic, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, This,
    declare_com_interface,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};
use ntcom_exec::{Signal, driver_static};

use crate::lock::SpinLock;

/// The most items that wait for a reader. When one more comes, it is dropped.
const STOCK: usize = 4;
/// The most readers that wait for an item.
const PLACES: usize = 8;

declare_com_interface! {
    /// The device's items, for other drivers.
    pub trait IItems: IUnknown {
        const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7e01);

        /// Returns the number of readers that wait for an item. IRQL: any.
        fn readers(&self) -> u32;

        /// Waits for the next item, and takes it. A cancelled operation takes none.
        #[opaque]
        async fn next(&self) -> Result<u32, NTSTATUS>;
    }
}

/// The object with the interface. It has no state, because the device's is in `QUEUE`.
struct Items;

// SAFETY: the bodies touch only resident memory, and never block.
unsafe impl IItems for Items {
    type Allocator = GlobalAllocator;

    fn readers(&self) -> u32 {
        QUEUE.readers.load(Relaxed)
    }

    fn next(&self) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |_this: This<Self>| QUEUE.next())
    }
}

static ITEMS: ComStatic<Items, IItemsRaw> = ComStatic::new(Items);

/// Returns the interface, with which a driver answers IRP_MN_QUERY_INTERFACE.
pub fn items() -> ComRc<IItemsRaw> {
    ITEMS.get()
}

// `driver_static!` gives each simulated kernel a queue of its own.
driver_static! {
    /// The device's queue.
    pub(crate) static QUEUE: Queue = Queue::new();
}

/// A reader's place in the queue.
#[derive(Clone, Copy)]
enum Place {
    Free,
    /// The reader waits.
    Waiting,
    /// The reader has been given this item, and has not seen it yet.
    Handed(u32),
    /// The reader has its item.
    Served,
}

/// The part of the queue under its lock.
struct State {
    places: [Place; PLACES],
    /// The items without a reader, the oldest first.
    stock: [Option<u32>; STOCK],
    made: u32,
    taken: u32,
    dropped: u32,
    /// The device makes no items any more.
    failed: Option<NTSTATUS>,
}

impl State {
    /// Hands an item to a waiting reader, and returns the number of its place. Without a reader the
    /// item goes to the stock.
    fn hand_over(&mut self, item: u32) -> Option<usize> {
        let waits = |place: &Place| matches!(place, Place::Waiting);
        let waiting = self.places.iter().position(waits);
        if let Some(number) = waiting {
            self.places[number] = Place::Handed(item);
        } else if let Some(room) = self.stock.iter_mut().find(|room| room.is_none()) {
            *room = Some(item);
        } else {
            self.dropped += 1;
        }
        waiting
    }

    /// Takes the oldest item out of the stock.
    fn oldest(&mut self) -> Option<u32> {
        let item = self.stock[0].take();
        self.stock.rotate_left(1);
        item
    }
}

/// Items that wait for readers, or readers that wait for items.
pub(crate) struct Queue {
    readers: AtomicU32,
    state: SpinLock<State>,
    /// Each wakes the reader in the place of the same number.
    signals: [Signal; PLACES],
}

impl Queue {
    const fn new() -> Self {
        let state = State {
            places: [Place::Free; PLACES],
            stock: [None; STOCK],
            made: 0,
            taken: 0,
            dropped: 0,
            failed: None,
        };
        let signals = [const { Signal::new() }; PLACES];
        Self { readers: AtomicU32::new(0), state: SpinLock::new(state), signals }
    }

    /// Makes an item, as the device does. IRQL: ≤ DISPATCH_LEVEL.
    pub(crate) fn make(&self) {
        let reader = self.state.with(|state| {
            state.made += 1;
            state.hand_over(state.made)
        });
        self.wake(reader);
    }

    /// Ends all waits, because the device makes no items any more. IRQL: ≤ DISPATCH_LEVEL.
    pub(crate) fn fail(&self, status: NTSTATUS) {
        self.state.with(|state| state.failed = Some(status));
        self.signals.iter().for_each(Signal::set);
    }

    fn wake(&self, reader: Option<usize>) {
        if let Some(number) = reader {
            self.signals[number].set();
        }
    }

    /// Waits for the next item, and takes it.
    pub(crate) async fn next(&self) -> Result<u32, NTSTATUS> {
        let reader = Reader::new(self)?;
        loop {
            if let Some(taken) = reader.take() {
                return taken;
            }
            self.signals[reader.number].wait().await;
        }
    }

    /// Checks that no reader is left, and that no item was lost. Unload calls it.
    pub(crate) fn check(&self) {
        debug_assert_eq!(self.readers.load(Relaxed), 0, "a reader that has gone is counted");
        let (made, taken, dropped, stock) = self.state.with(|state| {
            (state.made, state.taken, state.dropped, state.stock.iter().flatten().count())
        });
        debug_assert_eq!(made, taken + dropped + stock as u32, "an item was lost");
    }
}

/// A reader, which has a place in the queue.
struct Reader<'a> {
    queue: &'a Queue,
    number: usize,
}

impl<'a> Reader<'a> {
    /// Takes a place, and an item if there is one.
    fn new(queue: &'a Queue) -> Result<Self, NTSTATUS> {
        let number = queue.state.with(|state| {
            let number = state.places.iter().position(|place| matches!(place, Place::Free))?;
            state.places[number] = state.oldest().map_or(Place::Waiting, Place::Handed);
            Some(number)
        });
        let number = number.ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?;
        queue.readers.fetch_add(1, Relaxed);
        Ok(Self { queue, number })
    }

    /// Takes the item that was handed over. `None` if the reader has to wait.
    fn take(&self) -> Option<Result<u32, NTSTATUS>> {
        self.queue.state.with(|state| {
            let Place::Handed(item) = state.places[self.number] else {
                return state.failed.map(Err);
            };
            state.places[self.number] = Place::Served;
            state.taken += 1;
            Some(Ok(item))
        })
    }
}

/// The reader gives up its place, also if it is cancelled. Then the item that it was given and has
/// not taken goes to another reader.
impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let other = self.queue.state.with(|state| {
            match mem::replace(&mut state.places[self.number], Place::Free) {
                Place::Handed(item) => state.hand_over(item),
                _ => None,
            }
        });
        self.queue.wake(other);
        self.queue.readers.fetch_sub(1, Relaxed);
    }
}
