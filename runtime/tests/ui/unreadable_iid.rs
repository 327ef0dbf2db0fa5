//! The macro reads the IID, so that a second declaration with it does not link, or needs `unsafe`.
use ntcom::{GUID, IUnknown, declare_com_interface, iid};

const MINE: GUID = GUID::from_u128(1);

declare_com_interface! {
    pub trait IConstant: IUnknown {
        const IID: GUID = MINE;
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IComputed: IUnknown {
        const IID: GUID = GUID::from_u128(1 + 1);
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait ITooLarge: IUnknown {
        const IID: GUID = GUID { data1: 1, data2: 0x1_0000, data3: 3, data4: [4; 8] };
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait ITooShort: IUnknown {
        const IID: GUID = GUID { data1: 1, data2: 2, data3: 3, data4: [4; 7] };
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait ISecondOne: IUnknown {
        const IID: GUID = GUID::from_u128(2);
        unsafe const IID: GUID = MINE;
        fn method(&self) -> u32;
    }
}

const HAND_WRITTEN: GUID = iid!("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7g01");

fn main() {}
