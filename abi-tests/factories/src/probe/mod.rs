//! A declared interface with arguments and answers of every width and sign, and an async method.
//!
//! There are more arguments than go into registers. C and C++ call an object in Rust, and the calls
//! that the macro makes reach objects in C and in C++. Each value identifies its argument or
//! answer.
//!
//! Only numbers and pointers cross by value. No interface of ours has anything else (`AbiValue`).

mod interface;
mod values;

use ntcom::{AsyncOperationRaw, ComObject, ComRc, NTSTATUS};

pub use self::interface::IProbeVtbl;
use self::interface::{ALL, IProbeRaw, Recording};
pub use self::values::{Place, Probe, Probes, Values};

/// The result of the operation that the client is given.
const LATER: i64 = 0x4847_4645_4443_4241;

/// Checks that a value is as expected.
fn same<T: PartialEq + core::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:x?}, not {expected:x?}")) }
}

/// Checks that an object did not refuse a call.
fn good<T>(what: &str, answer: Result<T, NTSTATUS>) -> Result<T, String> {
    answer.map_err(|why| format!("{what}: {why:?}"))
}

/// Makes a client call every slot of an object of ours, once.
///
/// # Errors
/// The arguments or answers that arrived differ from those that were sent.
///
/// # Safety
/// The call is within a simulated kernel. `probes` does what `c/probe.h` declares.
pub unsafe fn called_by(probes: Probes) -> Result<(), String> {
    let arguments = Values::canary(0x10);
    let answers = Values::canary(0x80);
    let recording: &'static Recording = Box::leak(Box::new(Recording::new(answers)));
    let object = good("no object", ComObject::<_, IProbeRaw>::new(recording))?;
    let mut found = Values::NONE;
    // SAFETY: `object` has the interface that `probes` calls. The pointers are valid for the call.
    let raw = unsafe { probes(object.as_ptr().cast(), &raw const arguments, &raw mut found) };
    // SAFETY: `raw` is the operation that an async method returned, with its reference.
    let operation = unsafe { ComRc::<AsyncOperationRaw<i64>>::from_raw(raw.cast()) };
    let arrived = recording.arrived();
    // No slot has `i32[1]` as an argument.
    let mut sent = arguments;
    sent.i32[1] = 0;
    same("slots that were called", arrived.slots, ALL)?;
    same("slots with other arguments than those before", arrived.wrong, 0)?;
    same("arguments that arrived", arrived.values, sent)?;
    let operation = good("what `later` returned", operation)?;
    same("the operation's result", operation.result(), Ok(answers.i64[0]))?;
    let expected = Values {
        u8: [answers.u8[0], 0],
        i8: [answers.i8[0], 0],
        u16: [answers.u16[0], 0],
        i32: [answers.i32[0], 0],
        u64: answers.u64,
        f64: [answers.f64[0], 0.0],
        pointers: [answers.pointers[0], core::ptr::null_mut()],
        ..Values::NONE
    };
    same("answers that came back", found, expected)
}

/// Calls every slot of an object of a client, once.
///
/// # Errors
/// The arguments or answers that arrived differ from those that were sent.
///
/// # Safety
/// The call is within a simulated kernel. `probe` does what `c/probe.h` declares.
pub unsafe fn calls(probe: Probe) -> Result<(), String> {
    let a = Values::canary(0x10);
    let answers = Values::canary(0x80);
    let operation = ntcom::spawn_async_operation_raw(async { LATER });
    let mut place = Place::new(&a, &answers, operation.cast());
    // SAFETY: `place` outlives the object, which does not count references.
    let raw = unsafe { probe(&raw mut place) };
    // SAFETY: `raw` is an object with that interface.
    let object = good("the client's object", unsafe { ComRc::<IProbeRaw>::from_raw(raw.cast()) })?;
    same("unsigned_bytes", object.unsigned_bytes(a.u8[0], a.u8[1]), Ok(answers.u8[0]))?;
    same("signed_bytes", object.signed_bytes(a.i8[0], a.i8[1]), Ok(answers.i8[0]))?;
    same("halves", object.halves(a.u16[0], a.i16[0]), Ok(answers.u16[0]))?;
    same("words", object.words(a.u32[0], a.i32[0]), Ok(answers.i32[0]))?;
    same("longs", object.longs(a.u64[0], a.i64[0]), Ok(answers.u64[0]))?;
    same("pointers", object.pointers(a.pointers[0], a.pointers[1]), Ok(answers.pointers[0]))?;
    same("floats", object.floats(a.f32[0], a.f64[0]), Ok(answers.f64[0]))?;
    let many = object.many(
        a.u8[1],
        a.u64[1],
        a.i16[1],
        a.f64[1],
        a.u32[1],
        a.pointers[1],
        a.i8[1],
        a.f32[1],
        a.i64[1],
        a.u16[1],
    );
    same("many", many, Ok(answers.u64[1]))?;
    same("nothing", object.nothing(), Ok(()))?;
    let later = good("later", object.later(a.u16[1], a.i64[1]))?;
    same("later's result", later.result(), Ok(LATER))?;
    drop((object, later));
    same("slots with right arguments, and slots with wrong ones", (place.good, place.bad), (ALL, 0))
}
