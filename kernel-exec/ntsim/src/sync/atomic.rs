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

shown_as_integer!(u8, u32, usize);

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
        #[derive(Default)]
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
    ($name:ident, $value:ty, $($(#[$meta:meta])* $operation:ident, $apply:expr;)*) => {
        impl $name { $(
            $(#[$meta])*
            #[inline]
            pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                let machine = begin(self.address(), |machine| &machine.counts.rmw);
                let old = self.own().$operation(value, order);
                let apply: fn($value, $value) -> $value = $apply;
                end(machine, self.address(), AtomicOp::Modify, old, apply(old, value));
                old
            }
        )* }
    };
}

macro_rules! integer {
    ($name:ident, $value:ty) => {
        modify! {
            $name, $value,
            /// Adds, wrapping around, and returns the value before.
            fetch_add, |old, value| old.wrapping_add(value);
            /// Subtracts, wrapping around, and returns the value before.
            fetch_sub, |old, value| old.wrapping_sub(value);
            /// Bitwise or; returns the value before.
            fetch_or, |old, value| old | value;
            /// Bitwise and; returns the value before.
            fetch_and, |old, value| old & value;
            /// Bitwise exclusive or; returns the value before.
            fetch_xor, |old, value| old ^ value;
            /// The greater of the two; returns the value before.
            fetch_max, |old, value| old.max(value);
            /// The lesser of the two; returns the value before.
            fetch_min, |old, value| old.min(value);
        }
    };
}

atomic! {
    /// A `usize`.
    AtomicUsize, usize, atomic::AtomicUsize
}
atomic! {
    /// A `u32`.
    AtomicU32, u32, atomic::AtomicU32
}
atomic! {
    /// A `u8`.
    AtomicU8, u8, atomic::AtomicU8
}
atomic! {
    /// A `bool`.
    AtomicBool, bool, atomic::AtomicBool
}
atomic! {
    /// A raw pointer.
    AtomicPtr<T>, *mut T, atomic::AtomicPtr<T>
}

integer!(AtomicUsize, usize);
integer!(AtomicU32, u32);
integer!(AtomicU8, u8);
modify! {
    AtomicBool, bool,
    /// Logical or; returns the value before.
    fetch_or, |old, value| old | value;
    /// Logical and; returns the value before.
    fetch_and, |old, value| old & value;
    /// Logical exclusive or; returns the value before.
    fetch_xor, |old, value| old ^ value;
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
