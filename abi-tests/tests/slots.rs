//! Every slot, called from both sides.
//!
//! A call arrives in the slot with its number, with the arguments in their places, and the answer
//! comes back whole. Each argument and each answer identifies itself. C and C++ call tables that
//! are laid out by hand here. Calls that are laid out by hand here arrive at objects in C and in
//! C++. All of it is done with the platform's calling convention, and with that of 64-bit Windows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{cell::RefCell, ffi::c_void};

use ntcom_abi_tests::{Arguments, Call, Calls, CallsHandler, Handler, Record, Recorder, Records, canary};

/// The answer of the slot with this number. Its four bytes are different from those of other slots.
fn answer(slot: usize) -> u32 {
    0xF3E2_D1C0 + 0x0101_0101 * slot as u32
}

/// The status for a completion handler, a negative number of four different bytes.
fn status() -> i32 {
    i32::from_le_bytes([0xB0, 0xB1, 0xB2, 0xB3])
}

fn arguments() -> Arguments {
    Arguments {
        iid: canary(0x10),
        interface_out: canary(0x20),
        status_out: canary(0x30),
        result_out: canary(0x40),
        error_out: canary(0x50),
        handler: canary(0x60),
        context: canary(0x70),
        timeout: canary(0x80),
        size_out: canary(0x90),
    }
}

thread_local! {
    static ARRIVED: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

fn arrived(slot: usize, this: *mut c_void, arguments: [*mut c_void; 2]) -> u32 {
    let call = Call { slot: u32::try_from(slot).unwrap(), this, arguments };
    ARRIVED.with_borrow_mut(|calls| calls.push(call));
    answer(slot)
}

/// Both sides of a slot with a calling convention. There are functions for a table, and calls
/// through one.
macro_rules! convention {
    ($name:ident, $abi:literal) => {
        mod $name {
            use core::{ffi::c_void, mem::transmute, ptr::null_mut};

            use super::arrived;

            pub(super) extern $abi fn none<const SLOT: usize>(this: *mut c_void) -> u32 {
                arrived(SLOT, this, [null_mut(); 2])
            }
            pub(super) extern $abi fn one<const SLOT: usize>(this: *mut c_void, a: *mut c_void) -> u32 {
                arrived(SLOT, this, [a, null_mut()])
            }
            pub(super) extern $abi fn two<const SLOT: usize>(
                this: *mut c_void,
                a: *mut c_void,
                b: *mut c_void,
            ) -> u32 {
                arrived(SLOT, this, [a, b])
            }
            pub(super) extern $abi fn handler(context: *mut c_void, status: i32) {
                arrived(0, context, [core::ptr::without_provenance_mut(status.cast_unsigned() as usize), null_mut()]);
            }

            /// `IAsyncOperation`'s table.
            pub(super) const OPERATION: [*const c_void; 5] = [
                two::<0> as *const c_void,
                none::<1> as *const c_void,
                none::<2> as *const c_void,
                one::<3> as *const c_void,
                one::<4> as *const c_void,
            ];
            /// `IAsyncControl`'s table.
            pub(super) const CONTROL: [*const c_void; 8] = [
                two::<0> as *const c_void,
                none::<1> as *const c_void,
                none::<2> as *const c_void,
                none::<3> as *const c_void,
                one::<4> as *const c_void,
                two::<5> as *const c_void,
                one::<6> as *const c_void,
                one::<7> as *const c_void,
            ];

            /// # Safety
            /// `this` is an object, `slot` is one of its slots, and there are as many arguments as
            /// the slot has.
            pub(super) unsafe fn call(this: *mut c_void, slot: usize, arguments: &[*mut c_void]) -> u32 {
                // SAFETY: the caller passes an object, which begins with its table's pointer.
                let table = unsafe { this.cast::<*const *const c_void>().read() };
                // SAFETY: the caller passes a slot of the table.
                let slot = unsafe { table.add(slot).read() };
                match *arguments {
                    [] => {
                        // SAFETY: the slot has this convention and no arguments.
                        let slot = unsafe {
                            transmute::<*const c_void, unsafe extern $abi fn(*mut c_void) -> u32>(slot)
                        };
                        // SAFETY: the caller passes an object and its slot.
                        unsafe { slot(this) }
                    }
                    [a] => {
                        // SAFETY: the slot has this convention and one argument.
                        let slot = unsafe {
                            transmute::<*const c_void, unsafe extern $abi fn(*mut c_void, *mut c_void) -> u32>(slot)
                        };
                        // SAFETY: the caller passes an object and its slot.
                        unsafe { slot(this, a) }
                    }
                    [a, b] => {
                        // SAFETY: the slot has this convention and two arguments.
                        let slot = unsafe {
                            transmute::<
                                *const c_void,
                                unsafe extern $abi fn(*mut c_void, *mut c_void, *mut c_void) -> u32,
                            >(slot)
                        };
                        // SAFETY: the caller passes an object and its slot.
                        unsafe { slot(this, a, b) }
                    }
                    _ => panic!("no slot has three arguments"),
                }
            }

            /// # Safety
            /// `handler` is a completion handler of this convention, and accepts `context`.
            pub(super) unsafe fn complete(handler: *mut c_void, context: *mut c_void, status: i32) {
                // SAFETY: the caller passes a handler of this convention.
                let handler = unsafe {
                    transmute::<*mut c_void, unsafe extern $abi fn(*mut c_void, i32)>(handler)
                };
                // SAFETY: the caller passes a context that the handler accepts.
                unsafe { handler(context, status) }
            }
        }
    };
}

convention!(platform, "system");
#[cfg(target_arch = "x86_64")]
convention!(win64, "win64");

/// The arguments of each slot.
fn operation_slots(a: &Arguments) -> Vec<Vec<*mut c_void>> {
    vec![vec![a.iid, a.interface_out], vec![], vec![], vec![a.status_out], vec![a.result_out]]
}

fn control_slots(a: &Arguments) -> Vec<Vec<*mut c_void>> {
    let unknown = [vec![a.iid, a.interface_out], vec![], vec![]];
    let own = [vec![], vec![a.error_out], vec![a.handler, a.context], vec![a.timeout], vec![a.size_out]];
    unknown.into_iter().chain(own).collect()
}

fn expected(this: *mut c_void, slots: &[Vec<*mut c_void>]) -> Vec<Call> {
    let call = |(slot, arguments): (usize, &Vec<*mut c_void>)| {
        let argument = |index: usize| arguments.get(index).copied().unwrap_or_default();
        Call { slot: slot as u32, this, arguments: [argument(0), argument(1)] }
    };
    slots.iter().enumerate().map(call).collect()
}

fn answers(slots: usize) -> Vec<u32> {
    (0..slots).map(answer).collect()
}

/// Lets C or C++ call the slots of an object with a table that is laid out here.
fn foreign_calls(calls: Calls, table: &[*const c_void], slots: fn(&Arguments) -> Vec<Vec<*mut c_void>>) {
    let object = table.as_ptr();
    let this = (&raw const object).cast_mut().cast::<c_void>();
    let arguments = arguments();
    let mut found = vec![0; table.len()];
    // SAFETY: the object has as many slots as are called.
    unsafe { calls(this, &raw const arguments, found.as_mut_ptr()) };
    assert_eq!(ARRIVED.take(), expected(this, &slots(&arguments)), "calls that arrived, and expected calls");
    assert_eq!(found, answers(table.len()), "answers that came back");
}

/// Makes calls that are laid out here to an object in C or C++.
fn foreign_records(
    records: Records,
    call: unsafe fn(*mut c_void, usize, &[*mut c_void]) -> u32,
    slots: fn(&Arguments) -> Vec<Vec<*mut c_void>>,
) {
    let mut record = Record::NONE;
    let mut place = Recorder::EMPTY;
    // SAFETY: `place` and `record` outlive the object.
    let this = unsafe { records(&raw mut place, &raw mut record) };
    assert_eq!(this, (&raw mut place).cast(), "an object begins with its first interface");
    let slots = slots(&arguments());
    let call = |(slot, arguments): (usize, &Vec<*mut c_void>)| {
        // SAFETY: `this` is that object, and the slot has these arguments.
        unsafe { call(this, slot, arguments) }
    };
    let found: Vec<u32> = slots.iter().enumerate().map(call).collect();
    assert_eq!(record.calls(), expected(this, &slots), "calls that arrived, and expected calls");
    assert_eq!(found, answers(slots.len()), "answers that came back");
}

/// Lets C or C++ call a completion handler of ours, and calls one of theirs.
fn handlers(
    calls: CallsHandler,
    handler: Handler,
    ours: *mut c_void,
    complete: unsafe fn(*mut c_void, *mut c_void, i32),
) {
    let heard = |context: *mut c_void| {
        let status = core::ptr::without_provenance_mut(status().cast_unsigned() as usize);
        [Call { slot: 0, this: context, arguments: [status, core::ptr::null_mut()] }]
    };
    let context = canary(0x70);
    // SAFETY: our handler dereferences nothing.
    unsafe { calls(ours, context, status()) };
    assert_eq!(ARRIVED.take(), heard(context));

    let mut record = Record::NONE;
    let context = (&raw mut record).cast::<c_void>();
    // SAFETY: the function only returns its handler.
    let theirs = unsafe { handler() };
    // SAFETY: their handler accepts a record as its context.
    unsafe { complete(theirs, context, status()) };
    assert_eq!(record.calls(), heard(context));
}

macro_rules! slots {
    ($test:ident, $convention:ident:
     $calls_operation:ident $calls_control:ident $calls_handler:ident
     $records_operation:ident $records_control:ident $handler:ident) => {
        mod $test {
            use super::{
                control_slots, foreign_calls, foreign_records, operation_slots, $convention as convention,
            };

            #[test]
            fn calls_iasyncoperation_in_rust() {
                foreign_calls(ntcom_abi_tests::$calls_operation, &convention::OPERATION, operation_slots);
            }

            #[test]
            fn calls_iasynccontrol_in_rust() {
                foreign_calls(ntcom_abi_tests::$calls_control, &convention::CONTROL, control_slots);
            }

            #[test]
            fn is_called_as_iasyncoperation_by_rust() {
                foreign_records(ntcom_abi_tests::$records_operation, convention::call, operation_slots);
            }

            #[test]
            fn is_called_as_iasynccontrol_by_rust() {
                foreign_records(ntcom_abi_tests::$records_control, convention::call, control_slots);
            }

            #[test]
            fn calls_handlers_and_has_them() {
                let ours = (convention::handler as *const core::ffi::c_void).cast_mut();
                super::handlers(
                    ntcom_abi_tests::$calls_handler,
                    ntcom_abi_tests::$handler,
                    ours,
                    convention::complete,
                );
            }
        }
    };
}

slots!(c, platform: abi_c_calls_operation abi_c_calls_control abi_c_calls_handler
       abi_c_records_operation abi_c_records_control abi_c_handler);
slots!(cpp, platform: abi_cpp_calls_operation abi_cpp_calls_control abi_cpp_calls_handler
       abi_cpp_records_operation abi_cpp_records_control abi_cpp_handler);
#[cfg(target_arch = "x86_64")]
slots!(c_with_windows_convention, win64:
       abi_c_calls_operation_win64 abi_c_calls_control_win64 abi_c_calls_handler_win64
       abi_c_records_operation_win64 abi_c_records_control_win64 abi_c_handler_win64);
#[cfg(target_arch = "x86_64")]
slots!(cpp_with_windows_convention, win64:
       abi_cpp_calls_operation_win64 abi_cpp_calls_control_win64 abi_cpp_calls_handler_win64
       abi_cpp_records_operation_win64 abi_cpp_records_control_win64 abi_cpp_handler_win64);

/// The two conventions differ. If they did not, the tests above could not fail.
#[cfg(target_arch = "x86_64")]
#[test]
fn with_the_wrong_convention_arguments_do_not_arrive() {
    let object = win64::CONTROL.as_ptr();
    let this = (&raw const object).cast_mut().cast::<c_void>();
    // SAFETY: the slots dereference none of their arguments, wherever the convention takes these
    // from.
    unsafe { platform::call(this, 5, &[canary(0x60), canary(0x70)]) };
    let arrived = ARRIVED.take();
    assert_ne!(arrived.first().unwrap().arguments, [canary(0x60), canary(0x70)]);
}
