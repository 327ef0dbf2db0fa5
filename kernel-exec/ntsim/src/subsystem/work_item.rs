//! Initialises work items and puts them into their queues.
//!
//! An item leaves its queue before its routine runs. The routine's arguments were read from the
//! item when it was queued.

extern crate alloc;

use core::ffi::c_void;

use super::{device, objects, pool};
use crate::{
    engine::{machine::Machine, worker as workers},
    kernel::{
        pool::Request,
        work::{QUEUES, WorkCall, WorkItem},
    },
    types::{
        _WORK_QUEUE_TYPE, IO_WORKITEM, PDEVICE_OBJECT, PIO_WORKITEM, PVOID, PWORK_QUEUE_ITEM,
        PWORKER_THREAD_ROUTINE, WORK_QUEUE_ITEM, WORK_QUEUE_TYPE,
    },
    verifier::{Checked, bugcheck::worker, irql::Ddi, memory::Use},
};

/// The `Mark` of an initialised IO_WORKITEM.
const MARK: u64 = 0x6D65_7449_6B72_6F57;
/// The flag of an item that IoAllocateWorkItem has allocated from pool.
const ALLOCATED: u64 = 1;
/// The tag of that pool.
const TAG: [u8; 4] = *b"IoWi";

type Routine = unsafe extern "C" fn(PVOID);
type IoRoutine = unsafe extern "C" fn(PDEVICE_OBJECT, PVOID);
type IoRoutineEx = unsafe extern "C" fn(PVOID, PVOID, PIO_WORKITEM);

fn pointer<T>(address: usize) -> *mut T {
    core::ptr::with_exposed_provenance_mut(address)
}

/// Calls a work item's routine, at PASSIVE_LEVEL, with no borrow of the machine open [M1].
pub(crate) fn call(item: WorkItem) {
    let routine: *mut c_void = pointer(item.call.routine());
    match item.call {
        WorkCall::Executive { parameter, .. } => {
            // SAFETY: ExQueueWorkItem stored a routine of this type.
            let routine: Routine = unsafe { core::mem::transmute(routine) };
            // SAFETY: the driver promised that its routine may be called with this parameter.
            unsafe { routine(pointer(parameter)) }
        }
        WorkCall::Io { object, context, .. } => {
            // SAFETY: IoQueueWorkItem stored a routine of this type.
            let routine: IoRoutine = unsafe { core::mem::transmute(routine) };
            // SAFETY: the driver promised that its routine may be called with this context; the
            // object is referenced.
            unsafe { routine(pointer(object), pointer(context)) }
        }
        WorkCall::IoEx { object, context, .. } => {
            // SAFETY: IoQueueWorkItemEx stored a routine of this type.
            let routine: IoRoutineEx = unsafe { core::mem::transmute(routine) };
            // SAFETY: the driver promised that its routine may be called with this context; the
            // object is referenced.
            unsafe { routine(pointer(object), pointer(context), pointer(item.address)) }
        }
    }
}

fn read(item: PIO_WORKITEM) -> IO_WORKITEM {
    // SAFETY: pool memory was checked; for other memory the driver promised that the item is valid.
    // Any bits are an IO_WORKITEM except for the routine, which is null here.
    unsafe { item.read_unaligned() }
}

fn write(item: PIO_WORKITEM, value: IO_WORKITEM) {
    // SAFETY: pool memory was checked; for other memory the driver promised that the item is valid.
    unsafe { item.write_unaligned(value) }
}

/// Returns a violation if an item that is queued or initialised is in a queue.
fn forbid_queued(machine: &Machine, address: usize, action: &str) -> Checked<()> {
    let queued = machine.kernel.borrow().work.find_in(address..address + 1);
    match queued {
        Some(_) => Err(worker::already_queued(address, machine.name(address), action)),
        None => Ok(()),
    }
}

/// Returns a violation if an item that is freed or uninitialised is in a queue.
fn forbid_deletion_while_queued(machine: &Machine, address: usize, action: &str) -> Checked<()> {
    let queued = machine.kernel.borrow().work.find_in(address..address + 1);
    let Some(item) = queued else { return Ok(()) };
    Err(worker::deleted_while_queued(address, machine.name(address), action, item.call.routine()))
}

fn initialize_with(machine: &Machine, item: PIO_WORKITEM, object: PVOID, flags: u64) -> Checked<()> {
    let address = objects::address(item);
    machine.check_memory(address, Use::WorkItem)?;
    forbid_queued(machine, address, "initialised")?;
    if !device::is_io_object(machine, object as usize) {
        let (name, object) = (machine.name(address), object as usize);
        return Err(worker::made_for_no_device(address, name, object, machine.name(object)));
    }
    write(item, IO_WORKITEM { IoObject: object, Mark: MARK, Flags: flags, ..IO_WORKITEM::default() });
    Ok(())
}

/// Loads the item at an address, or returns a violation if it is not initialised.
fn load(machine: &Machine, item: PIO_WORKITEM) -> Checked<IO_WORKITEM> {
    let address = item as usize;
    machine.check_memory(address, Use::WorkItem)?;
    // SAFETY: pool memory was checked; for other memory the driver promised that the item is
    // valid. No reference is made.
    let mark = unsafe { &raw const (*item).Mark };
    // SAFETY: the field is part of the item, which is valid.
    if unsafe { mark.read_unaligned() } == MARK {
        return Ok(read(item));
    }
    Err(worker::not_a_work_item(address, machine.name(address)))
}

/// Frees an item, or makes it an item no longer.
fn give_up(machine: &Machine, item: PIO_WORKITEM, allocated: bool) -> Checked<()> {
    let address = item as usize;
    let value = load(machine, item)?;
    forbid_deletion_while_queued(machine, address, if allocated { "freed" } else { "uninitialised" })?;
    if (value.Flags & ALLOCATED != 0) != allocated {
        let name = machine.name(address);
        return Err(if allocated {
            worker::freed_but_not_allocated(address, name)
        } else {
            worker::uninitialised_but_allocated(address, name)
        });
    }
    write(item, IO_WORKITEM::default());
    if allocated { pool::free_kernel(machine, address) } else { Ok(()) }
}

/// Returns the queue of a type. A queue that drivers may not use ends the run.
fn queue_number(machine: &Machine, ddi: Ddi, address: usize, queue: WORK_QUEUE_TYPE) -> Checked<usize> {
    match usize::try_from(queue) {
        Ok(number) if number < QUEUES && queue != _WORK_QUEUE_TYPE::HyperCriticalWorkQueue => Ok(number),
        Ok(5..8 | 32..64) | Ok(2) => {
            let name = ddi.name();
            machine
                .fail("not supported", alloc::format!("{name} with queue {queue}, which is the system's own"))
        }
        _ => Err(worker::no_such_queue(address, ddi.name(), queue)),
    }
}

fn queue(
    machine: &Machine,
    ddi: Ddi,
    address: usize,
    queue: WORK_QUEUE_TYPE,
    io: bool,
    call: WorkCall,
) -> Checked<()> {
    let number = queue_number(machine, ddi, address, queue)?;
    if call.routine() == 0 {
        return Err(worker::no_routine(address, machine.name(address), ddi.name(), number));
    }
    forbid_queued(machine, address, "queued")?;
    if let Some(object) = call.object() {
        device::reference(machine, object)?;
    }
    if machine.tracing.get() {
        let arguments =
            [machine.pointer(address), machine.pointer(call.routine()), machine.pointer(call.context())];
        machine.called(ddi, |_| (arguments, None));
    }
    workers::queue(machine, number, WorkItem { address, io, call });
    Ok(())
}

/// Initialises a work item in the driver's memory.
pub(crate) fn initialize(machine: &Machine, item: PIO_WORKITEM, object: PVOID) -> Checked<()> {
    initialize_with(machine, item, object, 0)
}

/// Makes a work item of [`initialize`] an item no longer.
pub(crate) fn uninitialize(machine: &Machine, item: PIO_WORKITEM) -> Checked<()> {
    give_up(machine, item, false)
}

/// Allocates a work item for a device. Null if memory is low.
pub(crate) fn allocate(machine: &Machine, device: PDEVICE_OBJECT) -> Checked<PIO_WORKITEM> {
    let item: PIO_WORKITEM = pool::allocate(machine, Request::kernel(size_of::<IO_WORKITEM>(), TAG))?.cast();
    if !item.is_null() {
        initialize_with(machine, item, device.cast(), ALLOCATED)?;
    }
    Ok(item)
}

/// Frees a work item of [`allocate`].
pub(crate) fn free(machine: &Machine, item: PIO_WORKITEM) -> Checked<()> {
    give_up(machine, item, true)
}

/// Queues a work item. `call` makes the routine's call from the item's object.
pub(crate) fn queue_io(
    machine: &Machine,
    ddi: Ddi,
    item: PIO_WORKITEM,
    queue_type: WORK_QUEUE_TYPE,
    call: impl FnOnce(usize) -> WorkCall,
) -> Checked<()> {
    let object = load(machine, item)?.IoObject as usize;
    queue(machine, ddi, objects::address(item), queue_type, true, call(object))
}

/// Initialises a work item of the executive.
pub(crate) fn initialize_executive(
    machine: &Machine,
    item: PWORK_QUEUE_ITEM,
    routine: PWORKER_THREAD_ROUTINE,
    parameter: PVOID,
) -> Checked<()> {
    machine.check_memory(objects::address(item), Use::ExWorkItem)?;
    forbid_queued(machine, item as usize, "initialised")?;
    let fresh =
        WORK_QUEUE_ITEM { WorkerRoutine: routine, Parameter: parameter, ..WORK_QUEUE_ITEM::default() };
    // SAFETY: pool memory was checked; for other memory the caller promises that `item` is valid
    // for writes.
    unsafe { item.write_unaligned(fresh) };
    Ok(())
}

/// Queues a work item of the executive.
pub(crate) fn queue_executive(
    machine: &Machine,
    item: PWORK_QUEUE_ITEM,
    queue_type: WORK_QUEUE_TYPE,
) -> Checked<()> {
    let address = objects::address(item);
    machine.check_memory(address, Use::ExWorkItem)?;
    // SAFETY: pool memory was checked; for other memory the caller promises that `item` is valid.
    let value = unsafe { item.read_unaligned() };
    let routine = value.WorkerRoutine.map_or(0, |routine| (routine as *mut c_void).expose_provenance());
    let call = WorkCall::Executive { routine, parameter: objects::address(value.Parameter) };
    queue(machine, Ddi::ExQueueWorkItem, address, queue_type, false, call)
}
