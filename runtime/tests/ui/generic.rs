//! A slot is one function, so a method cannot be generic.
use ntcom::{GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    pub trait IWrong: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn generic<T>(&self, value: T) -> u32;
        fn lifetime<'a>(&'a self) -> u32;
        fn has_a_body(&self) -> u32 { 1 }
        extern "C" fn other_abi(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IGeneric<T>: IUnknown where T: Copy {
        const IID: GUID = GUID::from_u128(2);
    }
}

fn main() {}
