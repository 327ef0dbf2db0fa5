//! Work items (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-ioallocateworkitem`,
//! `nf-wdm-iofreeworkitem`, `nf-wdm-ioinitializeworkitem`, `nf-wdm-iouninitializeworkitem`,
//! `nf-wdm-iosizeofworkitem`, `nf-wdm-ioqueueworkitem`, `nf-wdm-ioqueueworkitemex`,
//! `nf-wdm-exinitializeworkitem`, `nf-wdm-exqueueworkitem`;
//! learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads).
//!
//! An item leaves its queue before its routine runs. The routine's arguments were read from the
//! item when it was queued.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use core::ffi::c_void;

use super::objects;
use crate::{
    engine::{
        entry::{enter, enter_run},
        machine::Machine,
    },
    kernel::pool::Request,
    kernel::work::{Call, Item, QUEUES},
    trace::Value,
    types::{
        _WORK_QUEUE_TYPE, IO_WORKITEM, PDEVICE_OBJECT, PIO_WORKITEM, PIO_WORKITEM_ROUTINE,
        PIO_WORKITEM_ROUTINE_EX, PVOID, PWORK_QUEUE_ITEM, PWORKER_THREAD_ROUTINE, ULONG, WORK_QUEUE_ITEM,
        WORK_QUEUE_TYPE,
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
pub(crate) fn call(item: Item) {
    let routine: *mut c_void = pointer(item.call.routine());
    match item.call {
        Call::Executive { parameter, .. } => {
            // SAFETY: ExQueueWorkItem stored a routine of this type.
            let routine: Routine = unsafe { core::mem::transmute(routine) };
            // SAFETY: the driver promised that its routine may be called with this parameter.
            unsafe { routine(pointer(parameter)) }
        }
        Call::Io { object, context, .. } => {
            // SAFETY: IoQueueWorkItem stored a routine of this type.
            let routine: IoRoutine = unsafe { core::mem::transmute(routine) };
            // SAFETY: the driver promised that its routine may be called with this context; the
            // object is referenced.
            unsafe { routine(pointer(object), pointer(context)) }
        }
        Call::IoEx { object, context, .. } => {
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

impl Machine {
    /// Returns a violation if an item that is queued or initialised is in a queue.
    fn forbid_queued_item(&self, address: usize, action: &str) -> Checked<()> {
        let queued = self.kernel.borrow().work.find_in(address..address + 1);
        match queued {
            Some(_) => Err(worker::already_queued(address, self.name(address), action)),
            None => Ok(()),
        }
    }

    /// Returns a violation if an item that is freed or uninitialised is in a queue.
    fn forbid_deletion_while_queued(&self, address: usize, action: &str) -> Checked<()> {
        let queued = self.kernel.borrow().work.find_in(address..address + 1);
        let Some(item) = queued else { return Ok(()) };
        Err(worker::deleted_while_queued(address, self.name(address), action, item.call.routine()))
    }

    fn initialize_item(&self, item: PIO_WORKITEM, object: PVOID, flags: u64) -> Checked<()> {
        let address = objects::address(item);
        self.check_memory(address, Use::WorkItem)?;
        self.forbid_queued_item(address, "initialised")?;
        if !self.is_io_object(object as usize) {
            let (name, object) = (self.name(address), object as usize);
            return Err(worker::made_for_no_device(address, name, object, self.name(object)));
        }
        write(item, IO_WORKITEM { IoObject: object, Mark: MARK, Flags: flags, ..IO_WORKITEM::default() });
        Ok(())
    }

    /// Loads the item at an address, or returns a violation if it is not initialised.
    fn load_item(&self, item: PIO_WORKITEM) -> Checked<IO_WORKITEM> {
        let address = item as usize;
        self.check_memory(address, Use::WorkItem)?;
        // SAFETY: pool memory was checked; for other memory the driver promised that the item is
        // valid. No reference is made.
        let mark = unsafe { &raw const (*item).Mark };
        // SAFETY: the field is part of the item, which is valid.
        if unsafe { mark.read_unaligned() } == MARK {
            return Ok(read(item));
        }
        Err(worker::not_a_work_item(address, self.name(address)))
    }

    /// Frees an item, or makes it an item no longer.
    fn give_up_item(&self, item: PIO_WORKITEM, allocated: bool) -> Checked<()> {
        let address = item as usize;
        let value = self.load_item(item)?;
        self.forbid_deletion_while_queued(address, if allocated { "freed" } else { "uninitialised" })?;
        if (value.Flags & ALLOCATED != 0) != allocated {
            let name = self.name(address);
            return Err(if allocated {
                worker::freed_but_not_allocated(address, name)
            } else {
                worker::uninitialised_but_allocated(address, name)
            });
        }
        write(item, IO_WORKITEM::default());
        if allocated { self.free_kernel(address) } else { Ok(()) }
    }

    /// Returns the queue of a type. A queue that drivers may not use ends the run.
    fn work_queue(&self, ddi: Ddi, address: usize, queue: WORK_QUEUE_TYPE) -> Checked<usize> {
        match usize::try_from(queue) {
            Ok(number) if number < QUEUES && queue != _WORK_QUEUE_TYPE::HyperCriticalWorkQueue => Ok(number),
            Ok(5..8 | 32..64) | Ok(2) => {
                let name = ddi.name();
                self.fail(
                    "not supported",
                    alloc::format!("{name} with queue {queue}, which is the system's own"),
                )
            }
            _ => Err(worker::no_such_queue(address, ddi.name(), queue)),
        }
    }

    fn queue_item(
        &self,
        ddi: Ddi,
        address: usize,
        queue: WORK_QUEUE_TYPE,
        io: bool,
        call: Call,
    ) -> Checked<()> {
        let number = self.work_queue(ddi, address, queue)?;
        if call.routine() == 0 {
            return Err(worker::no_routine(address, self.name(address), ddi.name(), number));
        }
        self.forbid_queued_item(address, "queued")?;
        if let Some(object) = call.object() {
            self.reference_io_object(object)?;
        }
        if self.tracing.get() {
            let arguments =
                [self.pointer(address), self.pointer(call.routine()), self.pointer(call.context())];
            self.called(ddi, |_| (arguments, None));
        }
        self.queue_work(number, Item { address, io, call });
        Ok(())
    }
}

/// Allocates a work item for a device, in non-paged pool. Returns null if memory is low. IRQL ≤
/// DISPATCH_LEVEL. Bug check 0xE4 (3, item, object) if `DeviceObject` is not a device
/// (`nf-wdm-ioallocateworkitem`).
///
/// # Safety
/// None beyond being called in a simulation run, because the call checks that `DeviceObject` is a
/// device.
pub unsafe extern "C" fn IoAllocateWorkItem(DeviceObject: PDEVICE_OBJECT) -> PIO_WORKITEM {
    let machine = &*enter(Ddi::IoAllocateWorkItem);
    let memory = machine.checked(machine.allocate(Request::kernel(size_of::<IO_WORKITEM>(), TAG)));
    let item: PIO_WORKITEM = memory.cast();
    if !item.is_null() {
        machine.checked(machine.initialize_item(item, DeviceObject.cast(), ALLOCATED));
    }
    machine.called(Ddi::IoAllocateWorkItem, |machine| {
        ([machine.pointer(DeviceObject as usize)], Some(machine.pointer(item as usize)))
    });
    item
}

/// Frees a work item of [`IoAllocateWorkItem`]. IRQL ≤ DISPATCH_LEVEL. Bug check 0xE4 (2, item,
/// routine) if it is in a queue; 0xE4 if it is not a work item; 0xD1 if it was freed before
/// (`nf-wdm-iofreeworkitem`).
///
/// # Safety
/// `IoWorkItem` is from [`IoAllocateWorkItem`].
pub unsafe extern "C" fn IoFreeWorkItem(IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoFreeWorkItem);
    machine.called(Ddi::IoFreeWorkItem, |machine| ([machine.pointer(IoWorkItem as usize)], None));
    machine.checked(machine.give_up_item(IoWorkItem, true));
}

/// Initialises a work item in the driver's own memory, for a device or the driver. Any IRQL. Bug
/// check 0xD1 if the storage is pageable; 0xE4 (1, item) if an item there is queued; 0xE4 (3, item,
/// object) if `IoObject` is neither a device nor the driver (`nf-wdm-ioinitializeworkitem`).
///
/// # Safety
/// `IoWorkItem` is valid for writes of [`IoSizeofWorkItem`] bytes, and stays valid while the item
/// is queued.
pub unsafe extern "C" fn IoInitializeWorkItem(IoObject: PVOID, IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoInitializeWorkItem);
    machine.called(Ddi::IoInitializeWorkItem, |machine| {
        ([machine.pointer(IoObject as usize), machine.pointer(IoWorkItem as usize)], None)
    });
    machine.checked(machine.initialize_item(IoWorkItem, IoObject, 0));
}

/// Uninitialises a work item of [`IoInitializeWorkItem`]. Any IRQL. Bug check 0xE4 (2, item,
/// routine) if it is in a queue; 0xE4 if it is not a work item, or is one of IoAllocateWorkItem
/// (`nf-wdm-iouninitializeworkitem`).
///
/// # Safety
/// `IoWorkItem` is valid.
pub unsafe extern "C" fn IoUninitializeWorkItem(IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoUninitializeWorkItem);
    machine.called(Ddi::IoUninitializeWorkItem, |machine| ([machine.pointer(IoWorkItem as usize)], None));
    machine.checked(machine.give_up_item(IoWorkItem, false));
}

/// Returns the size in bytes of a work item for [`IoInitializeWorkItem`]. Any IRQL
/// (`nf-wdm-iosizeofworkitem`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn IoSizeofWorkItem() -> ULONG {
    let machine = &*enter(Ddi::IoSizeofWorkItem);
    let size = size_of::<IO_WORKITEM>() as ULONG;
    machine.called(Ddi::IoSizeofWorkItem, |_| ([], Some(Value::Number(size.into()))));
    size
}

/// Queues a work item. A system worker thread takes it out of the queue and calls `WorkerRoutine`
/// at PASSIVE_LEVEL with its device and `Context`. The device stays referenced until the routine
/// has returned. The routine may free the item or queue it again.
///
/// Each queue has few workers ([`Config::workers`](crate::Config::workers)). While their routines
/// wait, no other item of the queue runs. IRQL ≤ DISPATCH_LEVEL.
///
/// Bug check 0xE4 (1, item) if the item is queued already; 0xE4 (7, item) if it is not a work item,
/// or without a routine; 0xE4 (6, item, queue) if there is no such queue; 0xE1 if the routine
/// returns at raised IRQL. A queue of the system's own ends the run as not supported
/// (`nf-wdm-ioqueueworkitem`).
///
/// # Safety
/// `IoWorkItem` was initialised and is valid while it is queued; `WorkerRoutine` may be called with
/// `Context`.
pub unsafe extern "C" fn IoQueueWorkItem(
    IoWorkItem: PIO_WORKITEM,
    WorkerRoutine: PIO_WORKITEM_ROUTINE,
    QueueType: WORK_QUEUE_TYPE,
    Context: PVOID,
) {
    let ddi = Ddi::IoQueueWorkItem;
    let Some(machine) = enter_run(ddi) else { return };
    let value = machine.checked(machine.load_item(IoWorkItem));
    let routine = WorkerRoutine.map_or(0, |routine| (routine as *mut c_void).expose_provenance());
    let (object, context) = (value.IoObject as usize, objects::address(Context));
    let call = Call::Io { routine, object, context };
    machine.checked(machine.queue_item(ddi, objects::address(IoWorkItem), QueueType, true, call));
}

/// Queues a work item like [`IoQueueWorkItem`]. The routine gets the device or driver, the context,
/// and the work item (`nf-wdm-ioqueueworkitemex`).
///
/// # Safety
/// The same as for [`IoQueueWorkItem`].
pub unsafe extern "C" fn IoQueueWorkItemEx(
    IoWorkItem: PIO_WORKITEM,
    WorkerRoutine: PIO_WORKITEM_ROUTINE_EX,
    QueueType: WORK_QUEUE_TYPE,
    Context: PVOID,
) {
    let ddi = Ddi::IoQueueWorkItemEx;
    let Some(machine) = enter_run(ddi) else { return };
    let value = machine.checked(machine.load_item(IoWorkItem));
    let routine = WorkerRoutine.map_or(0, |routine| (routine as *mut c_void).expose_provenance());
    let (object, context) = (value.IoObject as usize, objects::address(Context));
    let call = Call::IoEx { routine, object, context };
    machine.checked(machine.queue_item(ddi, objects::address(IoWorkItem), QueueType, true, call));
}

/// Initialises a work item of the executive. In NT this is an inline function. Any IRQL. Bug check
/// 0xD1 if the storage is pageable; 0xE4 (1, item) if an item there is queued
/// (`nf-wdm-exinitializeworkitem`).
///
/// # Safety
/// `Item` is valid for writes, and stays valid while it is queued.
pub unsafe extern "C" fn ExInitializeWorkItem(
    Item: PWORK_QUEUE_ITEM,
    WorkerRoutine: PWORKER_THREAD_ROUTINE,
    Parameter: PVOID,
) {
    let machine = &*enter(Ddi::ExInitializeWorkItem);
    let routine = WorkerRoutine.map_or(0, |routine| routine as usize);
    machine.called(Ddi::ExInitializeWorkItem, |machine| {
        ([Item as usize, routine, Parameter as usize].map(|argument| machine.pointer(argument)), None)
    });
    machine.checked(machine.check_memory(objects::address(Item), Use::ExWorkItem));
    machine.checked(machine.forbid_queued_item(Item as usize, "initialised"));
    let fresh = WORK_QUEUE_ITEM { WorkerRoutine, Parameter, ..WORK_QUEUE_ITEM::default() };
    // SAFETY: pool memory was checked; for other memory the caller promises that `Item` is valid
    // for writes.
    unsafe { Item.write_unaligned(fresh) };
}

/// Queues a work item of the executive like [`IoQueueWorkItem`], but without keeping the driver
/// loaded until the routine has returned. An item that is queued or runs at unload is bug check
/// 0xCE (`nf-wdm-exqueueworkitem`).
///
/// # Safety
/// `WorkItem` was initialised and is valid while it is queued; its routine may be called with its
/// parameter.
pub unsafe extern "C" fn ExQueueWorkItem(WorkItem: PWORK_QUEUE_ITEM, QueueType: WORK_QUEUE_TYPE) {
    let ddi = Ddi::ExQueueWorkItem;
    let Some(machine) = enter_run(ddi) else { return };
    let address = objects::address(WorkItem);
    machine.checked(machine.check_memory(address, Use::ExWorkItem));
    // SAFETY: pool memory was checked; for other memory the caller promises that `WorkItem` is
    // valid.
    let value = unsafe { WorkItem.read_unaligned() };
    let routine = value.WorkerRoutine.map_or(0, |routine| (routine as *mut c_void).expose_provenance());
    let call = Call::Executive { routine, parameter: objects::address(value.Parameter) };
    machine.checked(machine.queue_item(ddi, address, QueueType, false, call));
}
