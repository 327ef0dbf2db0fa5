//! Values travel over kernel stacks, so a declared method refuses values larger than a page.
use ntcom::{AbiType, GUID, IUnknown, NTSTATUS, declare_com_interface};

#[repr(C)]
#[derive(Clone, Copy, AbiType)]
struct Megabyte([u8; 1 << 20]);

declare_com_interface! {
    pub trait IHandsOut: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e12";
        fn at_once(&self) -> Result<[u8; 4097], NTSTATUS>;
    }
}

declare_com_interface! {
    pub trait IYields: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e13";
        #[opaque]
        async fn later(&self) -> Megabyte;
    }
}

fn main() {}
