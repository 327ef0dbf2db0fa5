//! Tests that calls through declared tables are as short as calls through handwritten ones.
//!
//! A call may be one instruction longer. The release code is compared instruction by instruction.
//! Run it with `cargo test --release -p ntcom --test instructions`.
#![cfg(all(not(debug_assertions), target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use core::{
    ffi::c_void,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction};
use ntcom::{ComStatic, GUID, IUnknown, IUnknownRaw, IUnknownVtbl, NTSTATUS, declare_com_interface};

declare_com_interface! {
    /// An interface with methods of several shapes.
    pub trait IShapes: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e01";
        /// Reads from the object.
        fn get(&self) -> u32;
        /// Computes from its arguments and the object.
        fn add(&self, a: u8, b: u64) -> u64;
        /// Writes to the object.
        fn set(&self, n: u32);
        /// Writes to the client.
        unsafe fn write(&self, out: *mut u32) -> NTSTATUS;
        /// Calls a function that may panic.
        fn call(&self, n: u32) -> u32;
    }
}

declare_com_interface! {
    /// A derived interface, for slots one level down.
    pub trait IMore: IShapes {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e02";
        /// Reads from the object.
        fn more(&self) -> u32;
    }
}

/// A value with the alignment of `A`.
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
        // SAFETY: the caller passes a writable `out`.
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
        // SAFETY: the declaration requires a writable `out`.
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

/// The handwritten counterpart, with an object of `N` tables, and slots for the `K`-th of them.
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
        // SAFETY: the caller passes the `K`-th interface, so `first` is the object's beginning.
        unsafe { &(*first).value }
    }

    macro_rules! slots {
        ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => { $(
            pub(super) unsafe extern "system" fn $name<A, const N: usize, const K: usize>(
                this: *mut c_void $(, $argument: $type)*
            ) $(-> $result)? {
                // SAFETY: the caller of the slot passes the `K`-th interface of an object.
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
        // SAFETY: the caller of the slot passes this interface.
        let value = unsafe { value::<A, N, K>(this) };
        // SAFETY: the caller of the slot passes a writable `out`.
        unsafe { value.write(out) }
    }
}

/// Returns the instructions of a function, without cold parts after its end.
fn instructions(function: *const c_void) -> Vec<Instruction> {
    let start = function.addr() as u64;
    // SAFETY: the 256 bytes are longer than any function here, and code follows each of them.
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

/// Returns the slots of a table, in their order.
fn slots(table: *const c_void) -> [*const c_void; 5] {
    // SAFETY: the table is one of our own, of `IShapes`.
    let table = unsafe { &*table.cast::<IShapesVtbl>() };
    [
        table.get.unwrap() as *const c_void,
        table.add.unwrap() as *const c_void,
        table.set.unwrap() as *const c_void,
        table.write.unwrap() as *const c_void,
        table.call.unwrap() as *const c_void,
    ]
}

/// Returns the handwritten slots for the `K`-th interface of `N`.
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

/// Returns the table of an object's `K`-th interface.
fn table<T>(object: &T, k: usize) -> *const c_void {
    let first = core::ptr::from_ref(object).cast::<*const c_void>();
    // SAFETY: an object begins with its tables.
    unsafe { first.wrapping_add(k).read() }
}

const fn value<A>(aligned: A) -> Value<A> {
    Value { number: AtomicU32::new(7), wide: 5, _aligned: aligned }
}

/// Statics, which have the same method slots as every object.
static SINGLE: ComStatic<Value<()>, IShapesRaw> = ComStatic::new(value(()));
static DERIVED: ComStatic<Value<()>, IMoreRaw> = ComStatic::new(value(()));
static SECOND: ComStatic<Value<()>, (IUnknownRaw, IShapesRaw)> = ComStatic::new(value(()));
static ALIGNED: ComStatic<Value<Cacheline>, (IUnknownRaw, IUnknownOther, IMoreRaw)> =
    ComStatic::new(value(Cacheline(())));

declare_com_interface! {
    /// An interface between the first and the third.
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

/// The compared slots work, and they find their objects in different ways.
#[test]
fn the_slots_work() {
    // SAFETY: the static's second table is one of `IShapes`.
    let slots_of_second = unsafe { &*table(&SECOND, 1).cast::<IShapesVtbl>() };
    let this = core::ptr::from_ref(&SECOND).cast_mut().cast::<*const IUnknownVtbl>().wrapping_add(1);
    // SAFETY: `this` is the static's second interface.
    assert_eq!(unsafe { slots_of_second.add.unwrap()(this.cast(), 1, 2) }, 8);
    // SAFETY: `this` is the static's second interface.
    assert_eq!(unsafe { slots_of_second.call.unwrap()(this.cast(), 1) }, 6);
    let bytes = |function: *const c_void| {
        // SAFETY: a slot is a function, so there is code at its address.
        unsafe { core::slice::from_raw_parts(function.cast::<u8>(), 16) }
    };
    let [near, ..] = slots(table(&SINGLE, 0));
    let [far, ..] = slots(table(&ALIGNED, 2));
    assert_ne!(bytes(near), bytes(far));
}
