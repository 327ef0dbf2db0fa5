//! Atomics.

use core::sync::atomic::{self, Ordering};

use crate::{
    arena::Memory,
    counters::Count,
    engine::{
        entry::mine,
        free::attend,
        machine::{Machine, active},
    },
    other_pools::{Owner, owner},
    program::is_active,
    statics::own,
    trace::{Value, event::AtomicOp, event::What},
    verifier::memory::Use,
};

/// A value's form in the trace.
trait Shown: Copy {
    fn shown(self, machine: &Machine) -> Value;
}

macro_rules! shown_as_integer {
    ($($integer:ty),*) => { $(
        impl Shown for $integer {
            fn shown(self, machine: &Machine) -> Value {
                machine.integer(self as u64)
            }
        }
    )* };
}

shown_as_integer!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl Shown for bool {
    fn shown(self, _machine: &Machine) -> Value {
        Value::Boolean(self)
    }
}

impl<T> Shown for *mut T {
    fn shown(self, machine: &Machine) -> Value {
        machine.pointer(self as usize)
    }
}

/// Begins an operation. In a run there is a preemption point here, a check of the address, and a
/// count.
#[inline(always)]
fn begin<'a>(address: *const (), count: impl FnOnce(&Machine) -> &Count) -> Option<&'a Machine> {
    let Some(machine) = active() else {
        check_outside(address.addr());
        attend();
        return None;
    };
    machine.count_stack();
    machine.point();
    count(machine).add();
    if let Err(violation) = machine.check_memory(address as usize, Use::Atomic) {
        machine.bug_check(violation);
    }
    machine.identify(address.addr());
    Some(machine)
}

/// Panics, outside of runs, for an atomic in a simulated kernel that is not the calling thread's,
/// or in no block of its pool.
#[inline(always)]
pub(super) fn check_outside(address: usize) {
    match mine().and_then(|machine| Some((machine, machine.arena.offset(address)?))) {
        Some((machine, offset)) => {
            if matches!(machine.arena.state(offset), Memory::Outside | Memory::Freed) && !is_active() {
                in_no_block();
            }
        }
        None => {
            if let Some(owner) = owner(address) {
                not_ours(owner);
            }
        }
    }
}

#[cold]
#[expect(clippy::panic, reason = "there is no run that could end")]
fn in_no_block() -> ! {
    panic!(
        "ntsim: an atomic in freed pool memory is used outside of a run: an interface, waker or handle was \
         kept beyond the reset of its simulation, or beyond its object; drop it in a program of its run"
    )
}

#[cold]
#[expect(clippy::panic, reason = "there is no run that could end")]
fn not_ours(owner: Owner) -> ! {
    panic!(
        "ntsim: an atomic in {} is used outside of its simulation: an interface, waker or handle was \
         kept too long; drop it in a program of the simulation that made it",
        owner.describe()
    )
}

/// Ends an operation, with its event and the point behind it.
#[inline(always)]
fn end<T: Shown>(machine: Option<&Machine>, address: *const (), operation: AtomicOp, old: T, new: T) {
    if let Some(machine) = machine {
        if machine.tracing.get() {
            record(machine, address, operation, old, new);
        }
        machine.point_after();
    }
}

#[cold]
#[inline(never)]
fn record<T: Shown>(machine: &Machine, address: *const (), operation: AtomicOp, old: T, new: T) {
    let object = machine.name(address as usize);
    let (old, new) = (old.shown(machine), new.shown(machine));
    machine.record(What::Atomic { operation, object, old, new });
}

macro_rules! atomic {
    ($(#[$meta:meta])* $name:ident $(<$parameter:ident>)?, $value:ty, $inner:ty) => {
        $(#[$meta])*
        #[repr(transparent)]
        pub struct $name $(<$parameter>)? { inner: $inner }

        impl $(<$parameter>)? $name $(<$parameter>)? {
            /// A new atomic.
            pub const fn new(value: $value) -> Self {
                Self { inner: <$inner>::new(value) }
            }

            /// The value. For a static, the copy of the calling thread's simulated kernel.
            #[inline(always)]
            fn own(&self) -> &$inner {
                // SAFETY: an atomic owns nothing, and every access to it is made through this
                // function.
                unsafe { own(&self.inner) }
            }

            fn address(&self) -> *const () {
                (&raw const self.inner).cast()
            }

            /// Reads the value.
            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                let machine = begin(self.address(), |machine| &machine.counts.loads);
                let value = self.own().load(order);
                end(machine, self.address(), AtomicOp::Load, value, value);
                value
            }

            /// Writes the value.
            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                let machine = begin(self.address(), |machine| &machine.counts.stores);
                let Some(machine) = machine else { return self.own().store(value, order) };
                if machine.tracing.get() {
                    let old = self.own().load(Ordering::Relaxed);
                    record(machine, self.address(), AtomicOp::Store, old, value);
                }
                self.own().store(value, order);
                machine.point_after();
            }

            /// Writes the value and returns the previous one.
            #[inline]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                let machine = begin(self.address(), |machine| &machine.counts.rmw);
                let old = self.own().swap(value, order);
                end(machine, self.address(), AtomicOp::Swap, old, value);
                old
            }

            /// Writes `new` if the value is `current`.
            ///
            /// # Errors
            /// The value, if it is not `current`.
            #[inline]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let machine = begin(self.address(), |machine| &machine.counts.rmw);
                let outcome = self.own().compare_exchange(current, new, success, failure);
                match outcome {
                    Ok(old) => end(machine, self.address(), AtomicOp::Exchange, old, new),
                    Err(old) => end(machine, self.address(), AtomicOp::FailedExchange, old, old),
                }
                outcome
            }

            /// Like [`Self::compare_exchange`]. It never fails spuriously, so that runs are the
            /// same everywhere.
            ///
            /// # Errors
            /// The value, if it is not `current`.
            #[inline]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            /// Replaces the value by the result of `f`, repeatedly if other threads change the
            /// value meanwhile, and returns the previous value. Each load and exchange is an
            /// operation of its own.
            ///
            /// # Errors
            /// The value for which `f` returned `None`.
            #[inline]
            pub fn fetch_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut old = self.load(fetch_order);
                while let Some(new) = f(old) {
                    match self.compare_exchange_weak(old, new, set_order, fetch_order) {
                        Ok(old) => return Ok(old),
                        Err(other) => old = other,
                    }
                }
                Err(old)
            }

            /// Like [`Self::fetch_update`].
            ///
            /// # Errors
            /// The value for which `f` returned `None`.
            #[inline]
            pub fn try_update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                f: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.fetch_update(set_order, fetch_order, f)
            }

            /// Replaces the value by the result of `f`, as [`Self::fetch_update`] does, and returns
            /// the previous value.
            #[inline]
            pub fn update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: impl FnMut($value) -> $value,
            ) -> $value {
                match self.fetch_update(set_order, fetch_order, |old| Some(f(old))) {
                    Ok(old) | Err(old) => old,
                }
            }

            /// The atomic at an address.
            ///
            /// # Safety
            /// As for the function of core's atomic.
            pub const unsafe fn from_ptr<'a>(value: *mut $value) -> &'a Self {
                // SAFETY: this type is transparent over core's atomic, which has the value's
                // layout; the caller guarantees that the value is valid and used as an atomic.
                unsafe { &*value.cast::<Self>() }
            }

            /// The value, to which the caller has exclusive access.
            pub fn get_mut(&mut self) -> &mut $value {
                self.inner.get_mut()
            }

            /// The value.
            pub const fn into_inner(self) -> $value {
                self.inner.into_inner()
            }

            /// The address of the value. Access through it is no preemption point.
            pub fn as_ptr(&self) -> *mut $value {
                self.own().as_ptr()
            }
        }

        impl $(<$parameter>)? Default for $name $(<$parameter>)? {
            fn default() -> Self {
                Self { inner: <$inner>::default() }
            }
        }

        impl $(<$parameter>)? From<$value> for $name $(<$parameter>)? {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }

        impl $(<$parameter>)? core::fmt::Debug for $name $(<$parameter>)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.own().fmt(f)
            }
        }
    };
}

macro_rules! modify {
    ($name:ident $(<$parameter:ident>)?, $value:ty, $($(#[$meta:meta])* $operation:ident: $argument:ty, $apply:expr;)*) => {
        impl $(<$parameter>)? $name $(<$parameter>)? { $(
            $(#[$meta])*
            #[inline]
            pub fn $operation(&self, value: $argument, order: Ordering) -> $value {
                let machine = begin(self.address(), |machine| &machine.counts.rmw);
                let old = self.own().$operation(value, order);
                let apply: fn($value, $argument) -> $value = $apply;
                end(machine, self.address(), AtomicOp::Modify, old, apply(old, value));
                old
            }
        )* }
    };
}

macro_rules! integers {
    ($($name:ident, $value:ident, $doc:literal;)*) => { $(
        atomic! {
            #[doc = $doc]
            $name, $value, atomic::$name
        }
        modify! {
            $name, $value,
            /// Adds, wrapping around, and returns the value before.
            fetch_add: $value, |old, value| old.wrapping_add(value);
            /// Subtracts, wrapping around, and returns the value before.
            fetch_sub: $value, |old, value| old.wrapping_sub(value);
            /// Bitwise or; returns the value before.
            fetch_or: $value, |old, value| old | value;
            /// Bitwise and; returns the value before.
            fetch_and: $value, |old, value| old & value;
            /// Bitwise "not and"; returns the value before.
            fetch_nand: $value, |old, value| !(old & value);
            /// Bitwise exclusive or; returns the value before.
            fetch_xor: $value, |old, value| old ^ value;
            /// The greater of the two; returns the value before.
            fetch_max: $value, |old, value| old.max(value);
            /// The lesser of the two; returns the value before.
            fetch_min: $value, |old, value| old.min(value);
        }
    )* };
}

integers! {
    AtomicU8, u8, "A `u8`.";
    AtomicU16, u16, "A `u16`.";
    AtomicU32, u32, "A `u32`.";
    AtomicU64, u64, "A `u64`.";
    AtomicUsize, usize, "A `usize`.";
    AtomicI8, i8, "An `i8`.";
    AtomicI16, i16, "An `i16`.";
    AtomicI32, i32, "An `i32`.";
    AtomicI64, i64, "An `i64`.";
    AtomicIsize, isize, "An `isize`.";
}

atomic! {
    /// A `bool`.
    AtomicBool, bool, atomic::AtomicBool
}
modify! {
    AtomicBool, bool,
    /// Logical or; returns the value before.
    fetch_or: bool, |old, value| old | value;
    /// Logical and; returns the value before.
    fetch_and: bool, |old, value| old & value;
    /// Logical "not and"; returns the value before.
    fetch_nand: bool, |old, value| !(old & value);
    /// Logical exclusive or; returns the value before.
    fetch_xor: bool, |old, value| old ^ value;
}

impl AtomicBool {
    /// Logical not; returns the value before.
    #[inline]
    pub fn fetch_not(&self, order: Ordering) -> bool {
        self.fetch_xor(true, order)
    }
}

atomic! {
    /// A raw pointer.
    AtomicPtr<T>, *mut T, atomic::AtomicPtr<T>
}
modify! {
    AtomicPtr<T>, *mut T,
    /// Adds this number of `T`s, wrapping around, and returns the pointer before.
    fetch_ptr_add: usize, |old, count| old.wrapping_add(count);
    /// Subtracts this number of `T`s, wrapping around, and returns the pointer before.
    fetch_ptr_sub: usize, |old, count| old.wrapping_sub(count);
    /// Adds this number of bytes, wrapping around, and returns the pointer before.
    fetch_byte_add: usize, |old, bytes| old.wrapping_byte_add(bytes);
    /// Subtracts this number of bytes, wrapping around, and returns the pointer before.
    fetch_byte_sub: usize, |old, bytes| old.wrapping_byte_sub(bytes);
    /// Bitwise or of the address; returns the pointer before.
    fetch_or: usize, |old, bits| old.map_addr(|address| address | bits);
    /// Bitwise and of the address; returns the pointer before.
    fetch_and: usize, |old, bits| old.map_addr(|address| address & bits);
    /// Bitwise exclusive or of the address; returns the pointer before.
    fetch_xor: usize, |old, bits| old.map_addr(|address| address ^ bits);
}

impl<T> core::fmt::Pointer for AtomicPtr<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Pointer::fmt(self.own(), f)
    }
}

/// A fence, with a preemption point.
#[inline]
pub fn fence(order: Ordering) {
    if let Some(machine) = active() {
        machine.count_stack();
        machine.point();
        if machine.tracing.get() {
            let (object, none) = (machine.name(0), Value::Bits(0));
            machine.record(What::Atomic { operation: AtomicOp::Fence, object, old: none, new: none });
        }
        atomic::fence(order);
        machine.point_after();
    } else {
        attend();
        atomic::fence(order);
    }
}
