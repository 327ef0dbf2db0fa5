//! A call on a `ComRc` would find another method.
use ntcom::{ComRc, GUID, IUnknown, IUnknownRaw, NTSTATUS, declare_com_interface};

declare_com_interface! {
    pub trait INames: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn clone(&self) -> Result<ComRc<IUnknownRaw>, NTSTATUS>;
        fn as_ptr(&self) -> *const u8;
        fn query(&self) -> u32;
        fn r#into(&self) -> u32;
        fn base(&self) -> u32;
    }
}

fn main() {}
