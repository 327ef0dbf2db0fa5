//! A type without a C layout cannot cross, by value or behind a pointer.
use ntcom::{GUID, IUnknown, declare_com_interface};

struct Rusty(#[allow(dead_code)] u32);

declare_com_interface! {
    pub trait IWrong: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn boolean(&self, on: bool) -> u32;
        fn string(&self) -> String;
        fn behind(&self, pointer: *const Rusty) -> u32;
        fn by_value(&self, guid: GUID) -> u32;
        async fn yields(&self) -> Rusty;
    }
}

fn main() {}
