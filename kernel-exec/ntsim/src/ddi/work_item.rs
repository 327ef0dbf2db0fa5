//! Work items (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/: `nf-wdm-ioallocateworkitem`, `nf-wdm-iofreeworkitem`,
//! `nf-wdm-ioinitializeworkitem`, `nf-wdm-iouninitializeworkitem`, `nf-wdm-iosizeofworkitem`, `nf-wdm-ioqueueworkitem`,
//! `nf-wdm-ioqueueworkitemex`, `nf-wdm-exinitializeworkitem`, `nf-wdm-exqueueworkitem`;
//! learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads).
//!
//! An item leaves its queue before its routine runs: what the routine is called with was taken from it when it was queued.
#![expect(non_snake_case, reason = "the names are the kernel's")]

extern crate alloc;

use core::ffi::c_void;

use super::objects;
use crate::{
    engine::machine::{Machine, enter, enter_run},
    kernel::pool::Request,
    kernel::work::{Call, Item, QUEUES},
    trace::Value,
    types::{
        _WORK_QUEUE_TYPE, IO_WORKITEM, PDEVICE_OBJECT, PIO_WORKITEM, PIO_WORKITEM_ROUTINE,
        PIO_WORKITEM_ROUTINE_EX, PVOID, PWORK_QUEUE_ITEM, PWORKER_THREAD_ROUTINE, ULONG, WORK_QUEUE_ITEM,
        WORK_QUEUE_TYPE,
    },
    verifier::{Checked, irql::Ddi, memory::Use, violation},
};

/// An IO_WORKITEM's `Mark` once it is initialised.
const MARK: u64 = 0x6D65_7449_6B72_6F57;
/// The item is in pool of its own, by IoAllocateWorkItem.
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
            // SAFETY: from a routine of this type, in ExQueueWorkItem.
            let routine: Routine = unsafe { core::mem::transmute(routine) };
            // SAFETY: as the driver has promised for this very call.
            unsafe { routine(pointer(parameter)) }
        }
        Call::Io { object, context, .. } => {
            // SAFETY: from a routine of this type, in IoQueueWorkItem.
            let routine: IoRoutine = unsafe { core::mem::transmute(routine) };
            // SAFETY: as the driver has promised for this very call; the object is referenced.
            unsafe { routine(pointer(object), pointer(context)) }
        }
        Call::IoEx { object, context, .. } => {
            // SAFETY: from a routine of this type, in IoQueueWorkItemEx.
            let routine: IoRoutineEx = unsafe { core::mem::transmute(routine) };
            // SAFETY: as the driver has promised for this very call; the object is referenced.
            unsafe { routine(pointer(object), pointer(context), pointer(item.address)) }
        }
    }
}

fn read(item: PIO_WORKITEM) -> IO_WORKITEM {
    // SAFETY: the memory was checked as far as pool goes; else the driver promised that the item is valid. Any bits are an
    // IO_WORKITEM but the routine's, which is null here.
    unsafe { item.read_unaligned() }
}

fn write(item: PIO_WORKITEM, value: IO_WORKITEM) {
    // SAFETY: as for `read`.
    unsafe { item.write_unaligned(value) }
}

impl Machine {
    /// A violation where an item is in a queue.
    fn forbid_queued_item(&self, address: usize, kind: u64, what: &str) -> Checked<()> {
        let queued = self.kernel.borrow().work.find_in(address..address + 1);
        let Some(item) = queued else { return Ok(()) };
        let rule = alloc::format!("the work item {} was {what} while it was queued", self.name(address));
        let third = if kind == 2 { item.call.routine() as u64 } else { 0 };
        Err(violation(0xE4, [kind, address as u64, third, 0], rule))
    }

    fn initialize_item(&self, item: PIO_WORKITEM, object: PVOID, flags: u64) -> Checked<()> {
        let address = objects::address(item);
        self.check_memory(address, Use::WorkItem)?;
        self.forbid_queued_item(address, 1, "initialised")?;
        if !self.is_io_object(object as usize) {
            let (name, object) = (self.name(address), object as usize);
            let rule = alloc::format!(
                "the work item {name} was made for {}, which is neither a device nor the driver",
                self.name(object)
            );
            return Err(violation(0xE4, [3, address as u64, object as u64, 0], rule));
        }
        write(item, IO_WORKITEM { IoObject: object, Mark: MARK, Flags: flags, ..IO_WORKITEM::default() });
        Ok(())
    }

    /// The item at an address, once it is known to be one.
    fn load_item(&self, item: PIO_WORKITEM) -> Checked<IO_WORKITEM> {
        let address = item as usize;
        self.check_memory(address, Use::WorkItem)?;
        // SAFETY: checked as far as pool goes; else valid by the driver's promise. No reference is made.
        let mark = unsafe { &raw const (*item).Mark };
        // SAFETY: as above.
        if unsafe { mark.read_unaligned() } == MARK {
            return Ok(read(item));
        }
        let rule = alloc::format!(
            "{} is used as a work item, but was not initialised as one, or was overwritten since",
            self.name(address)
        );
        Err(violation(0xE4, [7, address as u64, 0, 0], rule))
    }

    /// An item is given up: freed, or no item any more.
    fn give_up_item(&self, item: PIO_WORKITEM, allocated: bool) -> Checked<()> {
        let address = item as usize;
        let value = self.load_item(item)?;
        self.forbid_queued_item(address, 2, "given up")?;
        if (value.Flags & ALLOCATED != 0) != allocated {
            let (is, made) = if allocated {
                ("was freed by IoFreeWorkItem", "IoInitializeWorkItem")
            } else {
                ("was given up by IoUninitializeWorkItem", "IoAllocateWorkItem")
            };
            let rule = alloc::format!("the work item {} is from {made} and {is}", self.name(address));
            return Err(violation(0xE4, [3, address as u64, 0, 0], rule));
        }
        write(item, IO_WORKITEM::default());
        if allocated { self.free_kernel(address) } else { Ok(()) }
    }

    /// The queue of a type; the run ends where drivers have none of it.
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
            _ => {
                let rule = alloc::format!("{} with queue {queue}, which is none", ddi.name());
                Err(violation(0xE4, [6, address as u64, queue as u64, 0], rule))
            }
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
            let rule = alloc::format!("{} without a routine: {}", ddi.name(), self.name(address));
            return Err(violation(0xE4, [7, address as u64, number as u64, 0], rule));
        }
        self.forbid_queued_item(address, 1, "queued")?;
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

/// A work item for a device, in non-paged pool; null where memory is low. IRQL ≤ DISPATCH_LEVEL. No device: bug check 0xE4
/// (3, item, object) (`nf-wdm-ioallocateworkitem`).
///
/// # Safety
/// None beyond being called in a simulation run: what is no device is noticed.
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

/// Frees a work item of [`IoAllocateWorkItem`], which is in no queue: else bug check 0xE4 (2, item, routine). IRQL ≤ DISPATCH_LEVEL. No
/// work item: 0xE4; freed before: 0xD1 (`nf-wdm-iofreeworkitem`).
///
/// # Safety
/// `IoWorkItem` is from [`IoAllocateWorkItem`].
pub unsafe extern "C" fn IoFreeWorkItem(IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoFreeWorkItem);
    machine.called(Ddi::IoFreeWorkItem, |machine| ([machine.pointer(IoWorkItem as usize)], None));
    machine.checked(machine.give_up_item(IoWorkItem, true));
}

/// Makes a work item in the driver's own memory, for a device or the driver. Any IRQL. Storage is non-paged: else bug check 0xD1; not
/// a queued item: else 0xE4 (1, item). No such object: 0xE4 (3, item, object) (`nf-wdm-ioinitializeworkitem`).
///
/// # Safety
/// `IoWorkItem` is valid for writes of [`IoSizeofWorkItem`] bytes, and stays valid while the item is queued.
pub unsafe extern "C" fn IoInitializeWorkItem(IoObject: PVOID, IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoInitializeWorkItem);
    machine.called(Ddi::IoInitializeWorkItem, |machine| {
        ([machine.pointer(IoObject as usize), machine.pointer(IoWorkItem as usize)], None)
    });
    machine.checked(machine.initialize_item(IoWorkItem, IoObject, 0));
}

/// Gives up a work item of [`IoInitializeWorkItem`], which is in no queue: else bug check 0xE4 (2, item, routine). Any IRQL. No work
/// item, or one of IoAllocateWorkItem: 0xE4 (`nf-wdm-iouninitializeworkitem`).
///
/// # Safety
/// `IoWorkItem` is valid.
pub unsafe extern "C" fn IoUninitializeWorkItem(IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoUninitializeWorkItem);
    machine.called(Ddi::IoUninitializeWorkItem, |machine| ([machine.pointer(IoWorkItem as usize)], None));
    machine.checked(machine.give_up_item(IoWorkItem, false));
}

/// The bytes of a work item for [`IoInitializeWorkItem`]. Any IRQL (`nf-wdm-iosizeofworkitem`).
///
/// # Safety
/// None beyond being called in a simulation run.
pub unsafe extern "C" fn IoSizeofWorkItem() -> ULONG {
    let machine = &*enter(Ddi::IoSizeofWorkItem);
    let size = size_of::<IO_WORKITEM>() as ULONG;
    machine.called(Ddi::IoSizeofWorkItem, |_| ([], Some(Value::Number(size.into()))));
    size
}

/// Queues a work item: a system worker thread takes it out of the queue and calls `WorkerRoutine` at PASSIVE_LEVEL with its device and
/// `Context`. The device stays referenced until the routine has returned. The routine may free the item or queue it again.
///
/// Each queue has few workers ([`Config::workers`](crate::Config::workers)): while their routines wait, nothing else of the queue
/// runs. IRQL ≤ DISPATCH_LEVEL. Queued already: bug check 0xE4 (1, item); no work item, no routine: 0xE4 (7, item); no queue: 0xE4
/// (6, item, queue); a queue of the system's own ends the run as not supported. A routine that returns at raised IRQL: 0xE1
/// (`nf-wdm-ioqueueworkitem`).
///
/// # Safety
/// `IoWorkItem` was initialised and is valid while it is queued; `WorkerRoutine` may be called with `Context`.
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

/// As [`IoQueueWorkItem`]; the routine gets the device or driver, the context, and the work item (`nf-wdm-ioqueueworkitemex`).
///
/// # Safety
/// As for [`IoQueueWorkItem`].
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

/// Makes a work item of the executive: an inline function in NT. Any IRQL. Storage is non-paged: else bug check 0xD1; not a queued
/// item: else 0xE4 (1, item) (`nf-wdm-exinitializeworkitem`).
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
    machine.checked(machine.forbid_queued_item(Item as usize, 1, "initialised"));
    let fresh = WORK_QUEUE_ITEM { WorkerRoutine, Parameter, ..WORK_QUEUE_ITEM::default() };
    // SAFETY: by the caller's promise; checked as far as pool goes.
    unsafe { Item.write_unaligned(fresh) };
}

/// Queues a work item of the executive. As [`IoQueueWorkItem`], but nothing keeps the driver loaded until the routine has returned: an
/// item that is queued or runs at unload is bug check 0xCE (`nf-wdm-exqueueworkitem`).
///
/// # Safety
/// `WorkItem` was initialised and is valid while it is queued; its routine may be called with its parameter.
pub unsafe extern "C" fn ExQueueWorkItem(WorkItem: PWORK_QUEUE_ITEM, QueueType: WORK_QUEUE_TYPE) {
    let ddi = Ddi::ExQueueWorkItem;
    let Some(machine) = enter_run(ddi) else { return };
    let address = objects::address(WorkItem);
    machine.checked(machine.check_memory(address, Use::ExWorkItem));
    // SAFETY: checked as far as pool goes; else valid by the caller's promise.
    let value = unsafe { WorkItem.read_unaligned() };
    let routine = value.WorkerRoutine.map_or(0, |routine| (routine as *mut c_void).expose_provenance());
    let call = Call::Executive { routine, parameter: objects::address(value.Parameter) };
    machine.checked(machine.queue_item(ddi, address, QueueType, false, call));
}
