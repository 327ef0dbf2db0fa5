//! A method's attributes also hold for clients, and an interface has its declared visibility.
#![deny(deprecated, unused_must_use)]

mod inner {
    use ntcom::{GUID, IUnknown, declare_com_interface};

    declare_com_interface! {
        pub(super) trait IOld: IUnknown {
            const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f9001";
            #[deprecated(note = "use `fresh`")]
            fn old(&self) -> u32;
        }
    }
    declare_com_interface! {
        trait IPrivate: IUnknown {
            const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f9002";
            fn private(&self) -> u32;
        }
    }
}

fn uses(object: &ntcom::ComRc<inner::IOldRaw>) {
    let _ = object.old();
}

fn sees(_: &ntcom::ComRc<inner::IPrivateRaw>) {}

fn main() {}
