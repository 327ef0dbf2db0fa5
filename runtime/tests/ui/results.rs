//! The types in a `Result` that crosses an interface.
use ntcom::{GUID, IUnknown, NTSTATUS, declare_com_interface};

struct Rusty;

#[repr(C)]
#[derive(ntcom::AbiType)]
struct NotCopy {
    value: u32,
}

declare_com_interface! {
    trait IWrong: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        fn error(&self) -> Result<u32, Rusty>;
        fn value(&self) -> Result<bool, NTSTATUS>;
        fn copied(&self) -> Result<NotCopy, NTSTATUS>;
    }
}

fn main() {}
