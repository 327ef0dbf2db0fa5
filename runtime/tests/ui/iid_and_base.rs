//! Every interface has exactly one IID and one base.
use ntcom::{GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    pub trait INoIid: IUnknown {
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait INoBase {
        const IID: GUID = GUID::from_u128(1);
    }
}

declare_com_interface! {
    pub trait ITwoBases: IUnknown + Send {
        const IID: GUID = GUID::from_u128(1);
    }
}

declare_com_interface! {
    pub unsafe trait IUnsafe: IUnknown {
        const IID: GUID;
        type Other;
    }
}

fn main() {}
