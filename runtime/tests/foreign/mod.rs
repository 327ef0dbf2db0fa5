//! An operation of somebody else's, told by its test what to say: it keeps the contract as far as the test lets it.

use core::{
    cell::Cell,
    ffi::c_void,
    ptr::{from_ref, null_mut},
};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperation, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus,
    GUID, IUnknownRaw, IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus, async_com::CompletedHandler,
};

/// What is handed out, with the state behind it. Only ever used by one processor at a time.
#[repr(C)]
pub(crate) struct Foreign {
    operation: AsyncOperationRaw<u32>,
    control: AsyncControlRaw,
    /// The references that clients have.
    pub(crate) references: Cell<u32>,
    pub(crate) status: Cell<RawAsyncStatus>,
    /// What get_result answers, and writes with success.
    pub(crate) result: Cell<(NTSTATUS, u32)>,
    /// What QueryInterface answers for `IAsyncControl`.
    pub(crate) has_control: Cell<NTSTATUS>,
    /// What get_error writes.
    pub(crate) error: Cell<NTSTATUS>,
    /// How far it is once get_error has been called.
    pub(crate) ends: Cell<Option<AsyncStatus>>,
    /// What set_completed answers. The handler is kept, whatever that is.
    pub(crate) accepts: Cell<NTSTATUS>,
    pub(crate) handler: Cell<Option<(CompletedHandler, *mut c_void)>>,
    /// What wait answers.
    pub(crate) wait: Cell<NTSTATUS>,
    /// How often it was cancelled, and looked at.
    pub(crate) cancels: Cell<u32>,
    pub(crate) looks: Cell<u32>,
}

impl Foreign {
    /// Started, and with everything. It lives as long as the program: who leaks a reference is seen by the count.
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

    /// For a client.
    pub(crate) fn client(&'static self) -> AsyncOperation<u32> {
        self.references.set(self.references.get() + 1);
        // SAFETY: one reference, which has been counted.
        unsafe { AsyncOperation::from_raw(from_ref(self).cast_mut().cast()) }
            .unwrap_or_else(|s| panic!("{s}"))
    }

    pub(crate) fn completes(&self, value: u32) {
        self.result.set((NTSTATUS::SUCCESS, value));
        self.status.set(AsyncStatus::Completed.into());
    }

    /// Calls the handler that was set last, if there is one; it keeps it.
    pub(crate) fn calls_back(&self) {
        if let Some((handler, context)) = self.handler.get() {
            // SAFETY: as it was set to be.
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
/// `this` is the interface at `AT` of an object, which is leaked.
unsafe fn object<const AT: usize>(this: *mut c_void) -> &'static Foreign {
    // SAFETY: this function's contract.
    let start = unsafe { this.byte_sub(AT) };
    // SAFETY: as above.
    unsafe { &*start.cast::<Foreign>() }
}

unsafe extern "system" fn query<const AT: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<AT>(this) };
    // SAFETY: a client's `iid` is readable.
    let iid = unsafe { iid.read() };
    let start: *mut Foreign = from_ref(object).cast_mut();
    let (answer, found) = match iid {
        // SAFETY: inside the object.
        AsyncControlRaw::IID => (object.has_control.get(), unsafe { start.byte_add(CONTROL_AT) }.cast()),
        IUnknownRaw::IID => (NTSTATUS::SUCCESS, start.cast()),
        iid if iid == AsyncOperationRaw::<u32>::IID => (NTSTATUS::SUCCESS, start.cast()),
        _ => (NTSTATUS::NOINTERFACE, null_mut()),
    };
    let given = answer == NTSTATUS::SUCCESS;
    if given {
        object.references.set(object.references.get() + 1);
    }
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(if given { found } else { null_mut() }) };
    answer
}

unsafe extern "system" fn add_ref<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<AT>(this) };
    object.references.set(object.references.get() + 1);
    object.references.get()
}

unsafe extern "system" fn release<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<AT>(this) };
    object.references.set(object.references.get() - 1);
    object.references.get()
}

unsafe extern "system" fn get_status(this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<0>(this) };
    object.looks.set(object.looks.get() + 1);
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(object.status.get()) };
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn get_result(this: *mut c_void, out: *mut u32) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let (answer, value) = unsafe { object::<0>(this) }.result.get();
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(value) };
    answer
}

unsafe extern "system" fn cancel(this: *mut c_void) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL_AT>(this) };
    object.cancels.set(object.cancels.get() + 1);
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn get_error(this: *mut c_void, out: *mut NTSTATUS) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL_AT>(this) };
    object.status.set(object.ends.take().map_or_else(|| object.status.get(), RawAsyncStatus::from));
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(object.error.get()) };
    NTSTATUS::SUCCESS
}

unsafe extern "system" fn set_completed(
    this: *mut c_void,
    handler: Option<CompletedHandler>,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL_AT>(this) };
    object.handler.set(handler.map(|handler| (handler, context)));
    object.accepts.get()
}

unsafe extern "system" fn wait(this: *mut c_void, timeout: *const i64) -> NTSTATUS {
    // SAFETY: a slot's contract.
    let object = unsafe { object::<CONTROL_AT>(this) };
    assert!(timeout.is_null() || timeout.is_aligned());
    object.wait.get()
}
