//! An operation copies its result to each client that asks, so the type must be `Copy`.
use ntcom::{AbiType, GUID, IUnknown, declare_com_interface};

#[repr(C)]
#[derive(AbiType)]
struct NotCopy {
    value: u32,
}

declare_com_interface! {
    pub trait IWrong: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        async fn yields(&self) -> NotCopy;
    }
}

fn main() {}
