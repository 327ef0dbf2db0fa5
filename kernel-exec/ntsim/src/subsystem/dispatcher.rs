//! Dispatcher objects in the driver's memory, and their common operations, to signal them and to
//! satisfy waits. Only this code reads and writes their headers.
//!
//! Safe functions that take an address rely on the driver's promise to the DDI that first got it:
//! the object is valid memory while a thread waits for it `[W1]`. Threads are not in the driver's
//! memory. They are known by their addresses.

extern crate alloc;

use alloc::{boxed::Box, string::String};

use super::objects::TIMER_OBJECT;
use crate::{
    engine::machine::Machine,
    kernel::{
        mutex::HeldMutex,
        thread::{State, ThreadName},
        wait::WaitKind,
    },
    types::{DISPATCHER_HEADER, KMUTANT, LIST_ENTRY, LONG, NTSTATUS},
    verifier::{
        Checked, Violation,
        bugcheck::{exception::raised_by_call, freed_memory, security_check},
        memory::Use,
    },
};

/// The `Type` of an initialised notification event, as in NT. A synchronization event has one more.
pub(crate) const EVENT_OBJECT: u8 = 0;
/// The `Type` of an initialised mutex.
pub(crate) const MUTEX_OBJECT: u8 = 2;
/// The `Type` of an initialised semaphore.
pub(crate) const SEMAPHORE_OBJECT: u8 = 5;

/// Sizes as headers store them, in units of four bytes.
const EVENT_SIZE: u8 = 6;
const MUTEX_SIZE: u8 = 14;
const SEMAPHORE_SIZE: u8 = 8;

/// An object that a thread can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waitable {
    Event {
        synchronization: bool,
    },
    Semaphore,
    Mutex,
    Timer {
        synchronization: bool,
    },
    /// The thread with this context.
    Thread(usize),
}

impl Waitable {
    /// Returns the name of the kind, for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Semaphore => "semaphore",
            Self::Mutex => "mutex",
            Self::Timer { .. } => "timer",
            Self::Thread(_) => "thread",
        }
    }

    /// Returns the `Type` and `Size` of an initialised object. Timers and threads have none here.
    fn marks(self) -> Option<(u8, u8)> {
        match self {
            Self::Event { synchronization } => Some((EVENT_OBJECT + u8::from(synchronization), EVENT_SIZE)),
            Self::Semaphore => Some((SEMAPHORE_OBJECT, SEMAPHORE_SIZE)),
            Self::Mutex => Some((MUTEX_OBJECT, MUTEX_SIZE)),
            Self::Timer { .. } | Self::Thread(_) => None,
        }
    }

    /// Returns whether satisfying a wait changes the object, so that it may not satisfy another.
    fn is_consumed(self) -> bool {
        match self {
            Self::Event { synchronization } | Self::Timer { synchronization } => synchronization,
            Self::Semaphore | Self::Mutex => true,
            Self::Thread(_) => false,
        }
    }
}

fn header(address: usize) -> *mut DISPATCHER_HEADER {
    core::ptr::with_exposed_provenance_mut(address)
}

fn read(address: usize) -> DISPATCHER_HEADER {
    // SAFETY: pool memory was checked before; other memory is valid by [W1]. Any bits are a header.
    unsafe { header(address).read_unaligned() }
}

fn write(address: usize, value: DISPATCHER_HEADER) {
    // SAFETY: pool memory was checked before; other memory is valid by [W1].
    unsafe { header(address).write_unaligned(value) }
}

/// Returns the address of an object's list of waiters. The list head of an initialised object holds
/// this address, because the list is empty.
fn list_head(address: usize) -> *mut LIST_ENTRY {
    core::ptr::without_provenance_mut(address + core::mem::offset_of!(DISPATCHER_HEADER, WaitListHead))
}

/// Returns the list head of an initialised object.
pub(crate) fn empty_list(address: usize) -> LIST_ENTRY {
    LIST_ENTRY { Flink: list_head(address), Blink: list_head(address) }
}

/// Reads the state of an object that is known to be valid.
pub(crate) fn state(address: usize) -> LONG {
    read(address).SignalState
}

/// Writes the state of an object that is known to be valid.
pub(crate) fn set_state(address: usize, state: LONG) {
    write(address, DISPATCHER_HEADER { SignalState: state, ..read(address) });
}

/// Writes the owner of a mutex that is known to be valid; 0 means no thread.
pub(crate) fn set_owner(address: usize, owner: usize) {
    let mutex: *mut KMUTANT = core::ptr::with_exposed_provenance_mut(address);
    // SAFETY: the mutex is valid by [W1]; no reference is made.
    let place = unsafe { &raw mut (*mutex).OwnerThread };
    // SAFETY: the field is part of the mutex, which is valid by [W1].
    unsafe { place.write_unaligned(core::ptr::with_exposed_provenance_mut(owner)) }
}

/// Returns the name of a kind of objects with its article.
fn with_article(kind: &str) -> String {
    alloc::format!("{} {kind}", if kind == "event" { "an" } else { "a" })
}

/// Returns the header of a new object, after checking that no thread waits for an object there.
pub(crate) fn fresh_header(
    machine: &Machine,
    address: usize,
    kind: Waitable,
    state: LONG,
) -> Checked<DISPATCHER_HEADER> {
    machine.check_memory(address, Use::Dispatcher)?;
    let waiter = machine.kernel.borrow().waits.waiters(address).first().copied();
    if let Some(waiter) = waiter {
        let (thread, name) = (ThreadName::of(waiter), machine.name(address));
        return Err(security_check::awaited_object_initialised(kind.name(), name, thread));
    }
    let (object, size) = kind.marks().unwrap_or_default();
    Ok(DISPATCHER_HEADER {
        Type: object,
        Size: size,
        SignalState: state,
        WaitListHead: empty_list(address),
        ..DISPATCHER_HEADER::default()
    })
}

/// Returns the kind of the object at an address, or a violation if it is not a dispatcher
/// object.
pub(crate) fn waitable(machine: &Machine, address: usize) -> Checked<Waitable> {
    let thread = machine.kernel.borrow().threads.find(address);
    if let Some(thread) = thread {
        return waitable_thread(machine, thread, address);
    }
    machine.check_memory(address, Use::Dispatcher)?;
    let header = read(address);
    let candidates = [
        Waitable::Event { synchronization: false },
        Waitable::Event { synchronization: true },
        Waitable::Semaphore,
        Waitable::Mutex,
    ];
    let marks = Some((header.Type, header.Size));
    let found = match header.Type.checked_sub(TIMER_OBJECT) {
        Some(kind @ 0..=1) => Some(Waitable::Timer { synchronization: kind == 1 }),
        _ => candidates.into_iter().find(|candidate| candidate.marks() == marks),
    };
    let intact = header.WaitListHead.Flink == list_head(address);
    found.filter(|_| intact).ok_or_else(|| not_initialised(machine, address, "a dispatcher object"))
}

fn waitable_thread(machine: &Machine, thread: usize, address: usize) -> Checked<Waitable> {
    if machine.kernel.borrow().threads.get(thread).references != 0 {
        return Ok(Waitable::Thread(thread));
    }
    Err(freed_memory::awaited_thread_released(address, ThreadName::of(thread)))
}

/// Returns a violation unless the object at an address is of this kind.
pub(crate) fn expect(machine: &Machine, address: usize, kind: &'static str) -> Checked<Waitable> {
    match waitable(machine, address) {
        Ok(found) if found.name() == kind => Ok(found),
        Ok(found) => {
            let (name, used_as) = (machine.name(address), with_article(kind));
            Err(security_check::wrong_kind(name, found.name(), &used_as))
        }
        Err(violation) if security_check::is(&violation) => {
            Err(not_initialised(machine, address, &with_article(kind)))
        }
        Err(violation) => Err(violation),
    }
}

fn not_initialised(machine: &Machine, address: usize, what: &str) -> Box<Violation> {
    security_check::not_initialised(machine.name(address), what)
}

/// Describes an object by its kind and name, for a message.
pub(crate) fn describe(machine: &Machine, address: usize) -> String {
    match waitable(machine, address) {
        Ok(Waitable::Thread(thread)) => alloc::format!("the end of {}", ThreadName::of(thread)),
        Ok(kind) => alloc::format!("{} {}", kind.name(), machine.name(address)),
        Err(_) => alloc::format!("{}, which is not a dispatcher object any more", machine.name(address)),
    }
}

fn is_signalled(machine: &Machine, address: usize, kind: Waitable, thread: usize) -> bool {
    match kind {
        Waitable::Thread(other) => machine.kernel.borrow().threads.get(other).state == State::Ended,
        Waitable::Mutex if state(address) <= 0 => {
            let holder = machine.kernel.borrow().mutexes.holder(address);
            holder.is_some_and(|held| held.thread == thread)
        }
        _ => state(address) > 0,
    }
}

/// Changes an object as its kind requires when it satisfies a thread's wait.
fn consume(
    machine: &Machine,
    address: usize,
    kind: Waitable,
    thread: usize,
    at_dispatch: bool,
) -> Checked<()> {
    match kind {
        Waitable::Event { synchronization: true } | Waitable::Timer { synchronization: true } => {
            set_state(address, 0);
        }
        Waitable::Semaphore => set_state(address, state(address) - 1),
        Waitable::Mutex => {
            let Some(next) = state(address).checked_sub(1) else {
                return Err(raised_by_call(
                    crate::types::STATUS_MUTANT_LIMIT_EXCEEDED,
                    "a mutex was acquired more often than it can count",
                ));
            };
            if next == 0 {
                let owner = machine.thread_address(thread);
                set_owner(address, owner);
                machine.kernel.borrow_mut().mutexes.acquire(HeldMutex { address, thread, at_dispatch });
            }
            set_state(address, next);
        }
        Waitable::Event { .. } | Waitable::Timer { .. } | Waitable::Thread(_) => {}
    }
    Ok(())
}

/// Satisfies a thread's wait if its objects allow it now. `at_dispatch` says that the thread is
/// running, at DISPATCH_LEVEL.
pub(crate) fn try_satisfy(
    machine: &Machine,
    thread: usize,
    kind: WaitKind,
    objects: &[usize],
    at_dispatch: bool,
) -> Checked<Option<NTSTATUS>> {
    let mut signalled = 0;
    for (index, address) in objects.iter().copied().enumerate() {
        let object = match kind {
            WaitKind::Any | WaitKind::All => waitable(machine, address)?,
            WaitKind::Delay | WaitKind::Kernel(_) => return Ok(None),
        };
        if !is_signalled(machine, address, object, thread) {
            continue;
        }
        if kind == WaitKind::Any {
            consume(machine, address, object, thread, at_dispatch)?;
            return Ok(Some(index as NTSTATUS));
        }
        signalled += 1;
    }
    if signalled < objects.len() || objects.is_empty() {
        return Ok(None);
    }
    for address in objects.iter().copied() {
        let object = waitable(machine, address)?;
        consume(machine, address, object, thread, at_dispatch)?;
    }
    Ok(Some(crate::types::STATUS_SUCCESS))
}

/// Ends the waits that an object satisfies after it may have become signalled. If it can
/// satisfy only some, the schedule chooses which thread is tried first.
pub(crate) fn signal(machine: &Machine, address: usize) -> Checked<()> {
    let waiters = machine.kernel.borrow().waits.waiters(address);
    if waiters.is_empty() {
        return Ok(());
    }
    let options = u8::try_from(waiters.len()).unwrap_or(u8::MAX);
    let choose = options > 1 && waitable(machine, address)?.is_consumed();
    let first = if choose { usize::from(machine.choose(options)) } else { 0 };
    let (before, from) = waiters.split_at_checked(first).unwrap_or((&[], &waiters));
    for thread in from.iter().chain(before).copied() {
        let wait = machine.kernel.borrow().waits.of(thread).cloned();
        let Some(wait) = wait else { continue };
        if let Some(status) = try_satisfy(machine, thread, wait.kind, &wait.objects, false)? {
            machine.end_wait(thread, status);
        }
    }
    Ok(())
}
