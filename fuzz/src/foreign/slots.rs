//! The slots of the other side's operations. They give the input's answers, or the truth.

use core::{
    ffi::c_void,
    ptr::{null_mut, without_provenance_mut},
};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, GUID, IUnknownRaw,
    IUnknownVtbl, Interface as _, NTSTATUS, RawAsyncStatus, async_com::CompletedHandler,
};

use super::{
    hostile::{self, Anything, Hostile},
    input::{Answer, CODES, SIZES, STATUSES, Slot},
    kind::ForeignKind,
    reply::{Gift, Reply},
    world::{self, ForeignWorld, Given},
};

/// The operation's table with all its slots.
pub(super) const OPERATION: AsyncOperationVtbl<Anything> =
    AsyncOperationVtbl { base: unknown::<0>(), get_status: Some(get_status), get_result: Some(get_result) };

/// The control's table with all its slots.
pub(super) const CONTROL: AsyncControlVtbl = AsyncControlVtbl {
    base: unknown::<{ hostile::CONTROL }>(),
    cancel: Some(cancel),
    get_error: Some(get_error),
    set_completed: Some(set_completed),
    wait: Some(wait),
    get_result_size: Some(get_result_size),
};

const fn unknown<const AT: usize>() -> IUnknownVtbl {
    IUnknownVtbl {
        QueryInterface: Some(query::<AT>),
        AddRef: Some(add_ref::<AT>),
        Release: Some(release::<AT>),
    }
}

/// # Safety
/// `this` is the interface at `AT` of an object. Objects stay until the run is over.
unsafe fn object<'a, const AT: usize>(this: *mut c_void) -> &'a Hostile {
    // SAFETY: the caller passes the interface at `AT`, so the object starts `AT` bytes before it.
    let start = unsafe { this.byte_sub(AT) };
    // SAFETY: `start` is the start of a `Hostile`, which stays until the run is over.
    unsafe { &*start.cast::<Hostile>() }
}

unsafe extern "system" fn query<const AT: usize>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<AT>(this) };
    // SAFETY: a client's `iid` is readable.
    let iid = unsafe { iid.read() };
    // SAFETY: the interface is `AT` bytes behind the object's start.
    let start = unsafe { this.byte_sub(AT) };
    let right = match iid {
        // SAFETY: `CONTROL` is an offset inside the object.
        AsyncControlRaw::IID => unsafe { start.byte_add(hostile::CONTROL) },
        // All types of operations have one IID.
        IUnknownRaw::IID | AsyncOperationRaw::<Anything>::IID => start,
        _ => null_mut(),
    };
    let honest = if right.is_null() { NTSTATUS::NOINTERFACE } else { NTSTATUS::SUCCESS };
    let (code, found) = match object.next_answer(Slot::Query) {
        None => (honest, right),
        Some((code, Answer { silent: true, .. })) => (code, null_mut()),
        Some((NTSTATUS::SUCCESS, answer)) => {
            (NTSTATUS::SUCCESS, if answer.value == 0 { null_mut() } else { right })
        }
        // With any other status the client must not use the pointer, so it may be invalid.
        Some((code, answer)) => (code, without_provenance_mut(usize::from(answer.value))),
    };
    let gives = code == NTSTATUS::SUCCESS && !found.is_null();
    if gives {
        object.references.set(object.references.get() + 1);
    }
    world::with(|world| world.record(Reply::Query(code, gives)));
    // SAFETY: a client's `out` is writable.
    unsafe { out.write(found) };
    code
}

unsafe extern "system" fn add_ref<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<AT>(this) };
    let references = object.references.get();
    if references == 0 {
        ntsim::fail(
            "C3",
            format!("AddRef of object {} after its last reference was released", object.number),
        );
    }
    object.references.set(references + 1);
    references + 1
}

unsafe extern "system" fn release<const AT: usize>(this: *mut c_void) -> u32 {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<AT>(this) };
    let Some(left) = object.references.get().checked_sub(1) else {
        ntsim::fail(
            "C3",
            format!("Release of object {} after its last reference was released", object.number),
        );
    };
    object.references.set(left);
    left
}

unsafe extern "system" fn get_status(this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<0>(this) };
    let (code, status) = match object.next_answer(Slot::Status) {
        None => (NTSTATUS::SUCCESS, Some(object.state.get())),
        Some((code, answer)) => (code, (!answer.silent).then(|| STATUSES[usize::from(answer.value)])),
    };
    if let Some(status) = status {
        // SAFETY: a client's `out` is writable.
        unsafe { out.write(RawAsyncStatus(status)) };
    }
    world::with(|world| world.record(Reply::Status(code, status)));
    code
}

unsafe extern "system" fn get_result(this: *mut c_void, out: *mut Anything) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<0>(this) };
    if object.kind == ForeignKind::Interface {
        // SAFETY: the values of this operation are pointers, so `out` is a pointer to one.
        return unsafe { get_interface(object, out.cast()) };
    }
    let (code, value) = match object.next_answer(Slot::Result) {
        None if object.state.get() == 1 => (NTSTATUS::SUCCESS, Some(object.value(0))),
        None => (object.stored(), Some(0)),
        Some((code, answer)) => (code, (!answer.silent).then(|| object.value(answer.value))),
    };
    if let Some(value) = value {
        let bytes = value.to_le_bytes();
        // SAFETY: a client's `out` has room for a value, which is not larger than `bytes`.
        unsafe { out.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), object.kind.size()) };
    }
    world::with(|world| world.record(Reply::Result(code, value, Gift::None)));
    code
}

/// get_result for values that are interfaces. A reference goes with each.
///
/// # Safety
/// `out` is a client's `out`, which is writable.
unsafe fn get_interface(object: &Hostile, out: *mut *mut c_void) -> NTSTATUS {
    let thing = &object.thing;
    let (code, pointer) = match object.next_answer(Slot::Result) {
        None if object.state.get() == 1 => (NTSTATUS::SUCCESS, Some(thing.give())),
        None => (object.stored(), Some(null_mut())),
        Some((code, Answer { silent: true, .. })) => (code, None),
        Some((NTSTATUS::SUCCESS, answer)) => {
            (NTSTATUS::SUCCESS, Some(if answer.value == 0 { null_mut() } else { thing.give() }))
        }
        // With any other status the client must not use the pointer, so it may be invalid.
        Some((code, answer)) => (code, Some(without_provenance_mut(usize::from(answer.value)))),
    };
    if let Some(pointer) = pointer {
        // SAFETY: the caller passes a writable `out`.
        unsafe { out.write(pointer) };
    }
    let gift = match pointer {
        Some(pointer) if pointer == thing.this() && thing.is_whole() => Gift::Whole,
        Some(pointer) if pointer == thing.this() => Gift::Broken,
        _ => Gift::None,
    };
    world::with(|world| {
        if gift != Gift::None && object.is_uncounted(world.alone.get()) {
            thing.may_be_lost();
        }
        world.record(Reply::Result(code, pointer.map(|pointer| pointer.addr() as u128), gift));
    });
    code
}

unsafe extern "system" fn cancel(this: *mut c_void) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<{ hostile::CONTROL }>(this) };
    let code = object.next_answer(Slot::Cancel).map_or(NTSTATUS::SUCCESS, |(code, _)| code);
    world::with(|world| world.record(Reply::Cancel(code)));
    code
}

unsafe extern "system" fn get_error(this: *mut c_void, out: *mut NTSTATUS) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<{ hostile::CONTROL }>(this) };
    let (code, error) = match object.next_answer(Slot::Error) {
        None => (NTSTATUS::SUCCESS, Some(object.stored())),
        Some((code, answer)) => {
            let error = CODES[usize::from((answer.value * 2) | (answer.code & 1))];
            (code, (!answer.silent).then_some(error))
        }
    };
    if let Some(error) = error {
        // SAFETY: a client's `out` is writable.
        unsafe { out.write(error) };
    }
    world::with(|world| world.record(Reply::Error(code, error)));
    code
}

unsafe extern "system" fn set_completed(
    this: *mut c_void,
    handler: Option<CompletedHandler>,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<{ hostile::CONTROL }>(this) };
    let Some(handler) = handler else { ntsim::fail("C14", "the client sets no handler".into()) };
    let given = Given { object: object.number, handler, context: context.addr() };
    let ended = object.state.get() != 0;
    let (code, calls) = match object.next_answer(Slot::SetCompleted) {
        None if object.accepted.replace(true) => (NTSTATUS::INVALID_DEVICE_STATE, 0),
        None => (NTSTATUS::SUCCESS, usize::from(ended)),
        Some((code, answer)) => (code, usize::from(answer.value & 3).min(2)),
    };
    world::with(|world| {
        world.given.borrow_mut().push(given);
        if ntsim::current_processor() == 0 && ntsim::irql() == 0 {
            world.registered.set(Some(given.context));
        }
        for _ in 0..calls {
            call_back(world, given, object.state.get());
        }
        world.record(Reply::SetCompleted(code));
    });
    code
}

/// Calls a handler from the other side.
pub(crate) fn call_back(world: &ForeignWorld, given: Given, status: i32) {
    world.called.borrow_mut().push(given.context);
    // SAFETY: the handler is the client's, which accepts any context and status. A ticket is a
    // number.
    unsafe { (given.handler)(without_provenance_mut(given.context), RawAsyncStatus(status)) };
}

unsafe extern "system" fn wait(this: *mut c_void, timeout: *const i64) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<{ hostile::CONTROL }>(this) };
    // SAFETY: a client's `timeout` is null or readable.
    let limit = unsafe { timeout.as_ref() }.copied();
    let honest = if object.state.get() == 0 { NTSTATUS::TIMEOUT } else { NTSTATUS::SUCCESS };
    let code = object.next_answer(Slot::Wait).map_or(honest, |(code, _)| code);
    world::with(|world| world.record(Reply::Wait(code, limit)));
    code
}

unsafe extern "system" fn get_result_size(this: *mut c_void, size: *mut u32) -> NTSTATUS {
    // SAFETY: a client calls a slot with its own interface.
    let object = unsafe { object::<{ hostile::CONTROL }>(this) };
    let (code, value) = match object.next_answer(Slot::Size) {
        None => (NTSTATUS::SUCCESS, Some(object.kind.size() as u32)),
        Some((code, answer)) => (code, (!answer.silent).then(|| SIZES[usize::from(answer.value)])),
    };
    if let Some(value) = value {
        // SAFETY: a client's `size` is writable.
        unsafe { size.write(value) };
    }
    world::with(|world| world.record(Reply::Size(code, value)));
    code
}
