//! IIDs of other interfaces with shorter tables, and a base's table and pointer that do not match.
use ntcom::{AsyncControlRaw, GUID, IUnknown, IUnknownRaw, declare_com_interface};

declare_com_interface! {
    pub trait IBase: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn one(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait INextVersion: IBase {
        const IID: GUID = GUID::from_u128(1);
        fn two(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IEveryObject: IUnknown {
        unsafe const IID: GUID = <IUnknownRaw as ntcom::Interface>::IID;
        fn three(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IEveryOperation: IUnknown {
        unsafe const IID: GUID = <AsyncControlRaw as ntcom::Interface>::IID;
        fn cancel(&self) -> u64;
    }
}

mod other {
    use super::*;
    declare_com_interface! {
        pub trait IBase: IUnknown {
            const IID: GUID = GUID::from_u128(2);
            fn one(&self) -> u64;
        }
    }
}

mod mixed {
    use super::{GUID, IBase, IBaseVtbl, declare_com_interface, other::IBaseRaw};
    declare_com_interface! {
        pub trait IDerived: IBase {
            const IID: GUID = GUID::from_u128(3);
            fn two(&self) -> u32;
        }
    }
}

fn main() {}
