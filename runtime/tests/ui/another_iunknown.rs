//! A base that is named IUnknown but is not ntcom's, which makes objects `Send` and `Sync`.
use ntcom::{GUID, declare_com_interface};

trait IUnknown {}
impl<T> IUnknown for T {}

declare_com_interface! {
    pub trait ICounter: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn count(&self) -> u32;
    }
}

fn main() {}
