//! Creates, runs and ends system threads.

extern crate alloc;

use core::ffi::c_void;

use crate::{
    engine::{machine::Machine, worker},
    kernel::thread::{SYSTEM, Thread, ThreadName},
    types::{
        CLIENT_ID, HANDLE, OBJ_KERNEL_HANDLE, PCLIENT_ID, PKSTART_ROUTINE, POBJECT_ATTRIBUTES, PVOID, ULONG,
    },
};

type Routine = unsafe extern "C" fn(PVOID);

/// The routine and context that PsCreateSystemThread got for a new thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) routine: Routine,
    context: PVOID,
}

impl Start {
    /// The routine and context of a new thread. No routine ends the run.
    pub(crate) fn new(machine: &Machine, routine: PKSTART_ROUTINE, context: PVOID) -> Self {
        let Some(routine) = routine else {
            let message = "PsCreateSystemThread without a routine";
            machine.fail("not supported", alloc::string::String::from(message))
        };
        Self { routine, context }
    }
}

/// Creates a system thread with an open handle. Returns none if memory is low.
pub(crate) fn create(machine: &Machine, start: Start, access: ULONG) -> Option<usize> {
    if machine.should_fail_allocation() {
        return None;
    }
    let start = (start.routine as *mut c_void, start.context);
    let start = Some((start.0.expose_provenance(), start.1.expose_provenance()));
    let thread = machine.new_thread(Thread { references: 2, open: true, access, start, ..Thread::default() });
    machine.make_ready(thread);
    Some(thread)
}

/// Runs a system thread from its beginning to its end.
pub(crate) fn run(machine: &Machine, thread: usize) -> ! {
    let Thread { start, worker, .. } = machine.kernel.borrow().threads.get(thread);
    if worker {
        worker::run(machine, thread);
    }
    if let Some((routine, context)) = start {
        let routine: *const c_void = core::ptr::with_exposed_provenance(routine);
        // SAFETY: `create_system_thread` stored a function of this type.
        let routine: Routine = unsafe { core::mem::transmute(routine) };
        // SAFETY: the driver gave the routine and its context to PsCreateSystemThread for this
        // very call, at PASSIVE_LEVEL; no borrow of the machine is open [M1].
        machine.call_out(|| unsafe { routine(core::ptr::with_exposed_provenance_mut(context)) });
    }
    machine.end_thread()
}

/// Ends the run for a process, or for attributes that ntsim does not support.
pub(crate) fn refuse_attributes(machine: &Machine, attributes: POBJECT_ATTRIBUTES, process: HANDLE) {
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
    machine.fail("not supported", alloc::format!("PsCreateSystemThread with {refused}"));
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

/// Whether the current thread is one of PsCreateSystemThread or a worker, and not a program's.
pub(crate) fn is_systems(machine: &Machine) -> bool {
    machine.thread() >= SYSTEM
}

/// Ends the current thread, which is a system thread. In a worker it ends the run.
pub(crate) fn terminate(machine: &Machine) -> ! {
    let thread = machine.thread();
    if machine.kernel.borrow().threads.get(thread).worker {
        let thread = ThreadName::of(thread);
        machine.fail(
            "not supported",
            alloc::format!("PsTerminateSystemThread in {thread}, a system worker thread"),
        );
    }
    machine.end_thread()
}

/// Writes the identifiers of a system thread, unless `place` is null.
///
/// # Safety
/// `place` is null or valid for a write.
pub(crate) unsafe fn write_client_id(place: PCLIENT_ID, thread: usize) {
    if !place.is_null() {
        // SAFETY: not null, and the caller promises that it is valid then.
        unsafe { place.write_unaligned(client_id(thread)) };
    }
}
