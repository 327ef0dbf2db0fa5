//! The declared interface, and an object of ours with it.
#![allow(clippy::too_many_arguments, reason = "more than go into registers: that is the point")]

use core::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use ntcom::{AsyncBody, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, declare_com_interface};

use super::values::Values;

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

/// The slots with a method of their own.
pub(super) const ALL: u32 = 0b1_1111_1111_1000;

/// What arrived.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    /// The arguments.
    pub(super) values: Values,
    /// A bit for each slot that was called.
    pub(super) slots: u32,
    /// And for each with arguments that another slot has had before, which are not the same.
    pub(super) wrong: u32,
}

/// What an object of ours was called with, and what it answers.
pub(super) struct Recording {
    arrived: Mutex<Arrived>,
    answers: Values,
}
// SAFETY: the pointers of the values point nowhere and are not followed.
unsafe impl Send for Recording {}
// SAFETY: as above.
unsafe impl Sync for Recording {}

impl Recording {
    /// Not called yet.
    pub(super) fn new(answers: Values) -> Self {
        Self { arrived: Mutex::new(Arrived { values: Values::NONE, slots: 0, wrong: 0 }), answers }
    }

    /// What has arrived so far.
    pub(super) fn arrived(&self) -> Arrived {
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a note of a call. False: the arguments are not those that other slots have found.
    fn note(&self, slot: u32, note: impl FnOnce(&mut Values) -> bool) -> &Values {
        let mut arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        let right = note(&mut arrived.values);
        arrived.slots |= 1 << slot;
        arrived.wrong |= u32::from(!right) << slot;
        &self.answers
    }

    /// Makes a note of a call whose arguments no other slot has found.
    fn found(&self, slot: u32, note: impl FnOnce(&mut Values)) -> &Values {
        self.note(slot, |values| {
            note(values);
            true
        })
    }
}

// SAFETY: what the body touches is resident, and it waits for nothing.
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
