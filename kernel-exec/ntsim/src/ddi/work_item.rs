//! Work items.
//!
//! Documented at learn.microsoft.com/windows-hardware/drivers/ddi/wdm/:
//! `nf-wdm-ioallocateworkitem`, `nf-wdm-iofreeworkitem`, `nf-wdm-ioinitializeworkitem`,
//! `nf-wdm-iouninitializeworkitem`, `nf-wdm-iosizeofworkitem`, `nf-wdm-ioqueueworkitem`,
//! `nf-wdm-ioqueueworkitemex`, `nf-wdm-exinitializeworkitem`, `nf-wdm-exqueueworkitem`;
//! learn.microsoft.com/windows-hardware/drivers/kernel/system-worker-threads.
#![expect(non_snake_case, reason = "the names are the kernel's")]

use core::ffi::c_void;

use crate::{
    engine::entry::{enter, enter_run},
    kernel::work::WorkCall,
    subsystem::{objects, work_item},
    trace::Value,
    types::{
        IO_WORKITEM, PDEVICE_OBJECT, PIO_WORKITEM, PIO_WORKITEM_ROUTINE, PIO_WORKITEM_ROUTINE_EX, PVOID,
        PWORK_QUEUE_ITEM, PWORKER_THREAD_ROUTINE, ULONG, WORK_QUEUE_TYPE,
    },
    verifier::irql::Ddi,
};

/// Allocates a work item for a device, in non-paged pool.
///
/// Returns null if memory is low. IRQL ≤ DISPATCH_LEVEL. Bug check 0xE4 (3, item, object) if
/// `DeviceObject` is not a device (`nf-wdm-ioallocateworkitem`).
///
/// # Safety
/// None beyond being called in a simulation run, because the call checks that `DeviceObject` is a
/// device.
pub unsafe extern "C" fn IoAllocateWorkItem(DeviceObject: PDEVICE_OBJECT) -> PIO_WORKITEM {
    let machine = &*enter(Ddi::IoAllocateWorkItem);
    let item = machine.checked(work_item::allocate(machine, DeviceObject));
    machine.called(Ddi::IoAllocateWorkItem, |machine| {
        ([machine.pointer(DeviceObject as usize)], Some(machine.pointer(item as usize)))
    });
    item
}

/// Frees a work item of [`IoAllocateWorkItem`].
///
/// IRQL ≤ DISPATCH_LEVEL. Bug check 0xE4 (2, item, routine) if it is in a queue; 0xE4 if it is not
/// a work item; 0xD1 if it was freed before (`nf-wdm-iofreeworkitem`).
///
/// # Safety
/// `IoWorkItem` is from [`IoAllocateWorkItem`].
pub unsafe extern "C" fn IoFreeWorkItem(IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoFreeWorkItem);
    machine.called(Ddi::IoFreeWorkItem, |machine| ([machine.pointer(IoWorkItem as usize)], None));
    machine.checked(work_item::free(machine, IoWorkItem));
}

/// Initialises a work item in the driver's own memory, for a device or the driver.
///
/// Any IRQL. Bug check 0xD1 if the storage is pageable; 0xE4 (1, item) if an item there is queued;
/// 0xE4 (3, item, object) if `IoObject` is neither a device nor the driver
/// (`nf-wdm-ioinitializeworkitem`).
///
/// # Safety
/// `IoWorkItem` is valid for writes of [`IoSizeofWorkItem`] bytes, and stays valid while the item
/// is queued.
pub unsafe extern "C" fn IoInitializeWorkItem(IoObject: PVOID, IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoInitializeWorkItem);
    machine.called(Ddi::IoInitializeWorkItem, |machine| {
        ([machine.pointer(IoObject as usize), machine.pointer(IoWorkItem as usize)], None)
    });
    machine.checked(work_item::initialize(machine, IoWorkItem, IoObject));
}

/// Uninitialises a work item of [`IoInitializeWorkItem`].
///
/// Any IRQL. Bug check 0xE4 (2, item, routine) if it is in a queue; 0xE4 if it is not a work item,
/// or is one of IoAllocateWorkItem (`nf-wdm-iouninitializeworkitem`).
///
/// # Safety
/// `IoWorkItem` is valid.
pub unsafe extern "C" fn IoUninitializeWorkItem(IoWorkItem: PIO_WORKITEM) {
    let machine = &*enter(Ddi::IoUninitializeWorkItem);
    machine.called(Ddi::IoUninitializeWorkItem, |machine| ([machine.pointer(IoWorkItem as usize)], None));
    machine.checked(work_item::uninitialize(machine, IoWorkItem));
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

/// Queues a work item.
///
/// A system worker thread takes it out of the queue and calls `WorkerRoutine` at PASSIVE_LEVEL with
/// its device and `Context`. The device stays referenced until the routine has returned. The
/// routine may free the item or queue it again.
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
    let routine = WorkerRoutine.map_or(0, |routine| (routine as *mut c_void).expose_provenance());
    let context = objects::address(Context);
    let call = |object| WorkCall::Io { routine, object, context };
    machine.checked(work_item::queue_io(&machine, ddi, IoWorkItem, QueueType, call));
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
    let routine = WorkerRoutine.map_or(0, |routine| (routine as *mut c_void).expose_provenance());
    let context = objects::address(Context);
    let call = |object| WorkCall::IoEx { routine, object, context };
    machine.checked(work_item::queue_io(&machine, ddi, IoWorkItem, QueueType, call));
}

/// Initialises a work item of the executive.
///
/// In NT this is an inline function. Any IRQL. Bug check 0xD1 if the storage is pageable; 0xE4 (1,
/// item) if an item there is queued (`nf-wdm-exinitializeworkitem`).
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
    machine.checked(work_item::initialize_executive(machine, Item, WorkerRoutine, Parameter));
}

/// Queues a work item of the executive like [`IoQueueWorkItem`], but without keeping the driver
/// loaded until the routine has returned.
///
/// An item that is queued or runs at unload is bug check 0xCE (`nf-wdm-exqueueworkitem`).
///
/// # Safety
/// `WorkItem` was initialised and is valid while it is queued; its routine may be called with its
/// parameter.
pub unsafe extern "C" fn ExQueueWorkItem(WorkItem: PWORK_QUEUE_ITEM, QueueType: WORK_QUEUE_TYPE) {
    let ddi = Ddi::ExQueueWorkItem;
    let Some(machine) = enter_run(ddi) else { return };
    machine.checked(work_item::queue_executive(&machine, WorkItem, QueueType));
}
