//! A call through a declared interface's table is as short as one through a table that was written by hand, or one instruction longer: compared
//! instruction by instruction, as it is compiled for release. `cargo test --release -p ntcom --test instructions`.
#![cfg(all(not(debug_assertions), target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use core::{
    ffi::c_void,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};
use ntcom::{ComStatic, GUID, IUnknown, IUnknownRaw, IUnknownVtbl, NTSTATUS, declare_com_interface};

declare_com_interface! {
    /// Methods of several shapes.
    pub trait IShapes: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e01";
        /// Reads.
        fn get(&self) -> u32;
        /// Computes.
        fn add(&self, a: u8, b: u64) -> u64;
        /// Writes to the object.
        fn set(&self, n: u32);
        /// Writes to the client.
        unsafe fn write(&self, out: *mut u32) -> NTSTATUS;
        /// Calls what may panic.
        fn call(&self, n: u32) -> u32;
    }
}

declare_com_interface! {
    /// The same, one level down.
    pub trait IMore: IShapes {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e02";
        /// Reads.
        fn more(&self) -> u32;
    }
}

/// A value, which is aligned to `A`.
#[repr(C)]
struct Value<A> {
    number: AtomicU32,
    wide: u64,
    _aligned: A,
}

#[repr(align(64))]
struct Cacheline(());

#[inline(never)]
fn may_panic(number: u32, n: u32) -> u32 {
    assert!(number != n);
    number ^ n
}

impl<A> Value<A> {
    fn get(&self) -> u32 {
        self.number.load(Relaxed)
    }
    fn add(&self, a: u8, b: u64) -> u64 {
        self.wide.wrapping_add(u64::from(a)).wrapping_add(b)
    }
    fn set(&self, n: u32) {
        self.number.store(n, Relaxed);
    }
    /// # Safety
    /// `out` is writable.
    unsafe fn write(&self, out: *mut u32) -> NTSTATUS {
        // SAFETY: this function's contract.
        unsafe { out.write(self.get()) };
        NTSTATUS::SUCCESS
    }
    fn call(&self, n: u32) -> u32 {
        may_panic(self.get(), n)
    }
}

impl<A: Send + Sync + 'static> IShapes for Value<A> {
    fn get(&self) -> u32 {
        Value::get(self)
    }
    fn add(&self, a: u8, b: u64) -> u64 {
        Value::add(self, a, b)
    }
    fn set(&self, n: u32) {
        Value::set(self, n);
    }
    unsafe fn write(&self, out: *mut u32) -> NTSTATUS {
        // SAFETY: the declaration's contract.
        unsafe { Value::write(self, out) }
    }
    fn call(&self, n: u32) -> u32 {
        Value::call(self, n)
    }
}

impl<A: Send + Sync + 'static> IMore for Value<A> {
    fn more(&self) -> u32 {
        Value::get(self)
    }
}

/// What somebody writes who has no macro: an object of `N` tables, and slots for the `K`-th of them.
mod by_hand {
    use super::{AtomicUsize, NTSTATUS, Value, c_void};

    #[repr(C)]
    pub(super) struct Object<A, const N: usize> {
        tables: [*const c_void; N],
        count: AtomicUsize,
        destroy: usize,
        value: Value<A>,
    }

    /// # Safety
    /// `this` is the `K`-th interface of an object.
    unsafe fn value<'a, A: 'a, const N: usize, const K: usize>(this: *mut c_void) -> &'a Value<A> {
        let first = this.wrapping_sub(K * size_of::<usize>()).cast::<Object<A, N>>();
        // SAFETY: this function's contract.
        unsafe { &(*first).value }
    }

    macro_rules! slots {
        ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => { $(
            pub(super) unsafe extern "system" fn $name<A, const N: usize, const K: usize>(
                this: *mut c_void $(, $argument: $type)*
            ) $(-> $result)? {
                // SAFETY: a slot's contract.
                unsafe { value::<A, N, K>(this) }.$name($($argument),*)
            }
        )* };
    }

    slots! {
        get() -> u32;
        add(a: u8, b: u64) -> u64;
        set(n: u32);
        call(n: u32) -> u32;
    }

    pub(super) unsafe extern "system" fn write<A, const N: usize, const K: usize>(
        this: *mut c_void,
        out: *mut u32,
    ) -> NTSTATUS {
        // SAFETY: a slot's contract.
        let value = unsafe { value::<A, N, K>(this) };
        // SAFETY: as above.
        unsafe { value.write(out) }
    }
}

/// The instructions of a function, cold parts behind its end excluded.
fn instructions(function: *const c_void) -> Vec<Instruction> {
    let start = function.addr() as u64;
    // SAFETY: longer than any function here; what comes after it is code, too.
    let bytes = unsafe { core::slice::from_raw_parts(function.cast::<u8>(), 256) };
    let mut found = Vec::new();
    let mut last_target = start;
    for instruction in Decoder::with_ip(64, bytes, start, DecoderOptions::NONE) {
        assert!(!instruction.is_invalid(), "not code at {:#x}", instruction.ip());
        found.push(instruction);
        match instruction.flow_control() {
            FlowControl::ConditionalBranch => last_target = last_target.max(instruction.near_branch_target()),
            FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch
                if instruction.next_ip() > last_target =>
            {
                return found;
            }
            _ => {}
        }
    }
    unreachable!("a function without an end at {start:#x}");
}

/// The slots of a table, in their order.
fn slots(table: *const c_void) -> [*const c_void; 5] {
    // SAFETY: a table of `IShapes`, of ours.
    let table = unsafe { &*table.cast::<IShapesVtbl>() };
    [
        table.get.unwrap() as *const c_void,
        table.add.unwrap() as *const c_void,
        table.set.unwrap() as *const c_void,
        table.write.unwrap() as *const c_void,
        table.call.unwrap() as *const c_void,
    ]
}

/// The same by hand, for the `K`-th interface of `N`.
fn hand<A, const N: usize, const K: usize>() -> [*const c_void; 5] {
    [
        by_hand::get::<A, N, K> as *const c_void,
        by_hand::add::<A, N, K> as *const c_void,
        by_hand::set::<A, N, K> as *const c_void,
        by_hand::write::<A, N, K> as *const c_void,
        by_hand::call::<A, N, K> as *const c_void,
    ]
}

const NAMES: [&str; 5] = ["get", "add", "set", "write", "call"];

fn compare(what: &str, macros: [*const c_void; 5], hands: [*const c_void; 5]) {
    for ((name, ours), theirs) in NAMES.iter().zip(macros).zip(hands) {
        let (ours, theirs) = (instructions(ours), instructions(theirs));
        println!("{what}, {name}: {} instructions, by hand {}", ours.len(), theirs.len());
        assert!(
            ours.len() <= theirs.len() + 1,
            "{what}, {name}:\n{}\nby hand:\n{}",
            show(&ours),
            show(&theirs)
        );
    }
}

fn show(instructions: &[Instruction]) -> String {
    instructions.iter().map(|instruction| format!("  {:?}\n", instruction.code())).collect()
}

/// The table of an object's `K`-th interface.
fn table<T>(object: &T, k: usize) -> *const c_void {
    let first = core::ptr::from_ref(object).cast::<*const c_void>();
    // SAFETY: an object begins with its tables.
    unsafe { first.wrapping_add(k).read() }
}

const fn value<A>(aligned: A) -> Value<A> {
    Value { number: AtomicU32::new(7), wide: 5, _aligned: aligned }
}

/// Statics have the methods' slots of every object.
static SINGLE: ComStatic<Value<()>, IShapesRaw> = ComStatic::new(value(()));
static DERIVED: ComStatic<Value<()>, IMoreRaw> = ComStatic::new(value(()));
static SECOND: ComStatic<Value<()>, (IUnknownRaw, IShapesRaw)> = ComStatic::new(value(()));
static ALIGNED: ComStatic<Value<Cacheline>, (IUnknownRaw, IUnknownOther, IMoreRaw)> =
    ComStatic::new(value(Cacheline(())));

declare_com_interface! {
    /// Something in between.
    pub trait IOther: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e03";
    }
}
type IUnknownOther = IOtherRaw;
impl<A: Send + Sync + 'static> IOther for Value<A> {}

#[test]
fn a_slot_is_as_short_as_one_that_is_written_by_hand() {
    compare("one interface", slots(table(&SINGLE, 0)), hand::<(), 1, 0>());
    compare("a derived one", slots(table(&DERIVED, 0)), hand::<(), 1, 0>());
    compare("the second of two", slots(table(&SECOND, 1)), hand::<(), 2, 1>());
    compare("the third, over-aligned", slots(table(&ALIGNED, 2)), hand::<Cacheline, 3, 2>());
}

/// What was compared does what it is to do, and the ways to the object differ.
#[test]
fn the_slots_work() {
    // SAFETY: the static's table.
    let slots_of_second = unsafe { &*table(&SECOND, 1).cast::<IShapesVtbl>() };
    let this = core::ptr::from_ref(&SECOND).cast_mut().cast::<*const IUnknownVtbl>().wrapping_add(1);
    // SAFETY: the static's second interface.
    assert_eq!(unsafe { slots_of_second.add.unwrap()(this.cast(), 1, 2) }, 8);
    // SAFETY: as above.
    assert_eq!(unsafe { slots_of_second.call.unwrap()(this.cast(), 1) }, 6);
    let bytes = |function: *const c_void| {
        // SAFETY: code.
        unsafe { core::slice::from_raw_parts(function.cast::<u8>(), 16) }
    };
    let [near, ..] = slots(table(&SINGLE, 0));
    let [far, ..] = slots(table(&ALIGNED, 2));
    assert_ne!(bytes(near), bytes(far));
}
