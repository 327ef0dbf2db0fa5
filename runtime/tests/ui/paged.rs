//! The block of an operation may be freed at DISPATCH_LEVEL.
use core::{alloc::Layout, ptr::NonNull};
use ntcom::{Allocator, GUID, IUnknown, InitBox, InitBoxTrait, NTSTATUS, declare_com_interface, pin_init};

#[derive(Clone, Copy)]
struct Paged;

// SAFETY: it never returns memory.
unsafe impl Allocator for Paged {
    const NON_PAGED: bool = false;
    fn allocate(&self, _layout: Layout) -> Option<NonNull<u8>> {
        None
    }
    unsafe fn free(&self, _memory: NonNull<u8>, _layout: Layout) {}
}

declare_com_interface! {
    pub trait IWork: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        async fn work(&self) -> u32;
    }
}

struct Worker;

unsafe impl IWork for Worker {
    type Allocator = Paged;
    type WorkFuture = core::future::Ready<u32>;
    fn work(&self) -> impl InitBoxTrait<Self::WorkFuture, Paged, NTSTATUS> {
        InitBox::new(Paged, pin_init!(core::future::ready(1)))
    }
}

fn main() {}
