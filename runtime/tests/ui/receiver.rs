//! An object belongs to all its clients, so a method takes `&self`.
use ntcom::{GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    pub trait IWrong: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn by_value(self) -> u32;
        fn exclusive(&mut self) -> u32;
        fn none(value: u32) -> u32;
        async fn boxed(self: Box<Self>) -> u32;
    }
}

fn main() {}
