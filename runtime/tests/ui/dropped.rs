//! The macro drops nothing silently, and refuses names that a table or trait would have twice.
use ntcom::{GUID, IUnknown, declare_com_interface};

declare_com_interface! {
    pub trait IConditional: IUnknown {
        #[cfg(any())]
        const IID: GUID = GUID::from_u128(1);
        fn argument(&self, #[cfg(any())] channel: u32);
        fn receiver(#[cfg(any())] &self);
        fn documented(&self, #[allow(unused)] channel: u32);
    }
}

declare_com_interface! {
    pub trait INames: IUnknown {
        const IID: GUID = GUID::from_u128(2);
        fn base(&self) -> u32;
        async fn get_status(&self) -> u32;
        async fn get__status(&self) -> u32;
    }
}

declare_com_interface! {
    pub auto trait IAuto: ?IUnknown {
        const IID: GUID = GUID::from_u128(3);
        fn method(&self) -> u32;
    }
}

declare_com_interface! {
    pub trait IUnknown: ntcom::IUnknown {
        const IID: GUID = GUID::from_u128(4);
        fn method(&self) -> u32;
    }
}

fn main() {}
