//! Every slot, called by C and by C++ code: it arrives in the slot with its number, with the arguments in their places, and the answer
//! comes back whole. Each argument and each answer says where it belongs. The tables here are laid out by hand.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

use core::{
    cell::{Cell, RefCell},
    ffi::c_void,
};

use ntcom_abi_tests::{
    Arguments, Calls, abi_c_calls_control, abi_c_calls_operation, abi_cpp_calls_control,
    abi_cpp_calls_operation,
};

/// A call as it arrived: "slot 3(this, 0x3736353433323130)".
type Arrival = String;

thread_local! {
    static ARRIVED: RefCell<Vec<Arrival>> = const { RefCell::new(Vec::new()) };
    /// The object that is called.
    static THIS: Cell<*const c_void> = const { Cell::new(core::ptr::null()) };
}

fn arrived(slot: usize, this: *const c_void, arguments: &[*const c_void]) -> u32 {
    ARRIVED.with_borrow_mut(|calls| calls.push(call(slot, this, arguments)));
    answer(slot)
}

fn call(slot: usize, this: *const c_void, arguments: &[*const c_void]) -> Arrival {
    let this = if this == THIS.get() { "this".to_owned() } else { format!("{this:?}, which is not this") };
    let arguments: String = arguments.iter().map(|argument| format!(", {argument:?}")).collect();
    format!("slot {slot}({this}{arguments})")
}

/// What the slot with this number answers: four bytes that are all its own.
fn answer(slot: usize) -> u32 {
    0xF3E2_D1C0 + 0x0101_0101 * slot as u32
}

/// The function for a slot of an interface with no, one or two parameters besides `this`.
extern "system" fn none<const SLOT: usize>(this: *const c_void) -> u32 {
    arrived(SLOT, this, &[])
}
extern "system" fn one<const SLOT: usize>(this: *const c_void, a: *const c_void) -> u32 {
    arrived(SLOT, this, &[a])
}
extern "system" fn two<const SLOT: usize>(this: *const c_void, a: *const c_void, b: *const c_void) -> u32 {
    arrived(SLOT, this, &[a, b])
}

/// A pointer that points nowhere, each byte of which says whose it is.
fn graffiti(whose: u8) -> *mut c_void {
    let bytes = core::array::from_fn(|index| whose + index as u8);
    core::ptr::without_provenance_mut(usize::from_le_bytes(bytes))
}

fn arguments() -> Arguments {
    Arguments {
        iid: graffiti(0x10),
        interface_out: graffiti(0x20),
        status_out: graffiti(0x30),
        result_out: graffiti(0x40),
        error_out: graffiti(0x50),
        handler: graffiti(0x60),
        context: graffiti(0x70),
        timeout: graffiti(0x80),
        size_out: graffiti(0x90),
    }
}

/// Calls the slots of an object with this table, which are to arrive with these arguments, in order.
fn check(calls: Calls, table: &[*const c_void], expected: &[&[*mut c_void]]) {
    let object = table.as_ptr();
    let this = (&raw const object).cast_mut().cast::<c_void>();
    THIS.set(this);
    let arguments = arguments();
    let mut answers = vec![0; table.len()];
    // SAFETY: an object with as many slots as are called.
    unsafe { calls(this, &raw const arguments, answers.as_mut_ptr()) };
    let found = ARRIVED.take();
    assert_eq!(found.len(), expected.len());
    for (slot, ((found, answered), arguments)) in found.iter().zip(answers).zip(expected).enumerate() {
        let arguments: Vec<*const c_void> = arguments.iter().map(|argument| argument.cast_const()).collect();
        assert_eq!(*found, call(slot, this, &arguments), "arrived, and by hand");
        assert_eq!(answered, answer(slot), "what slot {slot} answered");
    }
}

fn operation(calls: Calls) {
    let table = [
        two::<0> as *const c_void,
        none::<1> as *const c_void,
        none::<2> as *const c_void,
        one::<3> as *const c_void,
        one::<4> as *const c_void,
    ];
    let a = arguments();
    check(calls, &table, &[&[a.iid, a.interface_out], &[], &[], &[a.status_out], &[a.result_out]]);
}

fn control(calls: Calls) {
    let table = [
        two::<0> as *const c_void,
        none::<1> as *const c_void,
        none::<2> as *const c_void,
        none::<3> as *const c_void,
        one::<4> as *const c_void,
        two::<5> as *const c_void,
        one::<6> as *const c_void,
        one::<7> as *const c_void,
    ];
    let a = arguments();
    check(
        calls,
        &table,
        &[
            &[a.iid, a.interface_out],
            &[],
            &[],
            &[],
            &[a.error_out],
            &[a.handler, a.context],
            &[a.timeout],
            &[a.size_out],
        ],
    );
}

#[test]
fn c_calls_the_slots_of_iasyncoperation() {
    operation(abi_c_calls_operation);
}

#[test]
fn c_calls_the_slots_of_iasynccontrol() {
    control(abi_c_calls_control);
}

#[test]
fn cpp_calls_the_slots_of_iasyncoperation() {
    operation(abi_cpp_calls_operation);
}

#[test]
fn cpp_calls_the_slots_of_iasynccontrol() {
    control(abi_cpp_calls_control);
}

/// The runtime's own client, by the same tables.
mod rust {
    use super::{ARRIVED, THIS, c_void, call, none, one, two};
    use ntcom::{AsyncControlRaw, AsyncOperationRaw, AsyncStatus, ComRc, NTSTATUS};

    extern "system" fn success<const SLOT: usize>(this: *const c_void) -> u32 {
        none::<SLOT>(this);
        0
    }
    extern "system" fn status<const SLOT: usize>(this: *const c_void, out: *mut i32) -> u32 {
        one::<SLOT>(this, out.cast());
        // SAFETY: the client's.
        unsafe { out.write(1) };
        0
    }
    extern "system" fn value<const SLOT: usize>(this: *const c_void, out: *mut u32) -> u32 {
        one::<SLOT>(this, out.cast());
        // SAFETY: the client's.
        unsafe { out.write(0x4443_4241) };
        0
    }
    extern "system" fn handler_and_context<const SLOT: usize>(
        this: *const c_void,
        handler: *const c_void,
        context: *const c_void,
    ) -> u32 {
        two::<SLOT>(this, handler, context);
        0
    }
    unsafe extern "system" fn handler(_context: *mut c_void, _status: AsyncStatus) {}

    /// The slots that were called, in order.
    fn slots() -> Vec<String> {
        ARRIVED.take().iter().map(|call| call.split('(').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_rust_client_calls_the_slots_of_iasyncoperation() {
        let table = [
            two::<0> as *const c_void,
            none::<1> as *const c_void,
            none::<2> as *const c_void,
            status::<3> as *const c_void,
            value::<4> as *const c_void,
        ];
        let mut object = table.as_ptr();
        let raw = (&raw mut object).cast::<AsyncOperationRaw<u32>>();
        // SAFETY: an object that counts nothing and outlives its pointer.
        let operation = unsafe { ComRc::from_raw(raw) }.unwrap();
        assert_eq!(operation.status(), Ok(AsyncStatus::Completed));
        assert_eq!(slots(), ["slot 3"]);
        assert_eq!(operation.result(), Ok(0x4443_4241));
        assert_eq!(slots(), ["slot 3", "slot 4"]);
        drop(operation.clone());
        assert_eq!(slots(), ["slot 1", "slot 2"]);
        drop(operation);
        assert_eq!(slots(), ["slot 2"]);
    }

    #[test]
    fn the_rust_client_calls_the_slots_of_iasynccontrol() {
        let table = [
            two::<0> as *const c_void,
            none::<1> as *const c_void,
            none::<2> as *const c_void,
            success::<3> as *const c_void,
            status::<4> as *const c_void,
            handler_and_context::<5> as *const c_void,
            one::<6> as *const c_void,
            value::<7> as *const c_void,
        ];
        let mut object = table.as_ptr();
        let raw = (&raw mut object).cast::<AsyncControlRaw>();
        // SAFETY: an object that counts nothing and outlives its pointer.
        let control = unsafe { ComRc::from_raw(raw) }.unwrap();
        assert_eq!(control.cancel(), Ok(()));
        assert_eq!(control.error(), Ok(NTSTATUS(1)));
        assert_eq!(control.result_size(), Ok(0x4443_4241));
        THIS.set(raw.cast());
        let context = super::graffiti(0x70);
        // SAFETY: the handler may be called with anything; it is not called.
        assert_eq!(unsafe { control.set_completed(handler, context) }, Ok(()));
        let set = call(5, raw.cast(), &[handler as *const c_void, context]);
        assert_eq!(ARRIVED.with_borrow(|calls| calls.last().unwrap().clone()), set);
        assert_eq!(slots(), ["slot 3", "slot 4", "slot 7", "slot 5"]);
        drop(control);
        assert_eq!(slots(), ["slot 2"]);
    }
}
