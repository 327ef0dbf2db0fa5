//! Waits (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kewaitforsingleobject`,
//! `nf-wdm-kewaitformultipleobjects`, `nf-wdm-kedelayexecutionthread`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};

use super::{dispatcher::Waitable, objects};
use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::{
        thread::ThreadName,
        timer::{Entry, Key},
        wait::{Kind, Wait},
    },
    trace::Value,
    types::{
        _KWAIT_REASON, _MODE, _WAIT_TYPE, BOOLEAN, DISPATCH_LEVEL, KPROCESSOR_MODE, KWAIT_BLOCK,
        KWAIT_REASON, MAXIMUM_WAIT_OBJECTS, NTSTATUS, PKWAIT_BLOCK, PLARGE_INTEGER, PVOID, STATUS_SUCCESS,
        STATUS_TIMEOUT, THREAD_WAIT_OBJECTS, ULONG, WAIT_TYPE,
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

/// The time that a wait may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// No time, which makes the wait a test.
    None,
    /// Until this time; a negative time is relative.
    Due(i64),
    /// Without end.
    Endless,
}

impl Patience {
    fn of(timeout: PLARGE_INTEGER) -> Self {
        if timeout.is_null() {
            return Self::Endless;
        }
        // SAFETY: the caller promises that a timeout that is not null is valid for reads.
        let value = unsafe { timeout.read_unaligned() };
        // SAFETY: the union has only this field, and any bits are a value.
        match unsafe { value.QuadPart } {
            0 => Self::None,
            due => Self::Due(due),
        }
    }
}

impl Machine {
    /// Returns a violation if the current thread must not wait now, in a DPC or at raised IRQL.
    pub(crate) fn forbid_wait(&self, ddi: Ddi, object: usize, timeout: usize, test: bool) -> Checked<()> {
        let irql = self.irql();
        if irql < DISPATCH || (irql == DISPATCH && test) {
            return Ok(());
        }
        let name = ddi.name();
        if self.cpu().in_dpc.get() {
            let address = self.thread_address(self.thread());
            return Err(wait::in_dpc(name, address));
        }
        Err(wait_too_high(name, irql, object, timeout))
    }

    /// Refuses unknown modes and reasons. There are no alerts and no APCs, so a wait that is
    /// alertable or in UserMode is like any other.
    fn refuse_wait(&self, ddi: Ddi, reason: KWAIT_REASON, mode: KPROCESSOR_MODE) {
        let name = ddi.name();
        let refused = if !matches!(i32::from(mode), _MODE::KernelMode | _MODE::UserMode) {
            alloc::format!("{name} with WaitMode {mode}, which is neither KernelMode nor UserMode")
        } else if !matches!(reason, _KWAIT_REASON::Executive | _KWAIT_REASON::UserRequest) {
            alloc::format!("{name} with WaitReason {reason}: drivers have Executive and UserRequest only")
        } else {
            return;
        };
        self.fail("not supported", refused);
    }

    /// A violation if a thread waits in UserMode for a mutex, or with an object or wait blocks on
    /// its stack, which may be swapped out meanwhile.
    fn check_user_wait(
        &self,
        ddi: Ddi,
        mode: KPROCESSOR_MODE,
        objects: &[usize],
        blocks: usize,
    ) -> Checked<()> {
        if i32::from(mode) == _MODE::KernelMode {
            return Ok(());
        }
        for address in objects.iter().copied() {
            if let Waitable::Mutex = self.waitable(address)? {
                self.documented(|| documented::user_wait_for_mutex(ddi.name(), address, self.name(address)))?;
            }
        }
        let on_stack = |address: &usize| self.bounds.get().holds(*address);
        match objects.iter().chain([&blocks]).copied().find(on_stack) {
            Some(address) => {
                self.documented(|| documented::user_wait_on_stack(ddi.name(), address, self.name(address)))
            }
            None => Ok(()),
        }
    }

    /// Inserts the end of a thread's wait into the timer queue.
    fn set_timeout(&self, thread: usize, due: i64) -> Key {
        let (_, tick) = self.due(due);
        let address = self.thread_address(thread);
        let entry = Entry {
            address,
            thread: Some(thread),
            dpc: 0,
            processor: self.current.get(),
            period: 0,
            tolerance: 0,
            absolute: u64::try_from(due).ok(),
        };
        self.kernel.borrow_mut().timers.insert(tick, entry)
    }

    fn wait_for(
        &self,
        ddi: Ddi,
        kind: Kind,
        objects: Vec<usize>,
        timeout: PLARGE_INTEGER,
    ) -> Checked<NTSTATUS> {
        let patience = Patience::of(timeout);
        let first = objects.first().copied().unwrap_or_default();
        self.forbid_wait(ddi, first, timeout as usize, patience == Patience::None)?;
        let thread = self.thread();
        if let Some(status) = self.try_satisfy(thread, kind, &objects, self.irql() >= DISPATCH)? {
            return Ok(status);
        }
        let timeout = match patience {
            Patience::None => return Ok(STATUS_TIMEOUT),
            Patience::Due(due) => Some(self.set_timeout(thread, due)),
            Patience::Endless => None,
        };
        Ok(self.block(Wait { thread, kind, objects, timeout }, Some(ddi)))
    }

    /// Returns the addresses of the objects of a wait for several.
    fn wait_objects(&self, count: ULONG, objects: *mut PVOID, all: bool, room: usize) -> Checked<Vec<usize>> {
        if count == 0 {
            self.fail(
                "not supported",
                alloc::string::String::from("KeWaitForMultipleObjects with a Count of 0"),
            );
        }
        if count > MAXIMUM_WAIT_OBJECTS || (room == 0 && count > THREAD_WAIT_OBJECTS) {
            return Err(too_many(count, room));
        }
        if room != 0 {
            let end = room + size_of::<KWAIT_BLOCK>() * count as usize - 1;
            self.check_memory(room, Use::WaitBlocks)?;
            self.check_memory(end, Use::WaitBlocks)?;
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
        if let Some((_, address)) = twice.filter(|_| all) {
            let name = self.name(*address);
            self.fail(
                "not supported",
                alloc::format!("KeWaitForMultipleObjects with WaitAll and {name} twice"),
            );
        }
        Ok(addresses)
    }

    /// Lets another thread of this processor run, if one is ready.
    fn yield_processor(&self) {
        if self.cpu().ready.get() != 0 {
            self.clock.settle();
            self.clock.end_slice(false);
            self.regrant();
        }
        self.point();
    }
}

fn too_many(count: ULONG, room: usize) -> Box<Violation> {
    let limit = if room == 0 { THREAD_WAIT_OBJECTS } else { MAXIMUM_WAIT_OBJECTS };
    wait::too_many_objects(count, room != 0, limit)
}

/// Waits until an object is signalled, or until `Timeout`. Returns STATUS_SUCCESS or
/// STATUS_TIMEOUT.
///
/// The function that initialises an object documents how it changes with the waits that it
/// satisfies. A thread is signalled when it has ended.
///
/// `Timeout` is in 100-ns units. A negative time is relative to the last clock tick, and a positive
/// one is absolute. Zero makes the call a test without a wait, and null has no end. A wait times
/// out at a clock tick. While every thread waits, the clock jumps. If no timer is set either, the
/// run ends with [`Stop::Deadlock`](crate::Stop::Deadlock).
///
/// After a release with `Wait` = TRUE the call first restores the IRQL before that release.
/// `Alertable` and UserMode make no difference, because there are no alerts and no APCs. But bug
/// check 0xC4/0x4E530005 if a wait in UserMode is for a mutex, or has an object or wait blocks on
/// the thread's stack.
///
/// IRQL ≤ APC_LEVEL, for a test ≤ DISPATCH_LEVEL, otherwise bug check 0xC4/0x3B, or 0xB8 in a DPC
/// routine. Bug check 0x139 if `Object` is not an object, or was moved or overwritten. Reasons that
/// no driver has end the run as not supported (`nf-wdm-kewaitforsingleobject`).
///
/// # Safety
/// `Object` is an initialised event, semaphore, mutex or timer and stays valid until this returns,
/// or a referenced thread; `Timeout` is null or valid for reads.
pub unsafe extern "C" fn KeWaitForSingleObject(
    Object: PVOID,
    WaitReason: KWAIT_REASON,
    WaitMode: KPROCESSOR_MODE,
    _Alertable: BOOLEAN,
    Timeout: PLARGE_INTEGER,
) -> NTSTATUS {
    let ddi = Ddi::KeWaitForSingleObject;
    let machine = &*enter(ddi);
    machine.refuse_wait(ddi, WaitReason, WaitMode);
    machine.end_join();
    let objects = alloc::vec![objects::address(Object)];
    machine.checked(machine.check_user_wait(ddi, WaitMode, &objects, 0));
    let status = machine.checked(machine.wait_for(ddi, Kind::Any, objects, Timeout));
    machine.called(ddi, |machine| {
        ([machine.pointer(Object as usize)], Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Waits until one of `Count` objects is signalled or all are, or until `Timeout`, otherwise like
/// [`KeWaitForSingleObject`].
///
/// With WaitAny the status is the index of the signalled object. With WaitAll all objects must be
/// signalled at the same time, and only then are they changed.
///
/// More than three objects need a `WaitBlockArray` in memory that is not paged; more than 64 are
/// too many (bug check 0xC). The same object twice in a WaitAll and no object at all end the run as
/// not supported (`nf-wdm-kewaitformultipleobjects`).
///
/// # Safety
/// The same as for [`KeWaitForSingleObject`], for each of the `Count` elements of `Object`;
/// `WaitBlockArray` is null or has room for as many wait blocks until this returns.
pub unsafe extern "C" fn KeWaitForMultipleObjects(
    Count: ULONG,
    Object: *mut PVOID,
    WaitType: WAIT_TYPE,
    WaitReason: KWAIT_REASON,
    WaitMode: KPROCESSOR_MODE,
    _Alertable: BOOLEAN,
    Timeout: PLARGE_INTEGER,
    WaitBlockArray: PKWAIT_BLOCK,
) -> NTSTATUS {
    let ddi = Ddi::KeWaitForMultipleObjects;
    let machine = &*enter(ddi);
    machine.refuse_wait(ddi, WaitReason, WaitMode);
    machine.end_join();
    let kind = match WaitType {
        _WAIT_TYPE::WaitAll => Kind::All,
        _WAIT_TYPE::WaitAny => Kind::Any,
        other => machine.fail(
            "not supported",
            alloc::format!(
                "KeWaitForMultipleObjects with WaitType {other}, which is neither WaitAll nor WaitAny"
            ),
        ),
    };
    let objects = machine.wait_objects(Count, Object, kind == Kind::All, WaitBlockArray as usize);
    let objects = machine.checked(objects);
    machine.checked(machine.check_user_wait(ddi, WaitMode, &objects, WaitBlockArray as usize));
    let status = machine.checked(machine.wait_for(ddi, kind, objects, Timeout));
    machine.called(ddi, |machine| {
        let arguments =
            [Value::Number(Count.into()), machine.pointer(Object as usize), Value::Signed(WaitType.into())];
        (arguments, Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Lets the current thread wait until a time, given as in [`KeWaitForSingleObject`], and returns
/// STATUS_SUCCESS. With zero, another thread runs if one is ready.
///
/// IRQL ≤ APC_LEVEL, otherwise bug check 0xC4/0x3B, or 0xB8 in a DPC routine. `Alertable` and
/// `WaitMode` are as in the waits (`nf-wdm-kedelayexecutionthread`).
///
/// # Safety
/// `Interval` is valid for reads.
pub unsafe extern "C" fn KeDelayExecutionThread(
    WaitMode: KPROCESSOR_MODE,
    _Alertable: BOOLEAN,
    Interval: PLARGE_INTEGER,
) -> NTSTATUS {
    let ddi = Ddi::KeDelayExecutionThread;
    let machine = &*enter(ddi);
    machine.refuse_wait(ddi, _KWAIT_REASON::Executive, WaitMode);
    machine.checked(machine.forbid_wait(ddi, 0, Interval as usize, false));
    let status = match Patience::of(Interval) {
        Patience::Due(due) => {
            let thread = machine.thread();
            let timeout = Some(machine.set_timeout(thread, due));
            machine.block(Wait { thread, kind: Kind::Delay, objects: Vec::new(), timeout }, Some(ddi))
        }
        Patience::None => {
            machine.yield_processor();
            STATUS_SUCCESS
        }
        Patience::Endless => {
            let thread = ThreadName::of(machine.thread());
            machine
                .fail("not supported", alloc::format!("{thread}: KeDelayExecutionThread without an interval"))
        }
    };
    machine.called(ddi, |machine| ([machine.pointer(Interval as usize)], Some(Value::Bits(status as u64))));
    status
}
