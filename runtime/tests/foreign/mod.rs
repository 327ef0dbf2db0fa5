//! A foreign operation for tests. It keeps the contract as far as its test lets it, and the test
//! sets its answers.

use core::{
    cell::Cell,
    ffi::c_void,
    ptr::{from_ref, null_mut},
};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperation, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus,
    GUID, IUnknownRaw, IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus, async_com::CompletedHandler,
};

/// The operation with its control and its state. Only one processor at a time uses it.
#[repr(C)]
pub(crate) struct Foreign {
    operation: AsyncOperationRaw<u32>,
    control: AsyncControlRaw,
    /// The number of references that clients have.
    pub(crate) references: Cell<u32>,
    pub(crate) status: Cell<RawAsyncStatus>,
    /// The answer of get_result, and the value that it writes with success.
    pub(crate) result: Cell<(NTSTATUS, u32)>,
    /// The answer of QueryInterface for `IAsyncControl`.
    pub(crate) has_control: Cell<NTSTATUS>,
    /// The error that get_error writes.
    pub(crate) error: Cell<NTSTATUS>,
    /// The operation's status once get_error has been called.
    pub(crate) ends: Cell<Option<AsyncStatus>>,
    /// The answer of set_completed. The handler is kept, whatever the answer is.
    pub(crate) accepts: Cell<NTSTATUS>,
    pub(crate) handler: Cell<Option<(CompletedHandler, *mut c_void)>>,
    /// The answer of wait.
    pub(crate) wait: Cell<NTSTATUS>,
    /// The number of cancels; `looks` is the number of get_status calls.
    pub(crate) cancels: Cell<u32>,
    pub(crate) looks: Cell<u32>,
}

impl Foreign {
    /// Makes a started operation with all its interfaces. It lives as long as the program; a leaked
    /// reference shows in its count.
    pub(crate) fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            operation: AsyncOperationRaw { vtbl: &raw const OPERATION },
            control: AsyncControlRaw { vtbl: &raw const CONTROL },
            references: Cell::new(0),
            status: Cell::new(AsyncStatus::Started.into()),
            result: Cell::new((NTSTATUS::PENDING, 0)),
            has_control: Cell::new(NTSTATUS::SUCCESS),
            error: Cell::new(NTSTATUS::PENDING),
            ends: Cell::new(None),
            accepts: Cell::new(NTSTATUS::SUCCESS),
            handler: Cell::new(None),
            wait: Cell::new(NTSTATUS::TIMEOUT),
            cancels: Cell::new(0),
            looks: Cell::new(0),
        }))
    }

    /// Returns a client's pointer, with a reference.
    pub(crate) fn client(&'static self) -> AsyncOperation<u32> {
        self.references.set(self.references.get() + 1);
        // SAFETY: the pointer is a live operation, and owns the reference that was counted above.
        unsafe { AsyncOperation::from_raw(from_ref(self).cast_mut().cast()) }
            .unwrap_or_else(|s| panic!("{s}"))
    }

    pub(crate) fn completes(&self, value: u32) {
        self.result.set((NTSTATUS::SUCCESS, value));
        self.status.set(AsyncStatus::Completed.into());
    }

    /// Calls the handler that was set last, if there is one, and keeps it.
    pub(crate) fn calls_back(&self) {
        if let Some((handler, context)) = self.handler.get() {
            // SAFETY: the client set this handler with this context.
            unsafe { handler(context, self.status.get()) };
        }
    }
}

const CONTROL_AT: usize = core::mem::offset_of!(Foreign, control);

static OPERATION: AsyncOperationVtbl<u32> =
    AsyncOperationVtbl { base: unknown::<0>(), get_status: Some(get_status), get_result: Some(get_result) };

static CONTROL: AsyncControlVtbl = AsyncControlVtbl {
    base: unknown::<CONTROL_AT>(),
    cancel: Some(cancel),
    get_error: Some(get_error),
    set_completed: Some(set_completed),
    wait: Some(wait),
    get_result_size: None,
};

const fn unknown<const AT: usize>() -> IUnknownVtbl {
    IUnknownVtbl {
        QueryInterface: Some(query::<AT>),
        AddRef: Some(add_ref::<AT>),
        Release: Some(release::<AT>),
    }
}

/// # Safety
/// `this` is the interface at `AT` of a `Foreign`, which is leaked.
unsafe fn object<const AT: usize>(this: *mut c_void) -> &'static Foreign {
    // SAFETY: the caller passes the interface at offset `AT`, so the object begins `AT` bytes
    // before.
    let start = unsafe { this.byte_sub(AT) };
    // SAFETY: the object is leaked, so it is alive for ever.
    unsafe { &*start.cast::<Foreign>() }
}

unsafe extern "system" fn query<const AT: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<AT>(this) };
    // SAFETY: clients pass a readable `iid`.
    let iid = unsafe { iid.read() };
    let start: *mut Foreign = from_ref(object).cast_mut();
    let (answer, found) = match iid {
        // SAFETY: the control stands at this offset in the object.
        AsyncControlRaw::IID => (object.has_control.get(), unsafe { start.byte_add(CONTROL_AT) }.cast()),
        IUnknownRaw::IID => (NTSTATUS::SUCCESS, start.cast()),
        iid if iid == AsyncOperationRaw::<u32>::IID => (NTSTATUS::SUCCESS, start.cast()),
        _ => (NTSTATUS::NOINTERFACE, null_mut()),
    };
    let given = answer == NTSTATUS::SUCCESS;
    if given {
        object.references.set(object.references.get() + 1);
    }
    // SAFETY: clients pass a writable `out`.
    unsafe { out.write(if given { found } else { null_mut() }) };
    answer
}

unsafe extern "system" fn add_ref<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<AT>(this) };
    object.references.set(object.references.get() + 1);
    object.references.get()
}

unsafe extern "system" fn release<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<AT>(this) };
    object.references.set(object.references.get() - 1);
    object.references.get()
}

unsafe extern "system" fn get_status(this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<0>(this) };
    object.looks.set(object.looks.get() + 1);
    // SAFETY: clients pass a writable `out`.
    unsafe { out.write(object.status.get()) };
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn get_result(this: *mut c_void, out: *mut u32) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let (answer, value) = unsafe { object::<0>(this) }.result.get();
    // SAFETY: clients pass a writable `out`.
    unsafe { out.write(value) };
    answer
}

unsafe extern "system" fn cancel(this: *mut c_void) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<CONTROL_AT>(this) };
    object.cancels.set(object.cancels.get() + 1);
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn get_error(this: *mut c_void, out: *mut NTSTATUS) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<CONTROL_AT>(this) };
    object.status.set(object.ends.take().map_or_else(|| object.status.get(), RawAsyncStatus::from));
    // SAFETY: clients pass a writable `out`.
    unsafe { out.write(object.error.get()) };
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn set_completed(
    this: *mut c_void,
    handler: Option<CompletedHandler>,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<CONTROL_AT>(this) };
    object.handler.set(handler.map(|handler| (handler, context)));
    object.accepts.get()
}

unsafe extern "system" fn wait(this: *mut c_void, timeout: *const i64) -> NTSTATUS {
    // SAFETY: the caller of the slot passes this interface.
    let object = unsafe { object::<CONTROL_AT>(this) };
    assert!(timeout.is_null() || timeout.is_aligned());
    object.wait.get()
}
