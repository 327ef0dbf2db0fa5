//! An expression that reads as one GUID and is another, and `unsafe const IID` under `forbid`.
#![forbid(unsafe_code)]
use ntcom::{IUnknown, declare_com_interface};

struct GUID;

impl GUID {
    const fn from_u128(digits: u128) -> ntcom::GUID {
        ntcom::GUID::from_u128(digits ^ 1)
    }
}

declare_com_interface! {
    pub trait IDisguised: IUnknown {
        const IID: ntcom::GUID = GUID::from_u128(4);
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IPromised: IUnknown {
        unsafe const IID: ntcom::GUID = GUID::from_u128(6);
        fn method(&self) -> u32;
    }
}

fn main() {}
