//! The interfaces of the objects, with their IIDs and their names.

use ntcom::{ComRc, GUID, IUnknown, IUnknownRaw, Interface, NTSTATUS, declare_com_interface};

declare_com_interface! {
    /// A root interface.
    pub trait IA: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0100);
        /// A method with one argument.
        fn a(&self, n: u32) -> u32;
    }
}
declare_com_interface! {
    /// An interface that is derived from a root.
    pub trait IB: IA {
        const IID: GUID = GUID::from_u128(0x5eed_0101);
        /// A method with arguments of several sizes.
        fn b(&self, n: u8, m: u64, o: u16) -> u64;
    }
}
declare_com_interface! {
    /// Another root interface.
    pub trait IC: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0102);
        /// A method with an out-parameter.
        unsafe fn c(&self, n: u32, out: *mut u64) -> NTSTATUS;
    }
}
declare_com_interface! {
    /// An interface that is derived from that root, with async methods.
    pub trait ID: IC {
        const IID: GUID = GUID::from_u128(0x5eed_0103);
        /// A method with a future that has a name.
        async fn named(&self, work: u32, n: u8) -> u64;
        /// A method with a future that has no name, and reaches its object.
        #[opaque]
        async fn opaque(&self, work: u32, n: u8) -> u64;
        /// A method that yields an interface of a new object with this number.
        #[opaque]
        async fn opens(&self, work: u32, number: u32) -> Result<ComRc<IARaw>, NTSTATUS>;
    }
}
declare_com_interface! {
    /// An interface three levels down.
    pub trait IE: IB {
        const IID: GUID = GUID::from_u128(0x5eed_0104);
        /// A method without arguments.
        fn e(&self) -> u64;
    }
}

/// The number of interfaces.
pub(super) const IFACES: usize = 6;
pub(super) const U: usize = 0;
pub(super) const A: usize = 1;
pub(super) const B: usize = 2;
pub(super) const C: usize = 3;
pub(super) const D: usize = 4;
pub(super) const E: usize = 5;

/// The interfaces' IIDs, and one that no object has.
pub(super) const IIDS: [GUID; IFACES + 1] = [
    IUnknownRaw::IID,
    IARaw::IID,
    IBRaw::IID,
    ICRaw::IID,
    IDRaw::IID,
    IERaw::IID,
    GUID::from_u128(0x5eed_01ff),
];
pub(super) const NAMES: [&str; IFACES + 1] =
    ["IUnknown", "IA", "IB", "IC", "ID", "IE", "an unknown interface"];

/// The answer of a method, which encodes the object's number, the method, and the argument.
pub(super) const fn answer(number: usize, method: u8, n: u64) -> u64 {
    (number as u64) << 56 ^ (method as u64) << 48 ^ n
}

const _: () = assert!(size_of::<IERaw>() == size_of::<usize>());
