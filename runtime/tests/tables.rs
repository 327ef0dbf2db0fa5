//! Tests of the macro's tables against handwritten ones. Each side calls the other's objects, with
//! random arguments of every width.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]
#![allow(clippy::too_many_arguments, reason = "more than registers, and of every width")]

mod common;

use core::{cell::RefCell, ffi::c_void};

use common::in_kernel;
use ntcom::{
    ComObject, ComRc, GUID, IUnknown, IUnknownRaw, IUnknownVtbl, Interface as _, NTSTATUS,
    declare_com_interface,
};
use proptest::{
    prelude::{any, prop_assert_eq},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

declare_com_interface! {
    trait IFew: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7f01";
        fn few(&self, a: i8, b: u16) -> i32;
        fn nothing(&self);
    }
}
declare_com_interface! {
    trait IMany: IFew {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7f02";
        fn many(&self, a: u8, b: i16, c: u32, d: i64, e: f32, f: f64, g: *const c_void, h: u64, i: i8) -> u64;
        fn status(&self, a: u16, b: i32) -> Result<u64, NTSTATUS>;
    }
}

/// The tables as a driver author writes them from a header.
mod by_hand {
    use super::{IUnknownVtbl, NTSTATUS, c_void};

    type Many =
        unsafe extern "system" fn(*mut c_void, u8, i16, u32, i64, f32, f64, *const c_void, u64, i8) -> u64;

    #[repr(C)]
    pub(super) struct Table {
        pub(super) unknown: IUnknownVtbl,
        pub(super) few: unsafe extern "system" fn(*mut c_void, i8, u16) -> i32,
        pub(super) nothing: unsafe extern "system" fn(*mut c_void),
        pub(super) many: Many,
        pub(super) status: unsafe extern "system" fn(*mut c_void, u16, i32, *mut u64) -> NTSTATUS,
    }
}

/// The arguments of one call of each method.
#[derive(Clone, Copy, Debug)]
struct Arguments {
    a: u8,
    b: i16,
    c: u32,
    d: i64,
    e: f32,
    f: f64,
    g: usize,
    h: u64,
    i: i8,
}

/// The answer of both sides, which depends on every bit of every argument, and on the object's
/// number.
fn few(number: u64, a: i8, b: u16) -> i32 {
    (number as i32).wrapping_mul(31).wrapping_add(i32::from(a)).wrapping_mul(257).wrapping_add(b.into())
}

fn many(number: u64, arguments: Arguments) -> u64 {
    let Arguments { a, b, c, d, e, f, g, h, i } = arguments;
    let parts = [
        number,
        a.into(),
        b as u64,
        c.into(),
        d.cast_unsigned(),
        e.to_bits().into(),
        f.to_bits(),
        g as u64,
        h,
        i as u64,
    ];
    parts.iter().fold(0, |hash: u64, part| (hash ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17))
}

fn status(number: u64, a: u16, b: i32) -> Result<u64, NTSTATUS> {
    if b < 0 { Err(NTSTATUS(b)) } else { Ok(number ^ u64::from(a) << 32 ^ b as u64) }
}

/// An object made by the macro.
struct Ours(u64);

impl IFew for Ours {
    fn few(&self, a: i8, b: u16) -> i32 {
        few(self.0, a, b)
    }
    fn nothing(&self) {}
}

impl IMany for Ours {
    fn many(&self, a: u8, b: i16, c: u32, d: i64, e: f32, f: f64, g: *const c_void, h: u64, i: i8) -> u64 {
        many(self.0, Arguments { a, b, c, d, e, f, g: g.addr(), h, i })
    }
    fn status(&self, a: u16, b: i32) -> Result<u64, NTSTATUS> {
        status(self.0, a, b)
    }
}

/// A handwritten object, which counts no references.
#[repr(C)]
struct Theirs {
    table: *const by_hand::Table,
    number: u64,
}

mod slots {
    use super::{Arguments, GUID, NTSTATUS, Theirs, c_void};

    fn number(this: *mut c_void) -> u64 {
        // SAFETY: the test passes a live `Theirs`.
        unsafe { &*this.cast::<Theirs>() }.number
    }
    pub(super) unsafe extern "system" fn query(
        _: *mut c_void,
        _: *const GUID,
        out: *mut *mut c_void,
    ) -> NTSTATUS {
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write(core::ptr::null_mut()) };
        NTSTATUS::NOINTERFACE
    }
    pub(super) unsafe extern "system" fn one(_: *mut c_void) -> u32 {
        1
    }
    pub(super) unsafe extern "system" fn few(this: *mut c_void, a: i8, b: u16) -> i32 {
        super::few(number(this), a, b)
    }
    pub(super) unsafe extern "system" fn nothing(_: *mut c_void) {}
    pub(super) unsafe extern "system" fn many(
        this: *mut c_void,
        a: u8,
        b: i16,
        c: u32,
        d: i64,
        e: f32,
        f: f64,
        g: *const c_void,
        h: u64,
        i: i8,
    ) -> u64 {
        super::many(number(this), Arguments { a, b, c, d, e, f, g: g.addr(), h, i })
    }
    pub(super) unsafe extern "system" fn status(
        this: *mut c_void,
        a: u16,
        b: i32,
        out: *mut u64,
    ) -> NTSTATUS {
        match super::status(number(this), a, b) {
            Ok(value) => {
                // SAFETY: clients pass a writable `out`.
                unsafe { out.write(value) };
                NTSTATUS::SUCCESS
            }
            Err(status) => status,
        }
    }
}

/// Calls every method of an object through a handwritten table, and through the macro's client, and
/// compares the answers.
fn call_both_ways(this: *mut c_void, number: u64, arguments: Arguments) {
    let Arguments { a, b, c, d, e, f, g, h, i } = arguments;
    let pointer = core::ptr::without_provenance(g);
    // SAFETY: the test passes a live object of this interface, and `into_raw` below keeps the
    // reference.
    let client = unsafe { ComRc::<IManyRaw>::from_raw(this.cast()) }.unwrap();
    // SAFETY: the live object begins with its table's pointer.
    let table = unsafe { this.cast::<*const by_hand::Table>().read() };
    // SAFETY: the table of the live object is valid.
    let table = unsafe { &*table };
    // SAFETY: the slot is from the table of the live object.
    let by_hand = unsafe { (table.few)(this, i, a.into()) };
    assert_eq!([client.few(i, a.into()), Ok(by_hand)], [Ok(few(number, i, a.into())); 2]);
    // SAFETY: the slot is from the table of the live object.
    unsafe { (table.nothing)(this) };
    assert_eq!(client.nothing(), Ok(()));
    // SAFETY: the slot is from the table of the live object.
    let by_hand = unsafe { (table.many)(this, a, b, c, d, e, f, pointer, h, i) };
    let by_macro = client.many(a, b, c, d, e, f, pointer, h, i);
    assert_eq!([by_macro, Ok(by_hand)], [Ok(many(number, arguments)); 2]);
    let mut out = 0;
    let low = (c >> 1).cast_signed() | if a > 127 { i32::MIN } else { 0 };
    // SAFETY: the slot is from the table of the live object, and `out` is writable.
    let answered = unsafe { (table.status)(this, a.into(), low, &raw mut out) };
    let expected = status(number, a.into(), low);
    assert_eq!(client.status(a.into(), low), expected);
    assert_eq!(
        (answered, out),
        expected.map_or_else(|status| (status, 0), |value| (NTSTATUS::SUCCESS, value))
    );
    let _ = client.into_raw();
}

#[test]
fn each_side_calls_the_others_objects() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let runner = RefCell::new(TestRunner::new_with_rng(
        Config { failure_persistence: None, ..Config::default() },
        rng,
    ));
    let arguments = (any::<[u8; 64]>(), any::<f32>(), any::<f64>(), any::<u64>());
    runner
        .borrow_mut()
        .run(&arguments, |(bytes, e, f, number)| {
            let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap());
            let arguments = Arguments {
                a: bytes[0],
                b: word(1) as i16,
                c: word(3) as u32,
                d: word(7).cast_signed(),
                e,
                f,
                g: word(15) as usize,
                h: word(23),
                i: bytes[31].cast_signed(),
            };
            let unknown = IUnknownVtbl {
                QueryInterface: Some(slots::query),
                AddRef: Some(slots::one),
                Release: Some(slots::one),
            };
            let table = by_hand::Table {
                unknown,
                few: slots::few,
                nothing: slots::nothing,
                many: slots::many,
                status: slots::status,
            };
            let mut theirs = Theirs { table: &raw const table, number };
            call_both_ways((&raw mut theirs).cast(), number, arguments);
            in_kernel(move || {
                // The interface is called as the primary one, and as the second of two.
                let first = ComObject::<_, IManyRaw>::new(Ours(number)).unwrap();
                call_both_ways(first.as_ptr().cast(), number, arguments);
                let second = ComObject::<_, (IUnknownRaw, IManyRaw)>::new(Ours(number)).unwrap();
                let second: ComRc<IManyRaw> = second.query().unwrap();
                call_both_ways(second.as_ptr().cast(), number, arguments);
            });
            prop_assert_eq!(IManyRaw::IID, GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7f02));
            Ok(())
        })
        .unwrap();
}
