//! A bounded channel, from several senders to one receiver.
//!
//! A [`Semaphore`] has a permit for each free place of the ring. A sender takes one and puts its
//! value into the ring; the receiver takes the value out and gives the permit back. The receiver's
//! end closes the semaphore under the ring's lock, so a value is either in the ring before it, and
//! dropped with the ring, or it goes back to its sender.

use core::{
    alloc::Layout,
    fmt,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use crate::{
    alloc::{Allocator, GlobalAllocator},
    refcount::ReferenceCount,
    semaphore::Semaphore,
    signal::Signal,
    status::NTSTATUS,
    sync::SpinLock,
    task::Share,
};

/// The values that have been sent and not received. Only touched under the lock.
struct Ring<T> {
    places: NonNull<T>,
    capacity: usize,
    first: usize,
    length: usize,
    closed: bool,
}

// SAFETY: the ring owns its values, which may be dropped on any thread.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    /// The address of the place that is `index` places behind the first, with `index` < capacity.
    const fn place(&self, index: usize) -> NonNull<T> {
        let index = (self.first + index) % self.capacity;
        // SAFETY: the index is less than the capacity, which is the number of places.
        unsafe { self.places.add(index) }
    }

    /// Puts a value into the ring, or gives it back if the ring is full or closed.
    fn push(&mut self, value: T) -> Result<(), T> {
        if self.closed || self.length == self.capacity {
            return Err(value);
        }
        // SAFETY: the place is one of the ring's and has no value.
        unsafe { self.place(self.length).write(value) };
        self.length += 1;
        Ok(())
    }

    fn pop(&mut self) -> Option<T> {
        self.length = self.length.checked_sub(1)?;
        // SAFETY: the first place has a value, which is not used again.
        let value = unsafe { self.place(0).read() };
        self.first = (self.first + 1) % self.capacity;
        Some(value)
    }
}

struct Block<T> {
    references: ReferenceCount,
    senders: ReferenceCount,
    room: Semaphore,
    sent: Signal,
    ring: SpinLock<Ring<T>>,
    layout: Layout,
}

/// One of the references of a block.
struct Reference<T>(NonNull<Block<T>>);

impl<T> Reference<T> {
    fn block(&self) -> &Block<T> {
        // SAFETY: this reference keeps the block.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Clone for Reference<T> {
    fn clone(&self) -> Self {
        self.block().references.add();
        Self(self.0)
    }
}

impl<T> Drop for Reference<T> {
    fn drop(&mut self) {
        if self.block().references.remove() > 0 {
            return;
        }
        // The receiver has emptied the ring when it went.
        let layout = self.block().layout;
        // SAFETY: the count is zero, so no other code has the block.
        unsafe { self.0.drop_in_place() };
        // SAFETY: the block came from `channel` with this layout, and is not used again.
        unsafe { GlobalAllocator.free(self.0.cast(), layout) };
    }
}

/// Makes a channel for up to `capacity` values at a time, from several senders to one receiver.
///
/// All memory is allocated here. Sending, receiving and waiting allocate nothing. Values are
/// received in the order in which they were sent.
///
/// IRQL: ≤ DISPATCH_LEVEL, for this and for every use of the ends. Values that are not received are
/// dropped with the receiver, at the receiver's IRQL.
///
/// # Errors
/// `STATUS_INVALID_PARAMETER`: the capacity is zero, or no block can have that size.
/// `STATUS_INSUFFICIENT_RESOURCES`: there is no memory for the block.
///
/// ```
/// # use ntsim::{Config, Schedule, Simulation};
/// # let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let (sender, mut receiver) = ntcom_exec::channel::<u32>(2).unwrap();
/// ntcom_exec::spawn_dpc_task(async move {
///     for value in 0..4 {
///         sender.send(value).await.unwrap(); // waits for room
///     }
/// }).unwrap();
/// ntcom_exec::spawn_dpc_task(async move {
///     for value in 0..4 {
///         assert_eq!(receiver.recv().await, Ok(value));
///     }
///     assert_eq!(receiver.recv().await, Err(ntcom_exec::NTSTATUS::PIPE_BROKEN));
/// }).unwrap();
/// # ntcom_exec::default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0));
/// # }).unwrap();
/// # kernel.unload().unwrap();
/// ```
pub fn channel<T: Send>(capacity: usize) -> Result<(ChannelSender<T>, ChannelReceiver<T>), NTSTATUS> {
    let places = Layout::array::<T>(capacity).ok().filter(|_| capacity > 0);
    let extended = places.and_then(|places| Layout::new::<Block<T>>().extend(places).ok());
    let (layout, offset) = extended.ok_or(NTSTATUS::INVALID_PARAMETER)?;
    let memory = GlobalAllocator.allocate(layout).ok_or(NTSTATUS::INSUFFICIENT_RESOURCES)?;
    // SAFETY: the offset is within the layout of the memory.
    let places = unsafe { memory.add(offset) }.cast();
    let references = ReferenceCount::one();
    references.add();
    let fresh = Block {
        references,
        senders: ReferenceCount::one(),
        room: Semaphore::new(capacity),
        sent: Signal::new(),
        ring: SpinLock::new(Ring { places, capacity, first: 0, length: 0, closed: false }),
        layout,
    };
    let block = memory.cast::<Block<T>>();
    // SAFETY: `block` is new memory, of a layout that begins with a block.
    unsafe { block.write(fresh) };
    Ok((ChannelSender(Reference(block)), ChannelReceiver(Reference(block))))
}

/// A sending end of a [`channel`]. The channel is closed when the last one is dropped.
///
/// IRQL: ≤ DISPATCH_LEVEL.
pub struct ChannelSender<T>(Reference<T>);

// SAFETY: the values go to the receiver, on any thread; the block may be used by several.
unsafe impl<T: Send> Send for ChannelSender<T> {}
// SAFETY: the block may be used by several threads.
unsafe impl<T: Send> Sync for ChannelSender<T> {}

impl<T: Send> ChannelSender<T> {
    /// Sends a value, and waits for room first if there is none.
    ///
    /// Senders get room in the order of their first polls. A `send` that is dropped while it waits
    /// drops its value, and passes the room on.
    ///
    /// # Errors
    /// The value comes back if the receiver has gone.
    pub async fn send(&self, value: T) -> Result<(), T> {
        match self.0.block().room.acquire().await {
            Ok(permit) => {
                permit.forget();
                self.push(value)
            }
            Err(_closed) => Err(value),
        }
    }

    /// Sends a value if there is room, and no sender waits for room. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The value comes back with `STATUS_TIMEOUT` if there is no room, and with
    /// `STATUS_PIPE_BROKEN` if the receiver has gone.
    pub fn try_send(&self, value: T) -> Result<(), (T, NTSTATUS)> {
        match self.0.block().room.try_acquire() {
            Ok(permit) => {
                permit.forget();
                self.push(value).map_err(|value| (value, NTSTATUS::PIPE_BROKEN))
            }
            Err(NTSTATUS::TIMEOUT) => Err((value, NTSTATUS::TIMEOUT)),
            Err(_closed) => Err((value, NTSTATUS::PIPE_BROKEN)),
        }
    }

    /// Puts a value into the ring, which has room, unless the receiver has gone.
    fn push(&self, value: T) -> Result<(), T> {
        let block = self.0.block();
        block.ring.locked(|ring| ring.push(value))?;
        block.sent.set();
        Ok(())
    }
}

impl<T> Clone for ChannelSender<T> {
    fn clone(&self) -> Self {
        self.0.block().senders.add();
        Self(self.0.clone())
    }
}

impl<T> Drop for ChannelSender<T> {
    fn drop(&mut self) {
        let block = self.0.block();
        if block.senders.remove() == 0 {
            // The count is zero for good, because a sender is cloned from a sender.
            block.ring.locked(|ring| ring.closed = true);
            block.sent.set();
        }
    }
}

impl<T> fmt::Debug for ChannelSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSender").finish_non_exhaustive()
    }
}

/// The receiving end of a [`channel`]. Its drop closes the channel and drops the values in it.
///
/// IRQL: ≤ DISPATCH_LEVEL.
pub struct ChannelReceiver<T>(Reference<T>);

// SAFETY: the values may be received on any thread; the block may be used by several.
unsafe impl<T: Send> Send for ChannelReceiver<T> {}
// SAFETY: a shared receiver has no operations.
unsafe impl<T: Send> Sync for ChannelReceiver<T> {}

impl<T> ChannelReceiver<T> {
    /// Waits for the next value. A `recv` that is dropped loses no value.
    ///
    /// The future ends with `STATUS_PIPE_BROKEN` if all senders have gone and no value is left.
    pub const fn recv(&mut self) -> Receive<'_, T> {
        Receive { receiver: self, wait: 0, share: Share::new() }
    }

    /// Takes the next value without waiting. IRQL: ≤ DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `STATUS_TIMEOUT`: there is no value. `STATUS_PIPE_BROKEN`: there is none, and all senders
    /// have gone.
    pub fn try_recv(&mut self) -> Result<T, NTSTATUS> {
        let block = self.0.block();
        let (value, closed) = block.ring.locked(|ring| (ring.pop(), ring.closed));
        match value {
            Some(value) => {
                block.room.add_permits(1);
                Ok(value)
            }
            None if closed => Err(NTSTATUS::PIPE_BROKEN),
            None => Err(NTSTATUS::TIMEOUT),
        }
    }
}

impl<T> Drop for ChannelReceiver<T> {
    fn drop(&mut self) {
        let block = self.0.block();
        block.ring.locked(|ring| ring.closed = true);
        block.room.close();
        // No sender pushes into a closed ring.
        while let Some(value) = block.ring.locked(Ring::pop) {
            drop(value);
        }
    }
}

impl<T> fmt::Debug for ChannelReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelReceiver").finish_non_exhaustive()
    }
}

/// The future of [`ChannelReceiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Receive<'a, T> {
    receiver: &'a mut ChannelReceiver<T>,
    /// The number of its wait for the signal.
    wait: usize,
    share: Share,
}

impl<T> Receive<'_, T> {
    fn poll_value(&mut self, context: &Context<'_>) -> Poll<Result<T, NTSTATUS>> {
        loop {
            match self.receiver.try_recv() {
                Err(NTSTATUS::TIMEOUT) => {}
                received => return Poll::Ready(received),
            }
            // A set that was for a value received before is taken, and the ring looked at again.
            if self.receiver.0.block().sent.poll(&mut self.wait, context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl<T> Future for Receive<'_, T> {
    type Output = Result<T, NTSTATUS>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut share = core::mem::take(&mut self.share);
        let polled = share.limit(context, |context| self.poll_value(context));
        self.share = share;
        polled
    }
}

impl<T> Drop for Receive<'_, T> {
    fn drop(&mut self) {
        self.receiver.0.block().sent.forget(self.wait);
    }
}

impl<T> fmt::Debug for Receive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").finish_non_exhaustive()
    }
}
