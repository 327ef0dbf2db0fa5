//! Safe wrappers of threads and of the objects that they wait for.

use core::ptr::null_mut;

use ntsim::{
    ddi,
    types::{_EVENT_TYPE::*, _KWAIT_REASON::*, _MODE::*, _TIMER_TYPE::*, _WAIT_TYPE::*, *},
};

use super::{Timer, free, object};

/// An object that a thread can wait for.
pub(crate) trait Waitable {
    /// Returns the object's address.
    fn pointer(&self) -> PVOID;
}

/// Waits for one object, until `timeout` or without end.
pub(crate) fn wait(object: &dyn Waitable, timeout: Option<i64>) -> NTSTATUS {
    wait_at(object.pointer(), timeout)
}

/// Waits for the object at an address.
pub(crate) fn wait_at(object: PVOID, timeout: Option<i64>) -> NTSTATUS {
    wait_with(object, timeout, Executive, KernelMode as i8, 0)
}

/// Waits with all arguments.
pub(crate) fn wait_with(
    object: PVOID,
    timeout: Option<i64>,
    reason: i32,
    mode: i8,
    alertable: u8,
) -> NTSTATUS {
    let mut due = LARGE_INTEGER { QuadPart: timeout.unwrap_or_default() };
    let due = if timeout.is_some() { &raw mut due } else { null_mut() };
    // SAFETY: the object is valid; otherwise the simulated kernel ends the run.
    unsafe { ddi::KeWaitForSingleObject(object, reason, mode, alertable, due) }
}

/// Waits for several objects.
pub(crate) fn wait_for(kind: WAIT_TYPE, objects: &[&dyn Waitable], timeout: Option<i64>) -> NTSTATUS {
    let mut pointers: Vec<PVOID> = objects.iter().map(|object| object.pointer()).collect();
    let mut blocks = [KWAIT_BLOCK::default(); 64];
    wait_with_blocks(
        kind,
        &mut pointers,
        timeout,
        if objects.len() > 3 { blocks.as_mut_ptr() } else { null_mut() },
    )
}

/// Waits for several objects with this room for wait blocks.
pub(crate) fn wait_with_blocks(
    kind: WAIT_TYPE,
    objects: &mut [PVOID],
    timeout: Option<i64>,
    blocks: PKWAIT_BLOCK,
) -> NTSTATUS {
    let mut due = LARGE_INTEGER { QuadPart: timeout.unwrap_or_default() };
    let due = if timeout.is_some() { &raw mut due } else { null_mut() };
    let (count, objects) = (objects.len() as u32, objects.as_mut_ptr());
    // SAFETY: the objects are valid, and there is room for as many blocks.
    unsafe {
        ddi::KeWaitForMultipleObjects(count, objects, kind, Executive, KernelMode as i8, 0, due, blocks)
    }
}

/// Waits for all objects.
pub(crate) fn wait_all(objects: &[&dyn Waitable], timeout: Option<i64>) -> NTSTATUS {
    wait_for(WaitAll, objects, timeout)
}

/// Waits for any object.
pub(crate) fn wait_any(objects: &[&dyn Waitable], timeout: Option<i64>) -> NTSTATUS {
    wait_for(WaitAny, objects, timeout)
}

/// Waits for this interval.
pub(crate) fn delay(interval: i64) -> NTSTATUS {
    let mut interval = LARGE_INTEGER { QuadPart: interval };
    // SAFETY: the argument is valid.
    unsafe { ddi::KeDelayExecutionThread(KernelMode as i8, 0, &raw mut interval) }
}

/// Returns the current thread's object.
pub(crate) fn current_thread() -> PKTHREAD {
    // SAFETY: this runs inside a simulation run.
    unsafe { ddi::KeGetCurrentThread() }
}

/// An event in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct Event(pub(crate) PRKEVENT);

impl Event {
    pub(crate) fn new(kind: EVENT_TYPE, signalled: bool) -> Self {
        let event = Self(object());
        event.initialize(kind, signalled);
        event
    }

    pub(crate) fn notification() -> Self {
        Self::new(NotificationEvent, false)
    }

    pub(crate) fn synchronization() -> Self {
        Self::new(SynchronizationEvent, false)
    }

    pub(crate) fn initialize(self, kind: EVENT_TYPE, signalled: bool) {
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::KeInitializeEvent(self.0, kind, signalled.into()) }
    }

    pub(crate) fn set(self) -> i32 {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeSetEvent(self.0, 0, 0) }
    }

    pub(crate) fn reset(self) -> i32 {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeResetEvent(self.0) }
    }

    pub(crate) fn clear(self) {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeClearEvent(self.0) }
    }

    pub(crate) fn state(self) -> i32 {
        // SAFETY: the object is initialised; otherwise the simulated kernel ends the run.
        unsafe { ddi::KeReadStateEvent(self.0) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

/// A semaphore in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct Semaphore(pub(crate) PRKSEMAPHORE);

impl Semaphore {
    pub(crate) fn new(count: i32, limit: i32) -> Self {
        let semaphore = Self(object());
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::KeInitializeSemaphore(semaphore.0, count, limit) };
        semaphore
    }

    pub(crate) fn release(self, adjustment: i32) -> i32 {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeReleaseSemaphore(self.0, 0, adjustment, 0) }
    }

    pub(crate) fn state(self) -> i32 {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeReadStateSemaphore(self.0) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

/// A mutex in a block of pool of its own.
#[derive(Clone, Copy)]
pub(crate) struct Mutex(pub(crate) PRKMUTEX);

impl Mutex {
    pub(crate) fn new() -> Self {
        let mutex = Self(object());
        mutex.initialize();
        mutex
    }

    pub(crate) fn initialize(self) {
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::KeInitializeMutex(self.0, 0) }
    }

    pub(crate) fn release(self) -> i32 {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeReleaseMutex(self.0, 0) }
    }

    pub(crate) fn state(self) -> i32 {
        // SAFETY: the object is initialised.
        unsafe { ddi::KeReadStateMutex(self.0) }
    }

    pub(crate) fn free(self) {
        free(self.0);
    }
}

type Body = Box<dyn FnOnce()>;

unsafe extern "C" fn call_body(context: PVOID) {
    // SAFETY: `spawn_with_handle` passed a box, for one call.
    let body = unsafe { Box::from_raw(context.cast::<Body>()) };
    body();
}

/// Creates a system thread that runs a closure, and returns a handle to it. Returns null if memory
/// is low.
pub(crate) fn spawn_with_handle(f: impl FnOnce() + 'static) -> HANDLE {
    let body: Body = Box::new(f);
    let context = Box::into_raw(Box::new(body));
    let mut handle = null_mut();
    // SAFETY: the routine's context is a body, for its only call.
    let status = unsafe {
        ddi::PsCreateSystemThread(
            &raw mut handle,
            THREAD_ALL_ACCESS,
            null_mut(),
            null_mut(),
            null_mut(),
            Some(call_body),
            context.cast(),
        )
    };
    if status == STATUS_INSUFFICIENT_RESOURCES {
        // SAFETY: no thread was created that would use the body.
        drop(unsafe { Box::from_raw(context) });
        return null_mut();
    }
    assert_eq!(status, STATUS_SUCCESS);
    handle
}

pub(crate) fn close(handle: HANDLE) {
    // SAFETY: the handle is open; otherwise the simulated kernel ends the run.
    assert_eq!(unsafe { ddi::ZwClose(handle) }, STATUS_SUCCESS);
}

pub(crate) fn thread_object(handle: HANDLE) -> PVOID {
    let mut object = null_mut();
    // SAFETY: the handle is open; otherwise the simulated kernel ends the run.
    let status = unsafe {
        ddi::ObReferenceObjectByHandle(handle, 0, null_mut(), KernelMode as i8, &raw mut object, null_mut())
    };
    assert_eq!(status, STATUS_SUCCESS);
    object
}

pub(crate) fn reference(object: PVOID) -> i64 {
    // SAFETY: the object is valid; otherwise the simulated kernel ends the run.
    unsafe { ddi::ObfReferenceObject(object) }
}

pub(crate) fn dereference(object: PVOID) -> i64 {
    // SAFETY: the object is valid; otherwise the simulated kernel ends the run.
    unsafe { ddi::ObfDereferenceObject(object) }
}

/// Ends the current thread, if it is a system thread.
pub(crate) fn terminate(status: NTSTATUS) -> NTSTATUS {
    // SAFETY: the tests pin nothing on the stacks of their threads.
    unsafe { ddi::PsTerminateSystemThread(status) }
}

/// A referenced system thread with a closed handle.
#[derive(Clone, Copy)]
pub(crate) struct Thread(pub(crate) PVOID);

impl Thread {
    /// Creates a thread that runs a closure.
    pub(crate) fn spawn(f: impl FnOnce() + 'static) -> Self {
        let handle = spawn_with_handle(f);
        let object = thread_object(handle);
        close(handle);
        Self(object)
    }

    /// Waits for the thread's end and releases its object.
    pub(crate) fn join(self) {
        assert_eq!(wait(&self, None), STATUS_SUCCESS);
        dereference(self.0);
    }
}

impl Timer {
    pub(crate) fn synchronization() -> Self {
        let timer = Self(object());
        // SAFETY: `object` has allocated the storage.
        unsafe { ddi::KeInitializeTimerEx(timer.0, SynchronizationTimer) };
        timer
    }
}

macro_rules! waitable {
    ($($name:ident),*) => { $(
        impl Waitable for $name {
            fn pointer(&self) -> PVOID {
                self.0.cast()
            }
        }
    )* };
}

waitable!(Event, Semaphore, Mutex, Thread, Timer);
