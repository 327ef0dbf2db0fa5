//! The declared interface, and an object of ours that implements it.
#![allow(clippy::too_many_arguments, reason = "more than go into registers: that is the point")]

use core::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use ntcom::{AsyncBody, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, declare_com_interface};

use super::values::Values;

declare_com_interface! {
    /// An interface that `c/probe.h` declares in C and in C++.
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

/// The slots of the interface's own methods.
pub(super) const ALL: u32 = 0b1_1111_1111_1000;

/// The arguments that arrived.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    /// The arguments.
    pub(super) values: Values,
    /// A bit for each slot that was called.
    pub(super) slots: u32,
    /// A bit for each slot that got other arguments than an earlier slot.
    pub(super) wrong: u32,
}

/// An object of ours. It records its arguments and gives fixed answers.
pub(super) struct Recording {
    arrived: Mutex<Arrived>,
    answers: Values,
}
// SAFETY: the pointers of the values do not point to anything and are never dereferenced.
unsafe impl Send for Recording {}
// SAFETY: the pointers of the values do not point to anything and are never dereferenced.
unsafe impl Sync for Recording {}

impl Recording {
    /// Creates a recording without a call.
    pub(super) fn new(answers: Values) -> Self {
        Self { arrived: Mutex::new(Arrived { values: Values::NONE, slots: 0, wrong: 0 }), answers }
    }

    /// The arguments so far.
    pub(super) fn arrived(&self) -> Arrived {
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a call. `note` returns false if the arguments are not those that other slots got.
    fn note(&self, slot: u32, note: impl FnOnce(&mut Values) -> bool) -> &Values {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let right = note(&mut arrived.values);
        arrived.slots |= 1 << slot;
        arrived.wrong |= u32::from(!right) << slot;
        &self.answers
    }

    /// Records a call with arguments that no other slot gets.
    fn found(&self, slot: u32, note: impl FnOnce(&mut Values)) -> &Values {
        self.note(slot, |values| {
            note(values);
            true
        })
    }
}

// SAFETY: the body touches resident memory only, and does not block.
unsafe impl IProbe for &'static Recording {
    type Allocator = GlobalAllocator;

    fn unsigned_bytes(&self, a: u8, b: u8) -> u8 {
        self.found(3, |found| found.u8 = [a, b]).u8[0]
    }
    fn signed_bytes(&self, a: i8, b: i8) -> i8 {
        self.found(4, |found| found.i8 = [a, b]).i8[0]
    }
    fn halves(&self, a: u16, b: i16) -> u16 {
        self.found(5, |found| (found.u16[0], found.i16[0]) = (a, b)).u16[0]
    }
    fn words(&self, a: u32, b: i32) -> i32 {
        self.found(6, |found| (found.u32[0], found.i32[0]) = (a, b)).i32[0]
    }
    fn longs(&self, a: u64, b: i64) -> u64 {
        self.found(7, |found| (found.u64[0], found.i64[0]) = (a, b)).u64[0]
    }
    fn pointers(&self, a: *const c_void, b: *mut c_void) -> *mut c_void {
        self.found(8, |found| found.pointers = [a.cast_mut(), b]).pointers[0]
    }
    fn floats(&self, a: f32, b: f64) -> f64 {
        self.found(9, |found| (found.f32[0], found.f64[0]) = (a, b)).f64[0]
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
            (found.u64[1], found.i16[1], found.f64[1], found.u32[1]) = (b, c, d, e);
            (found.f32[1], found.i64[1], found.u16[1]) = (h, i, j);
            (a, f, g) == (found.u8[1], found.pointers[1].cast_const(), found.i8[1])
        };
        self.note(10, note).u64[1]
    }
    fn nothing(&self) {
        self.found(11, |_| ());
    }
    fn later(&self, a: u16, b: i64) -> impl AsyncBody<i64, GlobalAllocator, NTSTATUS> {
        let answer = self.note(12, |found| (a, b) == (found.u16[1], found.i64[1])).i64[0];
        InitBox::new(GlobalAllocator, ntcom::pin_init!(core::future::ready(answer)))
    }
}
