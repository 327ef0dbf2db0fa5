//! Threads (learn.microsoft.com/windows-hardware/drivers/ddi/: `wdm/nf-wdm-pscreatesystemthread`,
//! `wdm/nf-wdm-psterminatesystemthread`, `wdm/nf-wdm-kegetcurrentthread`).
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use core::ffi::c_void;

use super::object;
use crate::{
    engine::machine::{Machine, enter},
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

/// What PsCreateSystemThread was given for a new thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    routine: Routine,
    context: PVOID,
}

impl Machine {
    /// A new system thread with an open handle; none where memory is low.
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

    /// What a system thread does, from its beginning to its end.
    pub(crate) fn run_thread(&self, thread: usize) -> ! {
        let Thread { start, worker, .. } = self.kernel.borrow().threads.get(thread);
        if worker {
            self.run_worker(thread);
        }
        if let Some((routine, context)) = start {
            let routine: *const c_void = core::ptr::with_exposed_provenance(routine);
            // SAFETY: from a function of this type, in `create_system_thread`.
            let routine: Routine = unsafe { core::mem::transmute(routine) };
            // SAFETY: the routine and its context are what the driver gave to PsCreateSystemThread for this very call, at
            // PASSIVE_LEVEL; no borrow of the machine is open [M1].
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
            // SAFETY: not null, so valid for reads by the caller's promise.
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

/// The system's process.
const SYSTEM_PROCESS: usize = 4;

/// The identifiers of a system thread: as in NT multiples of four, that no process has.
fn client_id(thread: usize) -> CLIENT_ID {
    let identifier = |number: usize| core::ptr::without_provenance_mut(number);
    CLIENT_ID {
        UniqueProcess: identifier(SYSTEM_PROCESS),
        UniqueThread: identifier(SYSTEM_PROCESS + 4 * (thread + 1 - SYSTEM)),
    }
}

/// Makes a thread that runs `StartRoutine` at PASSIVE_LEVEL, on any processor, and a handle to it, which [`ZwClose`](super::ZwClose)
/// closes. When the routine returns or calls [`PsTerminateSystemThread`] the thread has ended, and is signalled.
/// STATUS_INSUFFICIENT_RESOURCES where memory is low. PASSIVE_LEVEL.
///
/// `ClientId`, where it is given, is the system process's and a number of the thread's own.
///
/// A driver's thread that has not ended at unload: bug check 0xCE. A process, a name, and attributes beyond
/// OBJ_KERNEL_HANDLE end the run as not supported (`nf-wdm-pscreatesystemthread`).
///
/// # Safety
/// `ThreadHandle` is valid for a write, `ClientId` too or null, `ObjectAttributes` null or valid for reads; `StartRoutine` may be called with `StartContext`.
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
            // SAFETY: by the caller's promise.
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

/// Ends the current thread, which PsCreateSystemThread made, and does not return. Values on its stack are not dropped. In a program's
/// thread: STATUS_INVALID_PARAMETER, and nothing happens. PASSIVE_LEVEL. A thread that holds a mutex: bug check 0x4000008A. A worker
/// thread, which is the system's, ends the run as not supported (`nf-wdm-psterminatesystemthread`).
///
/// # Safety
/// What is pinned on the thread's stack is not used any more.
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

/// The current thread's object, without a reference: of what was interrupted, in a DPC routine. Any IRQL
/// (`nf-wdm-kegetcurrentthread`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn KeGetCurrentThread() -> PKTHREAD {
    let machine = &*enter(Ddi::KeGetCurrentThread);
    let address = machine.thread_address(machine.thread());
    machine.called(Ddi::KeGetCurrentThread, |machine| ([], Some(machine.pointer(address))));
    core::ptr::with_exposed_provenance_mut(address)
}
