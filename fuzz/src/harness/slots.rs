//! Tables of interfaces, and their slots.

use core::ffi::c_void;

/// The table of an interface. A null table ends the run, because `what` breaks this rule.
///
/// # Safety
/// `this` is a live interface, with a null table or one of type `V`. Tables live for ever.
pub unsafe fn table<V>(this: *mut c_void, rule: &'static str, what: &str) -> &'static V {
    // SAFETY: a live interface begins with its table's pointer.
    let table = unsafe { this.cast::<*const V>().read() };
    // SAFETY: `table` is null, or the address of the table that the caller promises.
    unsafe { table.as_ref() }.unwrap_or_else(|| ntsim::fail(rule, format!("the table of {what} is null")))
}

/// A slot of a table. A null slot ends the run.
pub fn slot<F>(slot: Option<F>, name: &str) -> F {
    slot.unwrap_or_else(|| ntsim::fail("layout", format!("the slot {name} is null")))
}
