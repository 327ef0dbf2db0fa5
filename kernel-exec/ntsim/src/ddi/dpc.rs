//! Deferred procedure calls.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-keinitializedpc`,
//! `nf-wdm-keinsertqueuedpc`, `nf-wdm-keremovequeuedpc`, `nf-wdm-keflushqueueddpcs`,
//! `nf-wdm-kesetimportancedpc`, `nf-wdm-kesettargetprocessordpcex`;
//! learn.microsoft.com/windows-hardware/drivers/kernel/organization-of-dpc-queues.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use crate::{
    engine::entry::{enter, enter_run},
    subsystem::{dpc, objects},
    trace::Value,
    types::{
        BOOLEAN, CCHAR, KDPC_IMPORTANCE, NTSTATUS, PKDEFERRED_ROUTINE, PPROCESSOR_NUMBER, PRKDPC,
        PROCESSOR_NUMBER, PVOID, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
    },
    verifier::irql::Ddi,
};

/// Initialises a DPC with medium importance and no target. Any IRQL. Bug check 0xC7 if a DPC there
/// is queued; 0xD1 in paged pool (`nf-wdm-keinitializedpc`).
///
/// # Safety
/// `Dpc` is valid for writes, and stays valid while it is queued; `DeferredRoutine` may be called
/// with `DeferredContext`.
pub unsafe extern "C" fn KeInitializeDpc(
    Dpc: PRKDPC,
    DeferredRoutine: PKDEFERRED_ROUTINE,
    DeferredContext: PVOID,
) {
    let machine = &*enter(Ddi::KeInitializeDpc);
    machine.called(Ddi::KeInitializeDpc, |machine| {
        let routine = DeferredRoutine.map_or(0, |routine| routine as usize);
        let arguments = [Dpc as usize, routine, objects::untyped(DeferredContext)];
        (arguments.map(|argument| machine.pointer(argument)), None)
    });
    machine.checked(dpc::initialize(machine, Dpc, DeferredRoutine, DeferredContext));
}

/// Ends the run, because ntsim has no threaded DPCs. NT may run the routines of those at
/// PASSIVE_LEVEL (`nf-wdm-keinitializethreadeddpc`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeInitializeThreadedDpc(
    Dpc: PRKDPC,
    DeferredRoutine: PKDEFERRED_ROUTINE,
    DeferredContext: PVOID,
) {
    let machine = &*enter(Ddi::KeInitializeThreadedDpc);
    let _ = (DeferredRoutine, DeferredContext);
    let name = machine.name(Dpc as usize);
    machine.fail(
        "not supported",
        alloc::format!("KeInitializeThreadedDpc for {name}: ntsim has no threaded DPCs"),
    )
}

/// Queues a DPC. Returns TRUE, or FALSE without any change if it is queued already. Any IRQL.
///
/// The DPC goes to the queue of its target processor, or of the current one. HighImportance
/// puts it at the head, any other importance at the tail.
///
/// - On the current processor below DISPATCH_LEVEL it runs before this returns. LowImportance may
///   leave it for later, which is a schedule choice. At DISPATCH_LEVEL it runs when IRQL drops.
/// - Another processor is interrupted at once for High and MediumHigh, when it is idle, or when its
///   queue is four deep. Otherwise the schedule chooses now or later. Later means when its IRQL
///   drops below DISPATCH_LEVEL, when it becomes idle, or a clock period from now.
///
/// Bug check 0xC7 if the DPC is not initialised, freed, or used with a timer
/// (`nf-wdm-keinsertqueuedpc`).
///
/// # Safety
/// `Dpc` was given to [`KeInitializeDpc`] and stays valid until its routine has begun; its routine
/// may be called with these arguments.
pub unsafe extern "C" fn KeInsertQueueDpc(
    Dpc: PRKDPC,
    SystemArgument1: PVOID,
    SystemArgument2: PVOID,
) -> BOOLEAN {
    let Some(machine) = enter_run(Ddi::KeInsertQueueDpc) else { return 1 };
    let queued = machine.checked(dpc::insert(&machine, Dpc, (SystemArgument1, SystemArgument2)));
    machine.called(Ddi::KeInsertQueueDpc, |machine| {
        let arguments = [Dpc as usize, objects::untyped(SystemArgument1), objects::untyped(SystemArgument2)];
        (arguments.map(|argument| machine.pointer(argument)), Some(Value::Boolean(queued.is_some())))
    });
    let Some(value) = queued else { return 0 };
    dpc::deliver(&machine, Dpc, &value);
    1
}

/// Removes a DPC from its queue. Any IRQL (`nf-wdm-keremovequeuedpc`).
///
/// Returns TRUE if it will not run; FALSE if it is in no queue. A timer's DPC may be in no queue
/// although the timer has expired and the DPC is about to run.
///
/// # Safety
/// `Dpc` was given to [`KeInitializeDpc`] and is valid.
pub unsafe extern "C" fn KeRemoveQueueDpc(Dpc: PRKDPC) -> BOOLEAN {
    let machine = &*enter(Ddi::KeRemoveQueueDpc);
    let removed = machine.checked(dpc::remove(machine, Dpc));
    machine.called(Ddi::KeRemoveQueueDpc, |machine| {
        ([machine.pointer(Dpc as usize)], Some(Value::Boolean(removed)))
    });
    removed.into()
}

/// Sets a DPC's importance, for later insertions. Any IRQL. Values beyond the four of
/// KDPC_IMPORTANCE end the run (`nf-wdm-kesetimportancedpc`).
///
/// # Safety
/// The same as for [`KeRemoveQueueDpc`].
pub unsafe extern "C" fn KeSetImportanceDpc(Dpc: PRKDPC, Importance: KDPC_IMPORTANCE) {
    let machine = &*enter(Ddi::KeSetImportanceDpc);
    machine.called(Ddi::KeSetImportanceDpc, |machine| {
        ([machine.pointer(Dpc as usize), Value::Signed(Importance.into())], None)
    });
    machine.checked(dpc::set_importance(machine, Dpc, Importance));
}

/// Sets the processor that a DPC runs on, for later insertions. Returns STATUS_INVALID_PARAMETER if
/// there is no such processor. Any IRQL (`nf-wdm-kesettargetprocessordpcex`).
///
/// # Safety
/// The same as for [`KeRemoveQueueDpc`]; `ProcNumber` is valid for reads.
pub unsafe extern "C" fn KeSetTargetProcessorDpcEx(Dpc: PRKDPC, ProcNumber: PPROCESSOR_NUMBER) -> NTSTATUS {
    let machine = &*enter(Ddi::KeSetTargetProcessorDpcEx);
    let value = machine.checked(objects::load_dpc(machine, Dpc));
    // SAFETY: the caller promises that `ProcNumber` is valid for reads.
    let target = unsafe { ProcNumber.read() };
    let fits = dpc::set_target(machine, Dpc, value, target);
    let status = if fits { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER };
    machine.called(Ddi::KeSetTargetProcessorDpcEx, |machine| {
        let arguments = [machine.pointer(Dpc as usize), Value::Number(target.Number.into())];
        (arguments, Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Sets the processor of group 0 that a DPC runs on, for later insertions. Nothing changes if group
/// 0 has no such processor. Any IRQL (`nf-wdm-kesettargetprocessordpc`).
///
/// # Safety
/// The same as for [`KeRemoveQueueDpc`].
pub unsafe extern "C" fn KeSetTargetProcessorDpc(Dpc: PRKDPC, Number: CCHAR) {
    let machine = &*enter(Ddi::KeSetTargetProcessorDpc);
    machine.called(Ddi::KeSetTargetProcessorDpc, |machine| {
        ([machine.pointer(Dpc as usize), Value::Signed(Number.into())], None)
    });
    let value = machine.checked(objects::load_dpc(machine, Dpc));
    if let Ok(number) = u8::try_from(Number) {
        let target = PROCESSOR_NUMBER { Group: 0, Number: number, Reserved: 0 };
        dpc::set_target(machine, Dpc, value, target);
    }
}

/// Waits until every DPC that was queued or running before the call, on any processor, has run. It
/// does not wait for DPCs that are queued later. PASSIVE_LEVEL (`nf-wdm-keflushqueueddpcs`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeFlushQueuedDpcs() {
    let machine = &*enter(Ddi::KeFlushQueuedDpcs);
    machine.flush_dpcs();
    machine.called(Ddi::KeFlushQueuedDpcs, |_| ([], None));
}
