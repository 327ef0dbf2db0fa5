//! Lets threads wait for objects, or for a time.

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};

use super::{
    dispatcher::{self, Waitable},
    join, objects,
};
use crate::{
    engine::machine::Machine,
    kernel::{
        thread::ThreadName,
        timer::{Key, SetTimer},
        wait::{Wait, WaitKind},
    },
    types::{
        _KWAIT_REASON, _MODE, _WAIT_TYPE, DISPATCH_LEVEL, KPROCESSOR_MODE, KWAIT_BLOCK, KWAIT_REASON,
        MAXIMUM_WAIT_OBJECTS, NTSTATUS, PLARGE_INTEGER, PVOID, STATUS_SUCCESS, STATUS_TIMEOUT,
        THREAD_WAIT_OBJECTS, ULONG, WAIT_TYPE,
    },
    verifier::{
        Checked, Violation,
        bugcheck::{
            driver_verifier::{documented, irql::wait_too_high},
            wait,
        },
        irql::Ddi,
        memory::Use,
    },
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;

/// The time until which a thread waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timeout {
    /// At once, which makes the wait a test.
    Zero,
    /// At this time; a negative time is relative.
    Due(i64),
    /// Never.
    Infinite,
}

impl Timeout {
    fn of(timeout: PLARGE_INTEGER) -> Self {
        if timeout.is_null() {
            return Self::Infinite;
        }
        // SAFETY: the caller promises that a timeout that is not null is valid for reads.
        let value = unsafe { timeout.read_unaligned() };
        // SAFETY: the union has only this field, and any bits are a value.
        match unsafe { value.QuadPart } {
            0 => Self::Zero,
            due => Self::Due(due),
        }
    }
}

/// Returns a violation if the current thread must not wait now, in a DPC or at raised IRQL.
pub(crate) fn forbid(machine: &Machine, ddi: Ddi, object: usize, timeout: usize, test: bool) -> Checked<()> {
    let irql = machine.irql();
    if irql < DISPATCH || (irql == DISPATCH && test) {
        return Ok(());
    }
    let name = ddi.name();
    if machine.cpu().in_dpc.get() {
        let address = machine.thread_address(machine.thread());
        return Err(wait::in_dpc(name, address));
    }
    Err(wait_too_high(name, irql, object, timeout))
}

/// Refuses unknown modes and reasons. There are no alerts and no APCs, so a wait that is
/// alertable or in UserMode is like any other.
pub(crate) fn refuse(machine: &Machine, ddi: Ddi, reason: KWAIT_REASON, mode: KPROCESSOR_MODE) {
    let name = ddi.name();
    let refused = if !matches!(i32::from(mode), _MODE::KernelMode | _MODE::UserMode) {
        alloc::format!("{name} with WaitMode {mode}, which is neither KernelMode nor UserMode")
    } else if !matches!(reason, _KWAIT_REASON::Executive | _KWAIT_REASON::UserRequest) {
        alloc::format!("{name} with WaitReason {reason}: drivers have Executive and UserRequest only")
    } else {
        return;
    };
    machine.fail("not supported", refused);
}

/// A violation if a thread waits in UserMode for a mutex, or with an object or wait blocks on
/// its stack, which may be swapped out meanwhile.
fn check_user_mode(
    machine: &Machine,
    ddi: Ddi,
    mode: KPROCESSOR_MODE,
    objects: &[usize],
    blocks: usize,
) -> Checked<()> {
    if i32::from(mode) == _MODE::KernelMode {
        return Ok(());
    }
    for address in objects.iter().copied() {
        if let Waitable::Mutex = dispatcher::waitable(machine, address)? {
            machine
                .documented(|| documented::user_wait_for_mutex(ddi.name(), address, machine.name(address)))?;
        }
    }
    let on_stack = |address: &usize| machine.bounds.get().holds(*address);
    match objects.iter().chain([&blocks]).copied().find(on_stack) {
        Some(address) => {
            machine.documented(|| documented::user_wait_on_stack(ddi.name(), address, machine.name(address)))
        }
        None => Ok(()),
    }
}

/// Inserts the end of a thread's wait into the timer queue.
fn set_timeout(machine: &Machine, thread: usize, due: i64) -> Key {
    let (_, tick) = machine.due(due);
    let address = machine.thread_address(thread);
    let entry = SetTimer {
        address,
        thread: Some(thread),
        dpc: 0,
        processor: machine.current.get(),
        period: 0,
        tolerance: 0,
        absolute: u64::try_from(due).ok(),
    };
    machine.kernel.borrow_mut().timers.insert(tick, entry)
}

fn wait_for(
    machine: &Machine,
    ddi: Ddi,
    kind: WaitKind,
    objects: Vec<usize>,
    timeout: PLARGE_INTEGER,
) -> Checked<NTSTATUS> {
    let limit = Timeout::of(timeout);
    let first = objects.first().copied().unwrap_or_default();
    forbid(machine, ddi, first, timeout as usize, limit == Timeout::Zero)?;
    let thread = machine.thread();
    if let Some(status) =
        dispatcher::try_satisfy(machine, thread, kind, &objects, machine.irql() >= DISPATCH)?
    {
        return Ok(status);
    }
    let timeout = match limit {
        Timeout::Zero => return Ok(STATUS_TIMEOUT),
        Timeout::Due(due) => Some(set_timeout(machine, thread, due)),
        Timeout::Infinite => None,
    };
    Ok(machine.block(Wait { thread, kind, objects, timeout }, Some(ddi)))
}

/// Returns the addresses of the objects of a wait for several. `room` is the address of the array
/// of wait blocks, or 0.
///
/// # Safety
/// `objects` has `count` elements.
pub(crate) unsafe fn objects_of(
    machine: &Machine,
    count: ULONG,
    objects: *mut PVOID,
    kind: WaitKind,
    room: usize,
) -> Checked<Vec<usize>> {
    if count == 0 {
        machine
            .fail("not supported", alloc::string::String::from("KeWaitForMultipleObjects with a Count of 0"));
    }
    if count > MAXIMUM_WAIT_OBJECTS || (room == 0 && count > THREAD_WAIT_OBJECTS) {
        return Err(too_many(count, room));
    }
    if room != 0 {
        let end = room + size_of::<KWAIT_BLOCK>() * count as usize - 1;
        machine.check_memory(room, Use::WaitBlocks)?;
        machine.check_memory(end, Use::WaitBlocks)?;
    }
    let mut addresses = Vec::new();
    for index in 0..count as usize {
        // SAFETY: the caller promises that the array has `count` elements.
        let object = unsafe { objects.wrapping_add(index).read_unaligned() };
        addresses.push(objects::address(object));
    }
    let twice = addresses
        .iter()
        .enumerate()
        .find(|(index, one)| addresses.iter().take(*index).any(|other| other == *one));
    if let Some((_, address)) = twice.filter(|_| kind == WaitKind::All) {
        let name = machine.name(*address);
        machine
            .fail("not supported", alloc::format!("KeWaitForMultipleObjects with WaitAll and {name} twice"));
    }
    Ok(addresses)
}

/// Lets another thread of this processor run, if one is ready.
fn yield_processor(machine: &Machine) {
    if machine.cpu().ready.get() != 0 {
        machine.clock.settle();
        machine.clock.end_slice(false);
        machine.regrant();
    }
    machine.point();
}

fn too_many(count: ULONG, room: usize) -> Box<Violation> {
    let limit = if room == 0 { THREAD_WAIT_OBJECTS } else { MAXIMUM_WAIT_OBJECTS };
    wait::too_many_objects(count, room != 0, limit)
}

/// Begins a call that waits: refuses modes and reasons that drivers do not have, and restores the
/// IRQL before a joined release.
pub(crate) fn begin(machine: &Machine, ddi: Ddi, reason: KWAIT_REASON, mode: KPROCESSOR_MODE) {
    refuse(machine, ddi, reason, mode);
    join::end(machine);
}

/// Returns the kind of a wait of this type. Another type ends the run.
pub(crate) fn kind(machine: &Machine, wait_type: WAIT_TYPE) -> WaitKind {
    match wait_type {
        _WAIT_TYPE::WaitAll => WaitKind::All,
        _WAIT_TYPE::WaitAny => WaitKind::Any,
        other => machine.fail(
            "not supported",
            alloc::format!(
                "KeWaitForMultipleObjects with WaitType {other}, which is neither WaitAll nor WaitAny"
            ),
        ),
    }
}

/// Waits for an object and returns the wait's status.
pub(crate) fn for_one(
    machine: &Machine,
    object: usize,
    mode: KPROCESSOR_MODE,
    timeout: PLARGE_INTEGER,
) -> Checked<NTSTATUS> {
    let (ddi, objects) = (Ddi::KeWaitForSingleObject, alloc::vec![object]);
    check_user_mode(machine, ddi, mode, &objects, 0)?;
    wait_for(machine, ddi, WaitKind::Any, objects, timeout)
}

/// Waits for one of several objects, or for all, and returns the wait's status.
pub(crate) fn for_several(
    machine: &Machine,
    kind: WaitKind,
    objects: Vec<usize>,
    blocks: usize,
    mode: KPROCESSOR_MODE,
    timeout: PLARGE_INTEGER,
) -> Checked<NTSTATUS> {
    let ddi = Ddi::KeWaitForMultipleObjects;
    check_user_mode(machine, ddi, mode, &objects, blocks)?;
    wait_for(machine, ddi, kind, objects, timeout)
}

/// Lets the current thread wait for a time and returns the wait's status.
pub(crate) fn delay(machine: &Machine, interval: PLARGE_INTEGER) -> Checked<NTSTATUS> {
    let ddi = Ddi::KeDelayExecutionThread;
    forbid(machine, ddi, 0, interval as usize, false)?;
    match Timeout::of(interval) {
        Timeout::Due(due) => {
            let thread = machine.thread();
            let timeout = Some(set_timeout(machine, thread, due));
            let wait = Wait { thread, kind: WaitKind::Delay, objects: Vec::new(), timeout };
            Ok(machine.block(wait, Some(ddi)))
        }
        Timeout::Zero => {
            yield_processor(machine);
            Ok(STATUS_SUCCESS)
        }
        Timeout::Infinite => {
            let thread = ThreadName::of(machine.thread());
            machine
                .fail("not supported", alloc::format!("{thread}: KeDelayExecutionThread without an interval"))
        }
    }
}
