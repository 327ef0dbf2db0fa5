//! Types of value that the clients know, with one value of each. The bytes of a value identify it.

use ntcom::AsyncValueType;

/// A type, and one value of it.
pub trait Value: AsyncValueType {
    /// The number of the type in `abi_kind`.
    const KIND: i32;
    /// For each byte, whether it is a part of the value. The padding is not, and a client must find
    /// it zeroed.
    const PARTS: &'static [u8];
    /// The value.
    const GRAFFITI: &'static Self;

    /// The value that a body yields, with nonzero padding.
    fn yielded() -> Self {
        *Self::GRAFFITI
    }
}

impl Value for () {
    const KIND: i32 = 0;
    const PARTS: &'static [u8] = &[];
    const GRAFFITI: &'static Self = &();
}

impl Value for u8 {
    const KIND: i32 = 1;
    const PARTS: &'static [u8] = &[1; 1];
    const GRAFFITI: &'static Self = &0x81;
}

impl Value for u32 {
    const KIND: i32 = 2;
    const PARTS: &'static [u8] = &[1; 4];
    const GRAFFITI: &'static Self = &0x3332_3130;
}

impl Value for u64 {
    const KIND: i32 = 3;
    const PARTS: &'static [u8] = &[1; 8];
    const GRAFFITI: &'static Self = &0x6766_6564_6362_6160;
}

/// `abi_padded`, which has padding between the fields and behind them.
#[repr(C)]
#[derive(Clone, Copy, Debug, ntcom::AbiType)]
pub struct Padded {
    tag: u8,
    number: u64,
    half: u16,
}

impl Value for Padded {
    const KIND: i32 = 4;
    const PARTS: &'static [u8] = &[1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0];
    const GRAFFITI: &'static Self = &Self { tag: 0x40, number: 0x4F4E_4D4C_4B4A_4948, half: 0x5150 };

    fn yielded() -> Self {
        let mut value = core::mem::MaybeUninit::<Self>::uninit();
        // SAFETY: `value` is large enough for its own bytes.
        unsafe { value.as_mut_ptr().cast::<u8>().write_bytes(0xCC, size_of::<Self>()) };
        // SAFETY: all bytes are set, and any bytes are valid numbers.
        let place = unsafe { value.assume_init_mut() };
        (place.tag, place.number, place.half) =
            (Self::GRAFFITI.tag, Self::GRAFFITI.number, Self::GRAFFITI.half);
        *place
    }
}

/// `abi_aligned`, which is aligned more strictly than pool memory.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, ntcom::AbiType)]
pub struct Aligned([u8; 64]);

impl Value for Aligned {
    const KIND: i32 = 5;
    const PARTS: &'static [u8] = &[1; 64];
    const GRAFFITI: &'static Self = {
        #[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, once")]
        const VALUE: Aligned = {
            let mut bytes = [0x80; 64];
            let mut index = 0;
            while index < bytes.len() {
                bytes[index] += index as u8;
                index += 1;
            }
            Aligned(bytes)
        };
        &VALUE
    };
}

/// `abi_page`, which has 4 KiB.
impl Value for [u32; 1024] {
    const KIND: i32 = 6;
    const PARTS: &'static [u8] = &[1; 4096];
    const GRAFFITI: &'static Self = {
        #[expect(clippy::indexing_slicing, reason = "the compiler evaluates it, once")]
        const VALUE: [u32; 1024] = {
            let mut words = [0x5047_0000; 1024];
            let mut index = 0;
            while index < words.len() {
                words[index] |= index as u32;
                index += 1;
            }
            words
        };
        &VALUE
    };
}
