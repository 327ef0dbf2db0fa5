//! Threads (learn.microsoft.com/windows-hardware/drivers/ddi/: `wdm/nf-wdm-pscreatesystemthread`,
//! `wdm/nf-wdm-psterminatesystemthread`, `wdm/nf-wdm-kegetcurrentthread`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

use crate::{
    engine::entry::enter,
    subsystem::{
        object,
        thread::{self, Start, write_client_id},
    },
    trace::Value,
    types::{
        HANDLE, NTSTATUS, PCLIENT_ID, PHANDLE, PKSTART_ROUTINE, PKTHREAD, POBJECT_ATTRIBUTES, PVOID,
        STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, ULONG,
    },
    verifier::irql::Ddi,
};

/// Creates a thread that runs `StartRoutine` at PASSIVE_LEVEL, on any processor, and a handle to
/// it, which [`ZwClose`](super::ZwClose) closes. PASSIVE_LEVEL.
///
/// When the routine returns or calls [`PsTerminateSystemThread`] the thread has ended, and is
/// signalled. Returns STATUS_INSUFFICIENT_RESOURCES if memory is low. `ClientId`, if it is not
/// null, gets the system process's identifier and the thread's own.
///
/// Bug check 0xCE if a driver's thread has not ended at unload. A process, a name, and
/// attributes beyond OBJ_KERNEL_HANDLE end the run as not supported
/// (`nf-wdm-pscreatesystemthread`).
///
/// # Safety
/// `ThreadHandle` is valid for a write, `ClientId` null or valid for a write, `ObjectAttributes`
/// null or valid for reads; `StartRoutine` may be called with `StartContext`.
pub unsafe extern "C" fn PsCreateSystemThread(
    ThreadHandle: PHANDLE,
    DesiredAccess: ULONG,
    ObjectAttributes: POBJECT_ATTRIBUTES,
    ProcessHandle: HANDLE,
    ClientId: PCLIENT_ID,
    StartRoutine: PKSTART_ROUTINE,
    StartContext: PVOID,
) -> NTSTATUS {
    let machine = &*enter(Ddi::PsCreateSystemThread);
    thread::refuse_attributes(machine, ObjectAttributes, ProcessHandle);
    let start = Start::new(machine, StartRoutine, StartContext);
    let created = thread::create(machine, start, DesiredAccess);
    if let Some(thread) = created {
        // SAFETY: the caller promises that `ThreadHandle` is valid for a write.
        unsafe { ThreadHandle.write_unaligned(object::handle(thread)) };
        // SAFETY: the caller promises that a `ClientId` that is not null is valid for a write.
        unsafe { write_client_id(ClientId, thread) };
    }
    let status = if created.is_some() { STATUS_SUCCESS } else { STATUS_INSUFFICIENT_RESOURCES };
    machine.called(Ddi::PsCreateSystemThread, |machine| {
        let arguments = [
            machine.pointer(ThreadHandle as usize),
            Value::Bits(DesiredAccess.into()),
            machine.pointer(start.routine as usize),
            machine.pointer(StartContext as usize),
        ];
        (arguments, Some(Value::Bits(status.cast_unsigned().into())))
    });
    status
}

/// Ends the current thread, which PsCreateSystemThread created, and does not return. Values on its
/// stack are not dropped. PASSIVE_LEVEL.
///
/// In a program's thread it does nothing and returns STATUS_INVALID_PARAMETER. Bug check 0x4000008A
/// if the thread holds a mutex. A worker thread, which is the system's, ends the run as not
/// supported (`nf-wdm-psterminatesystemthread`).
///
/// # Safety
/// Values that are pinned on the thread's stack are not used any more.
pub unsafe extern "C" fn PsTerminateSystemThread(ExitStatus: NTSTATUS) -> NTSTATUS {
    let machine = &*enter(Ddi::PsTerminateSystemThread);
    let own = thread::is_systems(machine);
    machine.called(Ddi::PsTerminateSystemThread, |_| {
        let result = (!own).then(|| Value::Bits(STATUS_INVALID_PARAMETER.cast_unsigned().into()));
        ([Value::Bits(ExitStatus.cast_unsigned().into())], result)
    });
    if !own {
        return STATUS_INVALID_PARAMETER;
    }
    thread::terminate(machine)
}

/// Returns the current thread's object, without a reference. In a DPC routine it is the interrupted
/// thread. Any IRQL (`nf-wdm-kegetcurrentthread`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeGetCurrentThread() -> PKTHREAD {
    let machine = &*enter(Ddi::KeGetCurrentThread);
    let address = machine.thread_address(machine.thread());
    machine.called(Ddi::KeGetCurrentThread, |machine| ([], Some(machine.pointer(address))));
    core::ptr::with_exposed_provenance_mut(address)
}
