//! Tests of the executor as a driver links it, with wdk-sys's declarations and ntsim's definitions.
//! Only the linker joins them.
//!
//! The program is built by `cargo xtask wdk-check` only. Atomics are core's here, so schedules
//! differ at DDI calls only. The statics are the program's, so one kernel at a time has them.
#![cfg(all(kernel = "wdk", wdk_check))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they mean, helpers of tests too"
)]

use core::{
    alloc::{GlobalAlloc, Layout},
    future::{pending, poll_fn},
    ptr::null_mut,
    task::Poll,
    time::Duration,
};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use futures_util::FutureExt;
use ntcom_exec::{
    DEFAULT_POLL_BUDGET, DpcOptions, DrainError, EtwProvider, GlobalAllocator, Importance, NTSTATUS,
    OnWorkItems, TaskBuilder, default_tracker, is_cancellation_requested, sleep, spawn_dpc_task,
    spawn_dpc_task_cancellable, spawn_irp_task, timeout, try_finally, yield_now,
};
use ntsim::{
    Config, Schedule, Simulation, Stop, ddi, etw,
    types::{
        FILE_DEVICE_UNKNOWN, GUID, IRP_MJ_READ, PDEVICE_OBJECT, PIRP, PVOID, STATUS_MORE_PROCESSING_REQUIRED,
    },
};

mod exports {
    //! The functions that the kernel exports, defined by ntsim.
    use ntsim::{
        ddi,
        types::{
            KDPC, KEVENT, KLOCK_QUEUE_HANDLE, KSPIN_LOCK, KTIMER, LARGE_INTEGER, LPCGUID, PETWENABLECALLBACK,
            PIO_WORKITEM, PIO_WORKITEM_ROUTINE_EX, PIRP, PKDEFERRED_ROUTINE, PKTHREAD, PROCESSOR_NUMBER,
            PVOID,
        },
    };

    macro_rules! export {
        ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
            $(
                #[unsafe(no_mangle)]
                unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? {
                    // SAFETY: the caller keeps the promises of the function of the same name.
                    unsafe { ddi::$name($($argument),*) }
                }
            )*
        };
    }

    export! {
        EtwProviderEnabled(handle: u64, level: u8, keyword: u64) -> u8;
        EtwRegister(provider: LPCGUID, callback: PETWENABLECALLBACK, context: PVOID, handle: *mut u64) -> i32;
        EtwUnregister(handle: u64) -> i32;
        EtwWriteString(handle: u64, level: u8, keyword: u64, activity: LPCGUID, text: *const u16) -> i32;
        ExAllocatePool2(flags: u64, size: u64, tag: u32) -> PVOID;
        ExFreePoolWithTag(memory: PVOID, tag: u32);
        IoInitializeWorkItem(object: PVOID, item: PIO_WORKITEM);
        IoQueueWorkItemEx(item: PIO_WORKITEM, routine: PIO_WORKITEM_ROUTINE_EX, queue: i32, context: PVOID);
        IoSizeofWorkItem() -> u32;
        IoReleaseCancelSpinLock(irql: u8);
        IoUninitializeWorkItem(item: PIO_WORKITEM);
        IofCompleteRequest(irp: PIRP, boost: i8);
        KeAcquireInStackQueuedSpinLock(lock: *mut KSPIN_LOCK, handle: *mut KLOCK_QUEUE_HANDLE);
        KeAcquireSpinLockAtDpcLevel(lock: *mut KSPIN_LOCK);
        KeAcquireSpinLockRaiseToDpc(lock: *mut KSPIN_LOCK) -> u8;
        KeBugCheckEx(code: u32, p1: u64, p2: u64, p3: u64, p4: u64) -> !;
        KeCancelTimer(timer: *mut KTIMER) -> u8;
        KeFlushQueuedDpcs();
        KeGetCurrentIrql() -> u8;
        KeGetCurrentProcessorNumberEx(number: *mut PROCESSOR_NUMBER) -> u32;
        KeGetCurrentThread() -> PKTHREAD;
        KeInitializeDpc(dpc: *mut KDPC, routine: PKDEFERRED_ROUTINE, context: PVOID);
        KeInitializeEvent(event: *mut KEVENT, kind: i32, state: u8);
        KeInitializeTimerEx(timer: *mut KTIMER, kind: i32);
        KeInsertQueueDpc(dpc: *mut KDPC, one: PVOID, two: PVOID) -> u8;
        KeQueryInterruptTimePrecise(counter: *mut u64) -> u64;
        KeReleaseInStackQueuedSpinLock(handle: *mut KLOCK_QUEUE_HANDLE);
        KeReleaseSpinLock(lock: *mut KSPIN_LOCK, irql: u8);
        KeReleaseSpinLockFromDpcLevel(lock: *mut KSPIN_LOCK);
        KeSetCoalescableTimer(timer: *mut KTIMER, due: LARGE_INTEGER, period: u32, delay: u32, dpc: *mut KDPC) -> u8;
        KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
        KeSetImportanceDpc(dpc: *mut KDPC, importance: i32);
        KeSetTargetProcessorDpcEx(dpc: *mut KDPC, number: *mut PROCESSOR_NUMBER) -> i32;
        KeShouldYieldProcessor() -> u32;
        KeSetTimerEx(timer: *mut KTIMER, due: LARGE_INTEGER, period: i32, dpc: *mut KDPC) -> u8;
        KeWaitForSingleObject(object: PVOID, reason: i32, mode: i8, alertable: u8, timeout: *mut LARGE_INTEGER) -> i32;
        ObfDereferenceObject(object: PVOID) -> i64;
        ObfReferenceObject(object: PVOID) -> i64;
    }
}

/// The one kernel that has the statics.
struct Kernel(Simulation, #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Kernel {
    fn new(schedule: Schedule) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let guard = ONE.lock().expect("a failed test has left the statics in an unknown state");
        Self(Simulation::new(Config { processors: 2, ..Config::default() }, schedule), guard)
    }

    fn run(&mut self, processor: usize, program: impl FnOnce() + 'static) -> Result<(), Stop> {
        self.0.run_on(processor, program)
    }

    /// Unloads the driver, and checks that nothing of it is left.
    fn unload(mut self) {
        self.run(0, || default_tracker(|tracker| assert_eq!(tracker.unfinished(), 0))).unwrap();
        self.0.unload().unwrap_or_else(|stop| panic!("{stop}"));
    }
}

#[test]
fn a_body_outlives_its_poll_budget_and_ends() {
    let mut kernel = Kernel::new(Schedule::round_robin());
    let (sender, receiver) = mpsc::channel();
    let body = async move {
        for _ in 0..3 * DEFAULT_POLL_BUDGET.get() {
            yield_now().await;
        }
        sender.send(()).unwrap();
    };
    kernel.run(0, || spawn_dpc_task(body).unwrap()).unwrap();
    kernel.run(0, || ntsim::advance_time(1_000_000)).unwrap();
    assert_eq!(receiver.try_recv(), Ok(()));
    kernel.unload();
}

/// The processors' slots work. A cancellation is seen on the processor that the wake came from, and
/// the cleanup runs.
#[test]
fn a_cancelled_body_cleans_up_on_either_processor() {
    for seed in 0..20 {
        let mut kernel = Kernel::new(Schedule::seed(seed));
        let (sender, receiver) = mpsc::channel();
        let seen = sender.clone();
        let body = async move {
            let main = poll_fn(move |_| {
                seen.send(is_cancellation_requested()).unwrap();
                Poll::<()>::Pending
            });
            try_finally(main, async move { sender.send(true).unwrap() }).await;
        };
        let handle = Arc::new(Mutex::new(None));
        let spawned = Arc::clone(&handle);
        let spawn = move || *spawned.lock().unwrap() = Some(spawn_dpc_task_cancellable(body).unwrap());
        kernel.run(0, spawn).unwrap();
        kernel.run((seed % 2) as usize, move || handle.lock().unwrap().take().unwrap().cancel()).unwrap();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [false, true, true], "seed {seed}");
        kernel.unload();
    }
}

/// The list of threads works. A cancellation is seen in any worker thread, and the cleanup runs.
#[test]
fn a_cancelled_body_on_work_items_cleans_up() {
    for seed in 0..40 {
        let mut kernel = Kernel::new(Schedule::seed(seed));
        let (sender, receiver) = mpsc::channel();
        let seen = sender.clone();
        let body = async move {
            let main = poll_fn(move |_| {
                assert_eq!(ntsim::irql(), 0);
                seen.send(is_cancellation_requested()).unwrap();
                Poll::<()>::Pending
            });
            for _ in 0..DEFAULT_POLL_BUDGET.get() {
                yield_now().await;
            }
            try_finally(main, async move { sender.send(true).unwrap() }).await;
        };
        let handle = Arc::new(Mutex::new(None));
        let spawned = Arc::clone(&handle);
        let spawn = move || {
            let (driver, mut device) = (ntsim::driver_object(), null_mut());
            // SAFETY: the arguments are valid.
            let status = unsafe {
                ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device)
            };
            assert_eq!(status, 0);
            // SAFETY: this is a device, which is deleted below.
            let placement = unsafe { OnWorkItems::of(device.cast()) };
            let task = TaskBuilder::new().on(placement).spawn(body);
            *spawned.lock().unwrap() = Some(task.unwrap());
            // SAFETY: this is a device, and it is deleted once.
            unsafe { ddi::IoDeleteDevice(device) };
        };
        kernel.run(0, spawn).unwrap();
        kernel.run((seed % 2) as usize, move || handle.lock().unwrap().take().unwrap().cancel()).unwrap();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [false, true, true], "seed {seed}");
        kernel.unload();
    }
}

/// Serves a request by a task that waits for ever, as the driver's dispatch routine.
unsafe extern "C" fn dispatch(_device: PDEVICE_OBJECT, irp: PIRP) -> i32 {
    // SAFETY: the IRP is new, and this is its last use.
    let answer = unsafe { spawn_irp_task(irp.cast(), pending(), |task| TaskBuilder::new().spawn(task)) };
    answer.0
}

unsafe extern "C" fn keep(_device: PDEVICE_OBJECT, irp: PIRP, _: PVOID) -> i32 {
    // SAFETY: the IRP is being completed.
    assert!(unsafe { (*irp).PendingReturned } != 0, "marked pending");
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The fields of an IRP are where wdk-sys has them.
#[test]
fn a_request_is_served_by_a_task_and_cancelled() {
    let mut kernel = Kernel::new(Schedule::round_robin());
    kernel
        .run(0, || {
            let (driver, mut device) = (ntsim::driver_object(), null_mut());
            // SAFETY: the arguments are valid.
            unsafe { ddi::IoCreateDevice(driver, 0, null_mut(), FILE_DEVICE_UNKNOWN, 0, 0, &raw mut device) };
            // SAFETY: this is the driver's own object, and an index that it has.
            unsafe { (*driver).MajorFunction[IRP_MJ_READ] = dispatch as *mut _ };
            // SAFETY: called in a run.
            let irp = unsafe { ddi::IoAllocateIrp(1, 0) };
            // SAFETY: the IRP has a stack location.
            unsafe { (*ddi::IoGetNextIrpStackLocation(irp)).MajorFunction = IRP_MJ_READ as u8 };
            // SAFETY: the IRP has a stack location.
            unsafe { ddi::IoSetCompletionRoutine(irp, Some(keep), null_mut(), 1, 1, 1) };
            // SAFETY: the device's driver has a dispatch routine.
            assert_eq!(unsafe { ddi::IofCallDriver(device, irp) }, NTSTATUS::PENDING.0);
            // SAFETY: the IRP is not freed.
            assert_eq!(unsafe { ddi::IoCancelIrp(irp) }, 1, "there is a cancel routine");
            // SAFETY: the IRP is completed, and the completion routine kept it.
            assert_eq!(unsafe { (*irp).IoStatus.Status }, NTSTATUS::CANCELLED.0);
            // SAFETY: the IRP is completed, and the completion routine kept it; it is freed once.
            unsafe { ddi::IoFreeIrp(irp) };
            // SAFETY: this is a device, and it is deleted once.
            unsafe { ddi::IoDeleteDevice(device) };
        })
        .unwrap_or_else(|stop| panic!("{stop}"));
    kernel.unload();
}

/// The importance and the processor of a DPC are those of wdk-sys.
#[test]
fn options_reach_the_kernel() {
    let mut kernel = Kernel::new(Schedule::round_robin());
    let (sender, receiver) = mpsc::channel();
    let spawn = move || {
        let body = async move { sender.send(ntsim::current_processor()).unwrap() };
        let options = DpcOptions::new().processor(0, 1).importance(Importance::High);
        TaskBuilder::new().on(options).spawn(body).unwrap();
    };
    kernel.run(0, spawn).unwrap();
    assert_eq!(receiver.recv(), Ok(1));
    kernel.unload();
}

#[test]
fn the_tracker_of_the_image_reaches_a_body_that_waits() {
    let mut kernel = Kernel::new(Schedule::round_robin());
    let spawn = || {
        let handle = spawn_dpc_task_cancellable(pending()).unwrap();
        default_tracker(|tracker| assert_eq!(tracker.unfinished(), 1));
        default_tracker(ntcom_exec::TaskTracker::cancel_all);
        drop(handle);
    };
    kernel.run(1, spawn).unwrap();
    kernel.unload();
}

/// The tracker belongs to the program. It is not closed, because other tests need it.
#[test]
fn a_task_that_sleeps_is_cancelled_or_ends_and_is_drained() {
    for seed in 0..20 {
        let mut kernel = Kernel::new(Schedule::seed(seed));
        let program = move || {
            let short = async { sleep(Duration::from_millis(20)).await.unwrap() };
            spawn_dpc_task(timeout(Duration::from_secs(1), short).map(Result::unwrap)).unwrap();
            let long = spawn_dpc_task_cancellable(sleep(Duration::from_secs(1)).map(Result::unwrap)).unwrap();
            let stuck = default_tracker(|tracker| tracker.drain(Some(Duration::ZERO)));
            assert_eq!(stuck, Err(DrainError::Stuck { tasks: 2, timers: 3, handlers: 0 }));
            long.cancel();
            assert_eq!(default_tracker(|tracker| tracker.drain(None)), Ok(()));
        };
        kernel.run((seed % 2) as usize, program).unwrap_or_else(|stop| panic!("seed {seed}: {stop}"));
        kernel.unload();
    }
}

#[test]
fn without_memory_a_spawn_fails() {
    let mut kernel = Kernel::new(Schedule::round_robin());
    let spawn = || {
        ntsim::fail_allocation(0);
        assert_eq!(spawn_dpc_task(async {}), Err(NTSTATUS::INSUFFICIENT_RESOURCES));
    };
    kernel.run(0, spawn).unwrap();
    kernel.unload();
}

#[test]
fn the_global_allocator_keeps_every_alignment_and_gives_all_back() {
    let mut kernel = Kernel::new(Schedule::round_robin());
    let allocate = || {
        for align in (0..13).map(|power| 1 << power) {
            let layout = Layout::from_size_align(24, align).unwrap();
            // SAFETY: the size is not zero.
            let memory = unsafe { GlobalAllocator.alloc(layout) };
            assert!(!memory.is_null() && memory.addr().is_multiple_of(align));
            // SAFETY: the memory was allocated with this layout.
            unsafe { memory.write_bytes(0xFF, layout.size()) };
            // SAFETY: the memory was allocated with this layout, and is not used again.
            unsafe { GlobalAllocator.dealloc(memory, layout) };
        }
        ntsim::fail_allocation(0);
        // SAFETY: the size is not zero.
        assert!(unsafe { GlobalAllocator.alloc(Layout::new::<u64>()) }.is_null());
    };
    kernel.run(0, allocate).unwrap();
    kernel.unload();
}

#[test]
fn failing_fast_is_a_bug_check() {
    let mut kernel = Kernel::new(Schedule::round_robin());
    match kernel.run(0, || ntcom_exec::fail_fast_corrupt_interface()) {
        Err(Stop::BugCheck(bug)) => assert_eq!((bug.code, bug.parameters[0]), (0x139, 1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_provider_writes_what_a_session_asks_for() {
    const ID: u128 = 0x7c0f_2a51_9d2e_4b0c_a1f3_0a4f_8a1c_2e05;
    static PROVIDER: EtwProvider = EtwProvider::new(ID);
    let mut kernel = Kernel::new(Schedule::round_robin());
    let session = etw::enable(etw::Session::new(GUID::from_u128(ID), 3));
    kernel
        .run(0, || {
            let registration = PROVIDER.register().unwrap();
            PROVIDER.write(3, 1, format_args!("{} channels", 4));
            PROVIDER.write(4, 1, format_args!("unheard"));
            drop(registration);
            assert!(!PROVIDER.is_enabled(0, 0));
        })
        .unwrap();
    let heard: Vec<_> = etw::events(session).into_iter().map(|event| event.data).collect();
    assert_eq!(heard, [etw::Data::Text("4 channels".to_owned())]);
    kernel.unload();
}
