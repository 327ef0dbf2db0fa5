//! Compilers order overloads differently in a table, so they are refused.
use ntcom::{GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    pub trait ITwice: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn method(&self) -> u32;
        fn method(&self, value: u32) -> u32;
        fn Release(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IBase: IUnknown {
        const IID: GUID = GUID::from_u128(2);
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IDerived: IBase {
        const IID: GUID = GUID::from_u128(3);
        fn method(&self) -> u32;
    }
}

fn main() {}
