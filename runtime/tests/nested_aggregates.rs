//! Tests of an inner object that is an aggregate itself. Its clients see one object.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};
use std::sync::Arc;

use common::in_kernel;
use ntcom::{
    Aggregates, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw, Inner, Interface as _,
    NTSTATUS, Outer, alloc::init_with, declare_com_interface,
};

declare_com_interface! {
    /// The interface of the outermost object.
    trait IBoard: IUnknown {
        const IID: GUID = GUID::from_u128(0x7d1c90d2_5d7f_4f0b_9b57_3a2f0d4c0001);
        fn board(&self) -> u32;
    }
}
declare_com_interface! {
    /// The interface of the board's part.
    trait IBus: IUnknown {
        const IID: GUID = GUID::from_u128(0x7d1c90d2_5d7f_4f0b_9b57_3a2f0d4c0002);
        fn bus(&self) -> u32;
    }
}
declare_com_interface! {
    /// The interface of the bus's own part.
    trait ISlot: IUnknown {
        const IID: GUID = GUID::from_u128(0x7d1c90d2_5d7f_4f0b_9b57_3a2f0d4c0003);
        fn slot(&self) -> u32;
    }
}

/// Records the order of drops, one digit for each drop.
struct Ends(Arc<AtomicU32>, u32);

impl Drop for Ends {
    fn drop(&mut self) {
        let before = self.0.load(SeqCst);
        self.0.store(before * 10 + self.1, SeqCst);
    }
}

struct Board {
    bus: Inner,
    _ends: Ends,
}
impl IBoard for Board {
    fn board(&self) -> u32 {
        1
    }
}
impl Aggregates for Board {
    fn inner(&self, _iid: &GUID) -> Option<&Inner> {
        Some(&self.bus)
    }
}

struct Bus {
    slot: Inner,
    _ends: Ends,
}
impl IBus for Bus {
    fn bus(&self) -> u32 {
        2
    }
}
impl Aggregates for Bus {
    fn inner(&self, iid: &GUID) -> Option<&Inner> {
        (*iid == ISlotRaw::IID).then_some(&self.slot)
    }
}

struct Slot(Ends);
impl ISlot for Slot {
    fn slot(&self) -> u32 {
        self.0.1
    }
}

fn board(ends: &Arc<AtomicU32>) -> ComRc<IBoardRaw> {
    let ends = Arc::clone(ends);
    let end = move |digit| Ends(Arc::clone(&ends), digit);
    let make = move |outer: NonNull<IUnknownRaw>| {
        init_with(move || {
            let slot_end = end(3);
            let slot = init_with(|| Ok::<_, NTSTATUS>(Slot(slot_end)));
            // SAFETY: the bus keeps `slot`, and the board keeps the bus. Both drop their part with
            // themselves.
            let slot = unsafe { ComObject::<_, ISlotRaw, _>::aggregated_in(outer, GlobalAllocator, slot) }?;
            let bus_end = end(2);
            let bus = init_with(|| Ok::<_, NTSTATUS>(Bus { slot, _ends: bus_end }));
            type Middle = Outer<IBusRaw>;
            // SAFETY: the board keeps `bus`, and drops it with itself.
            let bus = unsafe { ComObject::<_, Middle, _>::aggregated_in(outer, GlobalAllocator, bus) }?;
            Ok(Board { bus, _ends: end(1) })
        })
    };
    ComObject::<Board, Outer<IBoardRaw>, _>::init_outer_in(GlobalAllocator, make).unwrap()
}

#[test]
fn every_interface_is_found_from_every_other_at_any_depth() {
    in_kernel(|| {
        let board = board(&Arc::default());
        let bus: ComRc<IBusRaw> = board.query().unwrap();
        let slot: ComRc<ISlotRaw> = board.query().unwrap();
        assert_eq!((board.board(), bus.bus(), slot.slot()), (Ok(1), Ok(2), Ok(3)));
        let unknowns: [ComRc<IUnknownRaw>; 3] =
            [board.query().unwrap(), bus.query().unwrap(), slot.query().unwrap()];
        for unknown in &unknowns {
            assert_eq!(unknown.as_ptr().cast::<c_void>(), board.as_ptr().cast(), "one identity [C2]");
        }
        for found in [bus.query::<ISlotRaw>().unwrap(), slot.query::<ISlotRaw>().unwrap()] {
            assert_eq!(found.as_ptr(), slot.as_ptr());
        }
        assert_eq!(slot.query::<IBusRaw>().unwrap().as_ptr(), bus.as_ptr());
        assert_eq!(slot.query::<IBoardRaw>().unwrap().as_ptr(), board.as_ptr());
    });
}

#[test]
fn the_innermost_object_keeps_the_whole() {
    in_kernel(|| {
        let ends = Arc::default();
        let board = board(&ends);
        let slot: ComRc<ISlotRaw> = board.query().unwrap();
        drop(board);
        assert_eq!(ends.load(SeqCst), 0);
        assert_eq!(slot.query::<IBusRaw>().unwrap().bus(), Ok(2));
        drop(slot);
        assert_eq!(ends.load(SeqCst), 321, "the fields of each value in their order");
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}
