//! Shapes of types that are refused before their layout is looked at.
use ntcom::{GUID, IUnknown, NTSTATUS, declare_com_interface};

declare_com_interface! {
    pub trait IWrong: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn reference(&self, text: &u32);
        fn slice(&self, bytes: [u8]);
        fn tuple(&self) -> (u32, u32);
        fn anything(&self, closure: impl Fn());
        fn result(&self) -> Result<u32, NTSTATUS>;
        async fn other_error(&self) -> Result<u32, u32>;
        fn pattern(&self, (a, b): u64);
    }
}

fn main() {}
