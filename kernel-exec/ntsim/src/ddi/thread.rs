//! Threads (learn.microsoft.com/windows-hardware/drivers/ddi/: `wdm/nf-wdm-pscreatesystemthread`,
//! `wdm/nf-wdm-psterminatesystemthread`, `wdm/nf-wdm-kegetcurrentthread`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use core::ffi::c_void;

use super::object;
use crate::{
    engine::{entry::enter, machine::Machine},
    kernel::thread::{SYSTEM, Thread, ThreadName},
    trace::Value,
    types::{
        CLIENT_ID, HANDLE, NTSTATUS, OBJ_KERNEL_HANDLE, PCLIENT_ID, PHANDLE, PKSTART_ROUTINE, PKTHREAD,
        POBJECT_ATTRIBUTES, PVOID, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
        ULONG,
    },
    verifier::irql::Ddi,
};

type Routine = unsafe extern "C" fn(PVOID);

/// The routine and context that PsCreateSystemThread got for a new thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    routine: Routine,
    context: PVOID,
}

impl Machine {
    /// Creates a system thread with an open handle. Returns none if memory is low.
    fn create_system_thread(&self, start: Start, access: ULONG) -> Option<usize> {
        if self.is_low() {
            return None;
        }
        let start = (start.routine as *mut c_void, start.context);
        let start = Some((start.0.expose_provenance(), start.1.expose_provenance()));
        let thread =
            self.new_thread(Thread { references: 2, open: true, access, start, ..Thread::default() });
        self.make_ready(thread);
        Some(thread)
    }

    /// Runs a system thread from its beginning to its end.
    pub(crate) fn run_thread(&self, thread: usize) -> ! {
        let Thread { start, worker, .. } = self.kernel.borrow().threads.get(thread);
        if worker {
            self.run_worker(thread);
        }
        if let Some((routine, context)) = start {
            let routine: *const c_void = core::ptr::with_exposed_provenance(routine);
            // SAFETY: `create_system_thread` stored a function of this type.
            let routine: Routine = unsafe { core::mem::transmute(routine) };
            // SAFETY: the driver gave the routine and its context to PsCreateSystemThread for this
            // very call, at PASSIVE_LEVEL; no borrow of the machine is open [M1].
            self.call_out(|| unsafe { routine(core::ptr::with_exposed_provenance_mut(context)) });
        }
        self.end_thread()
    }

    fn refuse_attributes(&self, attributes: POBJECT_ATTRIBUTES, process: HANDLE) {
        let refused = if !process.is_null() {
            "a ProcessHandle"
        } else if attributes.is_null() {
            return;
        } else {
            // SAFETY: the caller promises that attributes that are not null are valid for reads.
            let attributes = unsafe { attributes.read_unaligned() };
            let plain = attributes.ObjectName.is_null() && attributes.RootDirectory.is_null();
            if plain && attributes.Attributes & !OBJ_KERNEL_HANDLE == 0 {
                return;
            }
            "a name, or attributes beyond OBJ_KERNEL_HANDLE"
        };
        self.fail("not supported", alloc::format!("PsCreateSystemThread with {refused}"));
    }
}

/// The identifier of the system process.
const SYSTEM_PROCESS: usize = 4;

/// The identifiers of a system thread. As in NT they are multiples of four, and unique among
/// processes and threads.
fn client_id(thread: usize) -> CLIENT_ID {
    let identifier = |number: usize| core::ptr::without_provenance_mut(number);
    CLIENT_ID {
        UniqueProcess: identifier(SYSTEM_PROCESS),
        UniqueThread: identifier(SYSTEM_PROCESS + 4 * (thread + 1 - SYSTEM)),
    }
}

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
    machine.refuse_attributes(ObjectAttributes, ProcessHandle);
    let Some(routine) = StartRoutine else {
        machine.fail("not supported", alloc::string::String::from("PsCreateSystemThread without a routine"))
    };
    let thread = machine.create_system_thread(Start { routine, context: StartContext }, DesiredAccess);
    let status = match thread {
        Some(thread) => {
            // SAFETY: the caller promises that `ThreadHandle` is valid for a write.
            unsafe { ThreadHandle.write_unaligned(object::handle(thread)) };
            if !ClientId.is_null() {
                // SAFETY: not null, and by the caller's promise.
                unsafe { ClientId.write_unaligned(client_id(thread)) };
            }
            STATUS_SUCCESS
        }
        None => STATUS_INSUFFICIENT_RESOURCES,
    };
    machine.called(Ddi::PsCreateSystemThread, |machine| {
        let arguments = [
            machine.pointer(ThreadHandle as usize),
            Value::Bits(DesiredAccess.into()),
            machine.pointer(routine as usize),
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
    let thread = machine.thread();
    let own = thread >= SYSTEM;
    machine.called(Ddi::PsTerminateSystemThread, |_| {
        let result = (!own).then(|| Value::Bits(STATUS_INVALID_PARAMETER.cast_unsigned().into()));
        ([Value::Bits(ExitStatus.cast_unsigned().into())], result)
    });
    if !own {
        return STATUS_INVALID_PARAMETER;
    }
    if machine.kernel.borrow().threads.get(thread).worker {
        let thread = ThreadName::of(thread);
        machine.fail(
            "not supported",
            alloc::format!("PsTerminateSystemThread in {thread}, a system worker thread"),
        );
    }
    machine.end_thread()
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
