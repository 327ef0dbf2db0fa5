//! Deferred procedure calls (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-keinitializedpc`, `nf-wdm-keinsertqueuedpc`, `nf-wdm-keremovequeuedpc`,
//! `nf-wdm-keflushqueueddpcs`, `nf-wdm-kesetimportancedpc`, `nf-wdm-kesettargetprocessordpcex`;
//! learn.microsoft.com/windows-hardware/drivers/kernel/organization-of-dpc-queues).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use super::objects::{self, TARGET_BASE, USED_BY_HAND, USED_BY_TIMER};
use crate::{
    engine::{
        entry::{enter, enter_run},
        machine::Machine,
    },
    kernel::{dpc::Entry, processor::Activity},
    trace::Value,
    types::{
        _KDPC_IMPORTANCE, BOOLEAN, CCHAR, DISPATCH_LEVEL, KDPC, KDPC_IMPORTANCE, NTSTATUS,
        PKDEFERRED_ROUTINE, PPROCESSOR_NUMBER, PRKDPC, PROCESSOR_NUMBER, PVOID, STATUS_INVALID_PARAMETER,
        STATUS_SUCCESS,
    },
    verifier::{
        Checked,
        bugcheck::timer_or_dpc::{self, Object},
        irql::Ddi,
        memory::Use,
    },
};

const DISPATCH: u8 = DISPATCH_LEVEL as u8;
/// The queue length from which on another processor is interrupted whatever the importance of the
/// DPC.
const DEPTH_LIMIT: usize = 4;

impl Machine {
    /// Returns the value of a check, or stops the machine with its violation.
    pub(crate) fn checked<T>(&self, outcome: Checked<T>) -> T {
        match outcome {
            Ok(value) => value,
            Err(violation) => self.bug_check(violation),
        }
    }

    fn initialize_dpc(&self, dpc: *mut KDPC, routine: PKDEFERRED_ROUTINE, context: PVOID) -> Checked<()> {
        let address = objects::address(dpc);
        self.check_memory(address, Use::Dpc)?;
        if routine.is_none() {
            return Err(timer_or_dpc::dpc_without_routine(address, self.name(address)));
        }
        self.forbid_queued(address, "a DPC was initialised")?;
        objects::initialize_dpc(dpc, routine, context);
        Ok(())
    }

    /// Returns a violation if the DPC is in a queue or a set timer will use it.
    fn forbid_queued(&self, address: usize, what: &str) -> Checked<()> {
        let kernel = self.kernel.borrow();
        if let Some((processor, _)) = kernel.dpcs.find_in(address..address + 1) {
            drop(kernel);
            return Err(timer_or_dpc::dpc_in_queue(what, processor, address, self.name(address)));
        }
        if let Some(timer) = kernel.timers.find_in(address..address + 1) {
            drop(kernel);
            return Err(timer_or_dpc::dpc_of_set_timer(what, address, self.name(timer.address)));
        }
        Ok(())
    }

    /// Prepares a DPC for its queue and stores the arguments. Returns none if it is queued already.
    fn insert_dpc(&self, dpc: *mut KDPC, arguments: (PVOID, PVOID)) -> Checked<Option<KDPC>> {
        let value = objects::load_dpc(self, dpc)?;
        let address = objects::address(dpc);
        if value.ProcessorHistory == USED_BY_TIMER {
            return Err(timer_or_dpc::timer_dpc_queued_by_hand(address, self.name(address)));
        }
        if value.DpcData != 0 {
            return Ok(None);
        }
        let target = objects::target(&value).unwrap_or(self.current.get());
        let queued = KDPC {
            ProcessorHistory: USED_BY_HAND,
            SystemArgument1: arguments.0,
            SystemArgument2: arguments.1,
            DpcData: target + 1,
            ..value
        };
        objects::write_dpc(dpc, queued);
        Ok(Some(queued))
    }

    /// Queues a DPC that [`Machine::insert_dpc`] has marked, and runs it or interrupts its
    /// processor when NT would.
    fn deliver(&self, dpc: *mut KDPC, value: &KDPC) {
        let target = value.DpcData - 1;
        let importance = KDPC_IMPORTANCE::from(value.Importance);
        let entry = Entry { address: objects::address(dpc), in_flight: false };
        let depth = self.enqueue(target, entry, importance == _KDPC_IMPORTANCE::HighImportance);
        let now = if target == self.current.get() {
            importance != _KDPC_IMPORTANCE::LowImportance || self.irql() >= DISPATCH || self.choose(2) == 1
        } else {
            self.processor(target).activity.get() == Activity::Idle
                || depth >= DEPTH_LIMIT
                || matches!(
                    importance,
                    _KDPC_IMPORTANCE::HighImportance | _KDPC_IMPORTANCE::MediumHighImportance
                )
                || self.choose(2) == 1
        };
        if now {
            self.request_interrupt(target);
            if target == self.current.get() {
                self.take_interrupts();
            }
        } else {
            self.regrant();
        }
    }

    /// Removes a DPC from its queue. Returns false if it is in none.
    fn remove_dpc(&self, dpc: *mut KDPC) -> Checked<bool> {
        let value = objects::load_dpc(self, dpc)?;
        let Some(processor) = value.DpcData.checked_sub(1) else { return Ok(false) };
        let removed = self.kernel.borrow_mut().dpcs.remove(processor, dpc as usize);
        if !removed {
            return Err(objects::changed(self, Object::Dpc, dpc as usize));
        }
        self.unqueue(processor);
        objects::write_dpc(dpc, KDPC { DpcData: 0, ..value });
        Ok(true)
    }

    /// Updates a processor after a DPC that did not run has left its queue.
    fn unqueue(&self, processor: usize) {
        let cpu = self.processor(processor);
        cpu.queued.set(cpu.queued.get() - 1);
        if cpu.queued.get() == 0 {
            cpu.interrupt.set(false);
            if cpu.activity.get() == Activity::Idle && cpu.ready.get() == 0 {
                self.make_unrunnable(processor);
            }
        }
        if self.flushers.get() != 0 {
            self.wake_flushers();
        }
    }
}

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
    machine.checked(machine.initialize_dpc(Dpc, DeferredRoutine, DeferredContext));
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
    let queued = machine.checked(machine.insert_dpc(Dpc, (SystemArgument1, SystemArgument2)));
    machine.called(Ddi::KeInsertQueueDpc, |machine| {
        let arguments = [Dpc as usize, objects::untyped(SystemArgument1), objects::untyped(SystemArgument2)];
        (arguments.map(|argument| machine.pointer(argument)), Some(Value::Boolean(queued.is_some())))
    });
    let Some(value) = queued else { return 0 };
    machine.deliver(Dpc, &value);
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
    let removed = machine.checked(machine.remove_dpc(Dpc));
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
    if !(0..=3).contains(&Importance) {
        machine.fail(
            "not supported",
            alloc::format!("KeSetImportanceDpc with {Importance}, which is not a KDPC_IMPORTANCE"),
        );
    }
    let value = machine.checked(objects::load_dpc(machine, Dpc));
    objects::write_dpc(Dpc, KDPC { Importance: Importance as u8, ..value });
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
    let processor = machine.processor_index(target);
    let fits = processor.is_some();
    let status = if fits { STATUS_SUCCESS } else { STATUS_INVALID_PARAMETER };
    machine.called(Ddi::KeSetTargetProcessorDpcEx, |machine| {
        let arguments = [machine.pointer(Dpc as usize), Value::Number(target.Number.into())];
        (arguments, Some(Value::Bits(status.cast_unsigned().into())))
    });
    if let Some(processor) = processor {
        objects::write_dpc(Dpc, KDPC { Number: TARGET_BASE + processor as u16, ..value });
    }
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
    let number = u8::try_from(Number).ok();
    let number = number.map(|number| PROCESSOR_NUMBER { Group: 0, Number: number, Reserved: 0 });
    if let Some(processor) = number.and_then(|number| machine.processor_index(number)) {
        objects::write_dpc(Dpc, KDPC { Number: TARGET_BASE + processor as u16, ..value });
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
