//! Types that are refused by their form, before their layout is checked.
use ntcom::{ComRc, GUID, IUnknown, IUnknownRaw, declare_com_interface};

type Result<T> = core::result::Result<T, ntcom::NTSTATUS>;

declare_com_interface! {
    pub trait IWrong: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn reference(&self, text: &u32);
        fn slice(&self, bytes: [u8]);
        fn tuple(&self) -> (u32, u32);
        fn anything(&self, closure: impl Fn());
        fn result(&self) -> Result<u32>;
        fn interface(&self) -> ComRc<IUnknownRaw>;
        async fn other_error(&self) -> core::result::Result<u32, u32>;
        fn pattern(&self, (a, b): u64);
    }
}

fn main() {}
