//! A declared interface, with arguments and answers of every width and sign, more of them than go into registers, and an async method:
//! C and C++ call an object in Rust, and the calls that the macro makes reach objects in C and in C++. Each value says where it belongs.
#![allow(clippy::too_many_arguments, reason = "more than go into registers: that is the point")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::ffi::c_void;
use std::sync::Mutex;

use ntcom::{
    AsyncBody, AsyncOperationRaw, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS,
    declare_com_interface,
};
use ntcom_abi_tests::probe::{
    Place, Probe, Probes, Values, abi_c_probe, abi_c_probes, abi_cpp_probe, abi_cpp_probes,
};
use ntsim::{Config, Schedule, Simulation};

declare_com_interface! {
    /// `c/probe.h` says the same in C and in C++.
    pub trait IProbe: IUnknown {
        const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7c01);
        /// Slot 3.
        fn unsigned_bytes(&self, a: u8, b: u8) -> u8;
        /// Slot 4.
        fn signed_bytes(&self, a: i8, b: i8) -> i8;
        /// Slot 5.
        fn halves(&self, a: u16, b: i16) -> u16;
        /// Slot 6.
        fn words(&self, a: u32, b: i32) -> i32;
        /// Slot 7.
        fn longs(&self, a: u64, b: i64) -> u64;
        /// Slot 8.
        fn pointers(&self, a: *const c_void, b: *mut c_void) -> *mut c_void;
        /// Slot 9.
        fn floats(&self, a: f32, b: f64) -> f64;
        /// Slot 10.
        fn many(
            &self,
            a: u8,
            b: u64,
            c: i16,
            d: f64,
            e: u32,
            f: *const c_void,
            g: i8,
            h: f32,
            i: i64,
            j: u16,
        ) -> u64;
        /// Slot 11.
        fn nothing(&self);
        /// Slot 12.
        #[opaque]
        async fn later(&self, a: u16, b: i64) -> i64;
    }
}

/// What an object of ours was called with, and what it answers.
struct Recording {
    arguments: Mutex<(Values, u32)>,
    answers: Values,
}
// SAFETY: the pointers of the values point nowhere and are not followed.
unsafe impl Send for Recording {}
// SAFETY: as above.
unsafe impl Sync for Recording {}

impl Recording {
    fn note(&self, slot: u32, note: impl FnOnce(&mut Values)) -> &Values {
        let mut arguments = self.arguments.lock().unwrap();
        note(&mut arguments.0);
        arguments.1 |= 1 << slot;
        &self.answers
    }
}

// SAFETY: what the body touches is resident, and it waits for nothing.
unsafe impl IProbe for &'static Recording {
    type Allocator = GlobalAllocator;

    fn unsigned_bytes(&self, a: u8, b: u8) -> u8 {
        self.note(3, |found| found.u8 = [a, b]).u8[0]
    }
    fn signed_bytes(&self, a: i8, b: i8) -> i8 {
        self.note(4, |found| found.i8 = [a, b]).i8[0]
    }
    fn halves(&self, a: u16, b: i16) -> u16 {
        self.note(5, |found| (found.u16[0], found.i16[0]) = (a, b)).u16[0]
    }
    fn words(&self, a: u32, b: i32) -> i32 {
        self.note(6, |found| (found.u32[0], found.i32[0]) = (a, b)).i32[0]
    }
    fn longs(&self, a: u64, b: i64) -> u64 {
        self.note(7, |found| (found.u64[0], found.i64[0]) = (a, b)).u64[0]
    }
    fn pointers(&self, a: *const c_void, b: *mut c_void) -> *mut c_void {
        self.note(8, |found| found.pointers = [a.cast_mut(), b]).pointers[0]
    }
    fn floats(&self, a: f32, b: f64) -> f64 {
        self.note(9, |found| (found.f32[0], found.f64[0]) = (a, b)).f64[0]
    }
    fn many(
        &self,
        a: u8,
        b: u64,
        c: i16,
        d: f64,
        e: u32,
        f: *const c_void,
        g: i8,
        h: f32,
        i: i64,
        j: u16,
    ) -> u64 {
        let note = |found: &mut Values| {
            // Those that other slots have found already are to be the same.
            assert_eq!(
                (a, f, g),
                (found.u8[1], found.pointers[1].cast_const(), found.i8[1]),
                "u8, pointer, i8"
            );
            (found.u64[1], found.i16[1], found.f64[1], found.u32[1]) = (b, c, d, e);
            (found.f32[1], found.i64[1], found.u16[1]) = (h, i, j);
        };
        self.note(10, note).u64[1]
    }
    fn nothing(&self) {
        self.note(11, |_| ());
    }
    fn later(&self, a: u16, b: i64) -> impl AsyncBody<i64, GlobalAllocator, NTSTATUS> {
        let answer =
            self.note(12, |found| assert_eq!((a, b), (found.u16[1], found.i64[1]), "u16, i64")).i64[0];
        InitBox::new(GlobalAllocator, ntcom::pin_init!(core::future::ready(answer)))
    }
}

/// The slots with a method of their own.
const ALL: u32 = 0b1_1111_1111_1000;

fn in_kernel(program: impl FnOnce() + 'static) {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run(vec![(0, Box::new(program))]).unwrap_or_else(|stop| panic!("{stop}"));
    kernel.unload().unwrap_or_else(|stop| panic!("{stop}"));
}

/// The values that an interface's methods have, of a set: `i32[1]` is no argument.
fn used(mut values: Values) -> Values {
    values.i32[1] = 0;
    values
}

fn foreign_calls(probes: Probes) {
    let arguments = Values::graffiti(0x10);
    let answers = Values::graffiti(0x80);
    let recording: &'static Recording =
        Box::leak(Box::new(Recording { arguments: Mutex::new((Values::NONE, 0)), answers }));
    let object = ComObject::<_, IProbeRaw>::new(recording).unwrap();
    let mut found = Values::NONE;
    // SAFETY: an object with that interface.
    let raw = unsafe { probes(object.as_ptr().cast(), &raw const arguments, &raw mut found) };
    // SAFETY: what an async method returned, with its reference.
    let operation = unsafe { ComRc::<AsyncOperationRaw<i64>>::from_raw(raw.cast()) }.unwrap();
    let (arrived, slots) = *recording.arguments.lock().unwrap();
    assert_eq!((arrived, slots), (used(arguments), ALL), "arrived");
    assert_eq!(operation.result(), Ok(answers.i64[0]));
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
    assert_eq!(found, expected, "came back");
}

fn foreign_object(probe: Probe) {
    let a = Values::graffiti(0x10);
    let answers = Values::graffiti(0x80);
    let operation = ntcom::spawn_async_operation_raw(async { 0x4847_4645_4443_4241_i64 });
    let mut place = Place::new(&a, &answers, operation.cast());
    // SAFETY: the place outlives the object, which counts nothing.
    let raw = unsafe { probe(&raw mut place) };
    // SAFETY: an object with that interface.
    let object = unsafe { ComRc::<IProbeRaw>::from_raw(raw.cast()) }.unwrap();
    assert_eq!(object.unsigned_bytes(a.u8[0], a.u8[1]), Ok(answers.u8[0]));
    assert_eq!(object.signed_bytes(a.i8[0], a.i8[1]), Ok(answers.i8[0]));
    assert_eq!(object.halves(a.u16[0], a.i16[0]), Ok(answers.u16[0]));
    assert_eq!(object.words(a.u32[0], a.i32[0]), Ok(answers.i32[0]));
    assert_eq!(object.longs(a.u64[0], a.i64[0]), Ok(answers.u64[0]));
    assert_eq!(object.pointers(a.pointers[0], a.pointers[1]), Ok(answers.pointers[0]));
    assert_eq!(object.floats(a.f32[0], a.f64[0]), Ok(answers.f64[0]));
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
    assert_eq!(many, Ok(answers.u64[1]));
    assert_eq!(object.nothing(), Ok(()));
    let later = object.later(a.u16[1], a.i64[1]).unwrap();
    assert_eq!(later.result(), Ok(0x4847_4645_4443_4241));
    drop((object, later));
    assert_eq!((place.good, place.bad), (ALL, 0), "slots whose arguments were right, and wrong");
}

#[test]
fn c_calls_an_object_in_rust() {
    in_kernel(|| foreign_calls(abi_c_probes));
}

#[test]
fn cpp_calls_an_object_in_rust() {
    in_kernel(|| foreign_calls(abi_cpp_probes));
}

#[test]
fn rust_calls_an_object_in_c() {
    in_kernel(|| foreign_object(abi_c_probe));
}

#[test]
fn rust_calls_an_object_in_cpp() {
    in_kernel(|| foreign_object(abi_cpp_probe));
}
