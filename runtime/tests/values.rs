//! Tests that a client reads every byte of a value, and none of earlier contents of memory `[C5]`.
//!
//! The values come through get_result, through the pointer of a declared method, and as another
//! type of the same size.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    mem::{MaybeUninit, offset_of},
};

use common::in_kernel;
use ntcom::{
    AbiType, AsyncBody, AsyncOperationRaw, AsyncValueType, ComObject, ComRc, GUID, GlobalAllocator, IUnknown,
    InitBox, NTSTATUS, UnicodeString, declare_com_interface, pin_init, spawn_async_operation,
    spawn_async_operation_error,
};

/// A struct with padding between fields and after them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AbiType)]
struct Padded {
    tag: u8,
    number: u64,
    half: u16,
}

/// A struct without padding of its own, with a field that has padding.
#[repr(C)]
#[derive(Clone, Copy, AbiType)]
struct Nested {
    first: Padded,
    second: [Padded; 2],
}

/// A struct with 63 bytes of padding after its only field.
#[repr(C, align(64))]
#[derive(Clone, Copy, AbiType)]
struct Aligned(u8);

/// A struct with padding that a field of size zero makes.
#[repr(C)]
#[derive(Clone, Copy, AbiType)]
struct Spaced {
    tag: u8,
    align: [u64; 0],
}

/// A value that is not an `AbiType`, because it has a `bool`.
#[repr(C)]
#[derive(Clone, Copy, AsyncValueType)]
struct Answer {
    known: bool,
    letter: char,
    callback: Option<extern "C" fn(u32) -> u32>,
    small: u8,
    padded: Padded,
}

const CANARY: u8 = 0xCC;

/// Makes a value with padding that is not zero, as if it had been copied over used memory.
fn dirty<T: Copy>(fill: impl FnOnce(*mut T)) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the place belongs to this function, and has the size of a `T`.
    unsafe { value.as_mut_ptr().cast::<u8>().write_bytes(CANARY, size_of::<T>()) };
    fill(value.as_mut_ptr());
    // SAFETY: `fill` has written the fields.
    unsafe { value.assume_init() }
}

fn padded() -> Padded {
    dirty(|place: *mut Padded| {
        // SAFETY: `dirty` passes a valid place with all bytes written.
        let place = unsafe { &mut *place };
        (place.tag, place.number, place.half) = (1, u64::MAX, 0x0202);
    })
}

/// The bytes of a [`Padded`], with its padding.
fn padded_bytes() -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend([0xFF; 8]);
    bytes.extend([2, 2, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// Returns the bytes that get_result leaves in a client's buffer, at an aligned and at an odd
/// address.
fn handed_out<T: AsyncValueType>(value: T) -> Vec<u8> {
    let operation = spawn_async_operation(async move { value });
    // SAFETY: the test's reference keeps the operation alive.
    let table = unsafe { (*operation.as_ptr()).vtbl };
    // SAFETY: the object's table pointer points to its table.
    let get_result = unsafe { (*table).get_result }.unwrap();
    let [aligned, odd] = [0, 1].map(|distance| {
        let mut room = vec![0xA5_u8; size_of::<T>() + 2];
        let out = room.as_mut_ptr().wrapping_add(distance).cast::<T>();
        // SAFETY: the operation is alive, and there is room for its value.
        assert_eq!(unsafe { get_result(operation.as_ptr().cast(), out) }, NTSTATUS::SUCCESS);
        let (_, place) = room.split_at(distance);
        let (value, behind) = place.split_at(size_of::<T>());
        assert_eq!(behind.first(), Some(&0xA5), "written beyond the value");
        value.to_vec()
    });
    assert_eq!(aligned, odd);
    aligned
}

#[test]
fn padding_of_a_value_is_zero() {
    in_kernel(|| {
        assert_eq!(handed_out(padded()), padded_bytes());
        assert_eq!(handed_out([padded(); 3]), padded_bytes().repeat(3));
        let nested = Nested { first: padded(), second: [padded(); 2] };
        assert_eq!(handed_out(nested), padded_bytes().repeat(3));
        // SAFETY: `place` is valid for a struct, and its one field is written.
        let aligned = dirty(|place: *mut Aligned| unsafe { (*place).0 = 7 });
        let mut expected = vec![0; 64];
        expected[0] = 7;
        assert_eq!(handed_out(aligned), expected);
        // SAFETY: `place` is valid for a struct, and its one field with a size is written.
        let spaced = dirty(|place: *mut Spaced| unsafe { (*place).tag = 7 });
        assert_eq!(handed_out(spaced), [7, 0, 0, 0, 0, 0, 0, 0]);
    });
}

/// Makes an answer by writing its fields one by one, because the bytes that are there before are
/// not a valid `bool`.
fn answer() -> Answer {
    fn put<T>(place: *mut Answer, offset: usize, value: T) {
        // SAFETY: `place` is valid for an `Answer`, which has a field of this type at this offset.
        unsafe { place.wrapping_byte_add(offset).cast::<T>().write(value) };
    }
    dirty(|place: *mut Answer| {
        put(place, offset_of!(Answer, known), true);
        put(place, offset_of!(Answer, letter), 'a');
        put(place, offset_of!(Answer, callback), None::<extern "C" fn(u32) -> u32>);
        put(place, offset_of!(Answer, small), 9_u8);
        put(place, offset_of!(Answer, padded), padded());
    })
}

#[test]
fn padding_of_a_value_that_is_no_abi_type_is_zero() {
    in_kernel(|| {
        let mut expected = vec![1, 0, 0, 0, 0x61, 0, 0, 0];
        expected.extend([0; size_of::<usize>()]);
        expected.extend([9, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(padded_bytes());
        assert_eq!(handed_out(answer()), expected);
    });
}

/// A client that reads the value as another type of its size, in safe code, gets zeros for the
/// padding.
#[test]
fn a_padded_value_that_is_read_as_numbers_is_initialised() {
    in_kernel(|| {
        let operation = spawn_async_operation(async { padded() });
        let words: ComRc<AsyncOperationRaw<[u64; 3]>> = operation.query().unwrap();
        assert_eq!(words.result(), Ok([1, u64::MAX, 0x0202]));
        let bytes: ComRc<AsyncOperationRaw<[u8; 24]>> = operation.query().unwrap();
        assert_eq!(bytes.result().unwrap().to_vec(), padded_bytes());
    });
}

#[test]
fn without_a_value_the_whole_place_is_zeroed() {
    in_kernel(|| {
        let operation = spawn_async_operation_error::<Padded>(NTSTATUS::CANCELLED);
        // SAFETY: the test's reference keeps the operation alive.
        let table = unsafe { (*operation.as_ptr()).vtbl };
        let mut room = [0xA5_u8; 25];
        // SAFETY: the object's table pointer points to its table.
        let get_result = unsafe { (*table).get_result }.unwrap();
        // SAFETY: the operation is alive, and there is room for its value.
        let status = unsafe { get_result(operation.as_ptr().cast(), room.as_mut_ptr().cast()) };
        assert_eq!((status, &room[..24], room[24]), (NTSTATUS::CANCELLED, &[0; 24][..], 0xA5));
    });
}

declare_com_interface! {
    trait IValues: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e01";
        fn padded(&self) -> Result<Padded, NTSTATUS>;
        fn pointer(&self) -> Result<*const c_void, NTSTATUS>;
        fn name(&self) -> Result<UnicodeString, NTSTATUS>;
        #[opaque]
        async fn later(&self, fails: u32) -> Result<Padded, NTSTATUS>;
    }
}

struct Values;

// SAFETY: the body touches no memory but its own.
unsafe impl IValues for Values {
    type Allocator = GlobalAllocator;
    fn padded(&self) -> Result<Padded, NTSTATUS> {
        Ok(padded())
    }
    fn pointer(&self) -> Result<*const c_void, NTSTATUS> {
        Ok(core::ptr::without_provenance(0x0102))
    }
    fn name(&self) -> Result<UnicodeString, NTSTATUS> {
        Ok(dirty(|place: *mut UnicodeString| {
            // SAFETY: `dirty` passes a valid place, and all of its bytes are values of the fields.
            let place = unsafe { &mut *place };
            (place.length, place.maximum_length, place.buffer) = (2, 4, core::ptr::null_mut());
        }))
    }
    fn later(&self, fails: u32) -> impl AsyncBody<Result<Padded, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        let answer = if fails == 0 { Ok(padded()) } else { Err(NTSTATUS::CANCELLED) };
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(answer)))
    }
}

#[test]
fn what_a_declared_method_hands_out_has_no_padding_of_its_frame() {
    in_kernel(|| {
        let object = ComObject::<_, IValuesRaw>::new(Values).unwrap();
        // SAFETY: the test's reference keeps the object alive.
        let table = unsafe { (*object.as_ptr()).vtbl };
        // SAFETY: the object's table pointer points to its table.
        let table = unsafe { *table };
        let this: *mut c_void = object.as_ptr().cast();
        let mut room = [0xA5_u8; 25];
        // SAFETY: the object is alive, and there is room for the value.
        assert_eq!(unsafe { table.padded.unwrap()(this, room.as_mut_ptr().cast()) }, NTSTATUS::SUCCESS);
        assert_eq!((room[..24].to_vec(), room[24]), (padded_bytes(), 0xA5));
        let mut room = [0xA5_u8; 2 * size_of::<usize>()];
        // SAFETY: the object is alive, and there is room for the value.
        assert_eq!(unsafe { table.name.unwrap()(this, room.as_mut_ptr().cast()) }, NTSTATUS::SUCCESS);
        let mut expected = [0; 2 * size_of::<usize>()];
        (expected[0], expected[2]) = (2, 4);
        assert_eq!(room, expected, "a kernel string has padding on 64-bit");
        assert_eq!(object.pointer().map(<*const c_void>::addr), Ok(0x0102));
        let words: ComRc<AsyncOperationRaw<[u64; 3]>> = object.later(0).unwrap().query().unwrap();
        assert_eq!(words.result(), Ok([1, u64::MAX, 0x0202]));
        let failed: ComRc<AsyncOperationRaw<[u64; 3]>> = object.later(1).unwrap().query().unwrap();
        assert_eq!(failed.result(), Err(NTSTATUS::CANCELLED));
    });
}
