//! Cases of C17, in which the library's own client uses objects that break the contract. The kit
//! makes the objects.

use core::{cell::Cell, ffi::c_void, ptr};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus,
};
use ntcom_fuzz_model::value::ValueKind;

use crate::{
    body::kind_number,
    case::{Case, case},
    check,
    finding::Check,
    kit::Kit,
    need::Need,
    rule::Rule,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C17, "a_good_operation_is_believed", good).needs(&[Need::Client]),
    case(Rule::C17, "null_is_no_operation", null).needs(&[Need::Client]),
    case(Rule::C17, "no_table_and_null_slots", null_slots).needs(&[Need::Client]),
    case(Rule::C17, "unexpected_success_codes_are_errors", success_codes).needs(&[Need::Client]),
    case(Rule::C17, "failures_reach_the_caller", failures).needs(&[Need::Client]),
    case(Rule::C17, "contradictions_are_errors", contradictions).needs(&[Need::Client]),
    case(Rule::C17, "unknown_statuses_are_errors", statuses).needs(&[Need::ClientStatus]),
    case(Rule::C17, "a_status_that_was_not_written_is_none", unwritten).needs(&[Need::ClientStatus]),
    case(Rule::C17, "queries_are_distrusted", queries).needs(&[Need::ClientQuery]),
    case(Rule::C17, "another_size_is_no_operation_of_the_type", sizes).needs(&[Need::ClientQuery]),
];

const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;
/// The status that other implementations of COM answer for an interface that they do not have.
const E_NOINTERFACE: u32 = 0x8000_4002;

/// An operation that answers as its script says. Its second interface is behind the first.
#[repr(C)]
struct Foreign {
    operation: *const AsyncOperationVtbl<u64>,
    control: *const AsyncControlVtbl,
    script: Script,
    references: Cell<u32>,
}

#[derive(Clone, Copy)]
struct Script {
    /// The answer of get_status, and the status that it writes. `None` writes nothing.
    status: (u32, Option<i32>),
    /// The answer of get_result, and the value that it writes.
    result: (u32, u64),
    /// The answer of QueryInterface, and whether it gives a pointer.
    query: (u32, bool),
    /// The answer of get_result_size, and the size that it writes.
    size: (u32, u32),
}

const GOOD: Script =
    Script { status: (0, Some(1)), result: (0, 0x0807_0605_0403_0201), query: (0, true), size: (0, 8) };

/// The operation of one of its interfaces.
///
/// # Safety
/// `this` is its first interface, or its second one if `control` is true.
unsafe fn foreign<'a>(this: *mut c_void, control: bool) -> &'a Foreign {
    let this = if control { this.wrapping_byte_sub(core::mem::offset_of!(Foreign, control)) } else { this };
    // SAFETY: the caller passes the interface that `control` says, so `this` is the operation's
    // start.
    unsafe { &*this.cast::<Foreign>() }
}

fn answer_query(this: &Foreign, iid: *const GUID, out: *mut *mut c_void) -> NTSTATUS {
    let (status, gives) = this.script.query;
    // SAFETY: a client passes a readable `iid`.
    let iid = unsafe { iid.read_unaligned() };
    let own = ptr::from_ref(this).cast_mut();
    let found = match iid {
        _ if !gives => ptr::null_mut(),
        IUnknownRaw::IID => own.cast(),
        iid if iid == AsyncOperationRaw::<u64>::IID => own.cast(),
        iid if iid == AsyncControlRaw::IID => {
            own.wrapping_byte_add(core::mem::offset_of!(Foreign, control)).cast::<c_void>()
        }
        _ => ptr::null_mut(),
    };
    if status == 0 && !found.is_null() {
        this.references.set(this.references.get() + 1);
    }
    // SAFETY: a client passes a writable `out`.
    unsafe { out.write_unaligned(found) };
    NTSTATUS::from_u32(if status == 0 && gives && found.is_null() { E_NOINTERFACE } else { status })
}

macro_rules! slots {
    ($query:ident, $add_ref:ident, $release:ident, $control:literal) => {
        unsafe extern "system" fn $query(
            this: *mut c_void,
            iid: *const GUID,
            out: *mut *mut c_void,
        ) -> NTSTATUS {
            // SAFETY: this slot is in this interface's table, so `this` is that interface.
            answer_query(unsafe { foreign(this, $control) }, iid, out)
        }
        unsafe extern "system" fn $add_ref(this: *mut c_void) -> u32 {
            // SAFETY: this slot is in this interface's table, so `this` is that interface.
            let references = &unsafe { foreign(this, $control) }.references;
            references.set(references.get() + 1);
            references.get()
        }
        unsafe extern "system" fn $release(this: *mut c_void) -> u32 {
            // SAFETY: this slot is in this interface's table, so `this` is that interface.
            let references = &unsafe { foreign(this, $control) }.references;
            references.set(references.get().wrapping_sub(1));
            references.get()
        }
    };
}

slots!(query_0, add_ref_0, release_0, false);
slots!(query_1, add_ref_1, release_1, true);

unsafe extern "system" fn get_status(this: *mut c_void, out: *mut RawAsyncStatus) -> NTSTATUS {
    // SAFETY: this slot is in the first interface's table.
    let (answer, written) = unsafe { foreign(this, false) }.script.status;
    if let Some(status) = written {
        // SAFETY: a client passes a writable `out`.
        unsafe { out.write_unaligned(RawAsyncStatus(status)) };
    }
    NTSTATUS::from_u32(answer)
}

unsafe extern "system" fn get_result(this: *mut c_void, out: *mut u64) -> NTSTATUS {
    // SAFETY: this slot is in the first interface's table.
    let (answer, value) = unsafe { foreign(this, false) }.script.result;
    // SAFETY: a client passes a writable `out`.
    unsafe { out.write_unaligned(value) };
    NTSTATUS::from_u32(answer)
}

unsafe extern "system" fn get_result_size(this: *mut c_void, out: *mut u32) -> NTSTATUS {
    // SAFETY: this slot is in the second interface's table.
    let (answer, size) = unsafe { foreign(this, true) }.script.size;
    // SAFETY: a client passes a writable `out`.
    unsafe { out.write_unaligned(size) };
    NTSTATUS::from_u32(answer)
}

const UNKNOWN: IUnknownVtbl =
    IUnknownVtbl { QueryInterface: Some(query_0), AddRef: Some(add_ref_0), Release: Some(release_0) };
const OPERATION: AsyncOperationVtbl<u64> =
    AsyncOperationVtbl { base: UNKNOWN, get_status: Some(get_status), get_result: Some(get_result) };
static WHOLE: AsyncOperationVtbl<u64> = OPERATION;
static CONTROL: AsyncControlVtbl = AsyncControlVtbl {
    base: IUnknownVtbl { QueryInterface: Some(query_1), AddRef: Some(add_ref_1), Release: Some(release_1) },
    cancel: None,
    get_error: None,
    set_completed: None,
    wait: None,
    get_result_size: Some(get_result_size),
};

fn operation(script: Script) -> Foreign {
    Foreign { operation: &raw const WHOLE, control: &raw const CONTROL, script, references: Cell::new(1) }
}

/// The client's result of an operation, as the status and the value.
fn result(kit: &Kit<'_>, this: *mut c_void) -> (NTSTATUS, u64) {
    let mut value = 0_u64;
    let Some(result) = kit.table().client_result else { return (BROKEN, 0) };
    kit.0.trail.add("client_result".to_owned());
    // SAFETY: the header lets the kit pass any object. There is room for the kind's value.
    let status = NTSTATUS(unsafe { result(this, kind_number(ValueKind::U64), (&raw mut value).cast()) });
    (status, value)
}

fn is_given_back(kit: &Kit<'_>, foreign: &Foreign) -> Check {
    let left = foreign.references.get();
    check!(
        kit,
        C17,
        left == 1,
        "the client leaves {left} references of an operation that its caller has one of"
    );
    Ok(())
}

fn expect(kit: &Kit<'_>, script: Script, expected: NTSTATUS, what: &str) -> Check {
    let foreign = operation(script);
    let (status, value) = result(kit, ptr::from_ref(&foreign).cast_mut().cast());
    check!(kit, C17, status == expected, "{what} becomes {status}, and should become {expected}");
    check!(kit, C17, status == NTSTATUS::SUCCESS || value == 0, "{what} yields a value with {status}");
    is_given_back(kit, &foreign)
}

fn good(kit: &Kit<'_>) -> Check {
    let foreign = operation(GOOD);
    let (status, value) = result(kit, ptr::from_ref(&foreign).cast_mut().cast());
    check!(kit, C17, status == NTSTATUS::SUCCESS, "a good operation's value becomes {status}");
    check!(kit, C17, value == GOOD.result.1, "a good operation's value becomes {value:#x}");
    is_given_back(kit, &foreign)
}

fn null(kit: &Kit<'_>) -> Check {
    let (status, _) = result(kit, ptr::null_mut());
    check!(kit, C17, status == BROKEN, "a null pointer becomes {status}, and should become {BROKEN}");
    Ok(())
}

fn null_slots(kit: &Kit<'_>) -> Check {
    static NO_RESULT: AsyncOperationVtbl<u64> = AsyncOperationVtbl { get_result: None, ..OPERATION };
    static NO_COUNT: AsyncOperationVtbl<u64> = AsyncOperationVtbl {
        base: IUnknownVtbl { QueryInterface: None, AddRef: None, Release: None },
        ..OPERATION
    };
    for (table, what) in [
        (ptr::null(), "an operation without a table"),
        (&raw const NO_RESULT, "an operation without get_result"),
        (&raw const NO_COUNT, "an operation without the slots of IUnknown"),
    ] {
        let foreign = Foreign { operation: table, ..operation(GOOD) };
        let (status, _) = result(kit, ptr::from_ref(&foreign).cast_mut().cast());
        check!(kit, C17, status == BROKEN, "{what} becomes {status}, and should become {BROKEN}");
    }
    Ok(())
}

fn success_codes(kit: &Kit<'_>) -> Check {
    for code in [0x102, 0x104, 1, 0x4000_0000] {
        let what = format!("a get_result that answers {code:#x}");
        expect(kit, Script { result: (code, 7), ..GOOD }, BROKEN, &what)?;
    }
    let pending = NTSTATUS::PENDING;
    let script = Script { status: (0, Some(0)), result: (pending.to_u32(), 7), ..GOOD };
    expect(kit, script, pending, "a get_result that answers STATUS_PENDING while Started")
}

fn failures(kit: &Kit<'_>) -> Check {
    for (status, code) in [(3, 0xC000_009D), (2, 0xC000_0120), (3, 0x8000_0005)] {
        let script = Script { status: (0, Some(status)), result: (code, 7), ..GOOD };
        expect(kit, script, NTSTATUS::from_u32(code), "a get_result that fails")?;
    }
    Ok(())
}

fn contradictions(kit: &Kit<'_>) -> Check {
    for (status, code) in [(1, 0xC000_009D), (1, 0x103), (2, 0), (3, 0), (3, 0x103)] {
        let what = format!("status {status} with a get_result that answers {code:#x}");
        expect(kit, Script { status: (0, Some(status)), result: (code, 7), ..GOOD }, BROKEN, &what)?;
    }
    Ok(())
}

/// The client's status of an operation with this script.
fn status_of(kit: &Kit<'_>, script: Script) -> (NTSTATUS, i32) {
    let foreign = operation(script);
    let Some(status) = kit.table().client_status else { return (BROKEN, 0) };
    let mut out = -1;
    kit.0.trail.add("client_status".to_owned());
    let this = ptr::from_ref(&foreign).cast_mut().cast();
    // SAFETY: the header lets the kit pass any object. There is room for a status.
    let answer = NTSTATUS(unsafe { status(this, kind_number(ValueKind::U64), &raw mut out) });
    (answer, out)
}

fn statuses(kit: &Kit<'_>) -> Check {
    for known in 0..4 {
        let found = status_of(kit, Script { status: (0, Some(known)), ..GOOD });
        check!(kit, C17, found == (NTSTATUS::SUCCESS, known), "the status {known} becomes {found:?}");
    }
    for unknown in [-1, 4, 0x103, i32::MIN, i32::MAX] {
        let (answer, _) = status_of(kit, Script { status: (0, Some(unknown)), ..GOOD });
        check!(
            kit,
            C17,
            answer == BROKEN,
            "the status {unknown} becomes {answer}, and should become {BROKEN}"
        );
    }
    for code in [0x103, 1] {
        let (answer, _) = status_of(kit, Script { status: (code, Some(1)), ..GOOD });
        check!(kit, C17, answer == BROKEN, "a get_status that answers {code:#x} becomes {answer}");
    }
    Ok(())
}

/// The client's own variable may have held a status before, which the kit cannot tell. But the
/// result must never be an unknown status.
fn unwritten(kit: &Kit<'_>) -> Check {
    let (answer, out) = status_of(kit, Script { status: (0, None), ..GOOD });
    check!(
        kit,
        C17,
        answer == BROKEN || (answer == NTSTATUS::SUCCESS && (0..4).contains(&out)),
        "a get_status that writes nothing becomes {answer}, status {out}, and should become {BROKEN}"
    );
    Ok(())
}

/// The client's answer to a query for an operation of a `u64`.
fn queried(kit: &Kit<'_>, script: Script) -> Result<NTSTATUS, crate::finding::Finding> {
    let foreign = operation(script);
    let Some(query) = kit.table().client_query else { return Ok(BROKEN) };
    kit.0.trail.add("client_query".to_owned());
    // SAFETY: the header lets the kit pass any object.
    let answer =
        NTSTATUS(unsafe { query(ptr::from_ref(&foreign).cast_mut().cast(), kind_number(ValueKind::U64)) });
    is_given_back(kit, &foreign)?;
    Ok(answer)
}

fn queries(kit: &Kit<'_>) -> Check {
    for (query, expected) in [
        ((0, true), NTSTATUS::SUCCESS),
        ((0, false), BROKEN),
        ((1, true), BROKEN),
        ((NTSTATUS::NOINTERFACE.to_u32(), false), NTSTATUS::NOINTERFACE),
        ((E_NOINTERFACE, false), NTSTATUS::NOINTERFACE),
    ] {
        let answer = queried(kit, Script { query, ..GOOD })?;
        check!(
            kit,
            C17,
            answer == expected,
            "a QueryInterface that answers {:#x}, pointer: {}, becomes {answer}, and should become {expected}",
            query.0,
            query.1
        );
    }
    Ok(())
}

fn sizes(kit: &Kit<'_>) -> Check {
    let answer = queried(kit, Script { size: (0, 4), ..GOOD })?;
    check!(
        kit,
        C17,
        answer == NTSTATUS::NOINTERFACE,
        "an operation of 4 bytes is taken for one of 8: {answer}, and should be {}",
        NTSTATUS::NOINTERFACE
    );
    Ok(())
}
