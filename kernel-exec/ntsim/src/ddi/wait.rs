//! Waits (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-kewaitforsingleobject`,
//! `nf-wdm-kewaitformultipleobjects`, `nf-wdm-kedelayexecutionthread`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::{objects, wait},
    trace::Value,
    types::{
        _KWAIT_REASON, BOOLEAN, KPROCESSOR_MODE, KWAIT_REASON, NTSTATUS, PKWAIT_BLOCK, PLARGE_INTEGER, PVOID,
        ULONG, WAIT_TYPE,
    },
    verifier::irql::Ddi,
};

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
    wait::begin(machine, ddi, WaitReason, WaitMode);
    let status = machine.checked(wait::for_one(machine, objects::address(Object), WaitMode, Timeout));
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
    wait::begin(machine, ddi, WaitReason, WaitMode);
    let kind = wait::kind(machine, WaitType);
    // SAFETY: the caller promises that `Object` has `Count` elements.
    let objects = unsafe { wait::objects_of(machine, Count, Object, kind, WaitBlockArray as usize) };
    let (objects, blocks) = (machine.checked(objects), WaitBlockArray as usize);
    let status = machine.checked(wait::for_several(machine, kind, objects, blocks, WaitMode, Timeout));
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
    wait::refuse(machine, ddi, _KWAIT_REASON::Executive, WaitMode);
    let status = machine.checked(wait::delay(machine, Interval));
    machine.called(ddi, |machine| ([machine.pointer(Interval as usize)], Some(Value::Bits(status as u64))));
    status
}
