//! Bodies run at DISPATCH_LEVEL, which the compiler cannot check, so the `impl` must be `unsafe`.
use ntcom::{GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, NTSTATUS, declare_com_interface, pin_init};

declare_com_interface! {
    pub trait IWork: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        async fn work(&self) -> u32;
    }
}

struct Worker;

impl IWork for Worker {
    type Allocator = GlobalAllocator;
    type WorkFuture = core::future::Ready<u32>;
    fn work(&self) -> impl InitBoxTrait<Self::WorkFuture, Self::Allocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(1)))
    }
}

fn main() {}
