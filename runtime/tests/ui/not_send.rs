//! A body runs on any processor that wakes it, and has no limit to its lifetime.
use core::cell::Cell;
use ntcom::{AsyncBody, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, declare_com_interface, pin_init};

declare_com_interface! {
    pub trait IWork: IUnknown {
        const IID: GUID = GUID::from_u128(1);
        #[opaque]
        async fn work(&self) -> u32;
    }
}

struct Worker(u32);

unsafe impl IWork for Worker {
    type Allocator = GlobalAllocator;
    fn work(&self) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        let cell = Cell::new(1);
        InitBox::new(GlobalAllocator, pin_init!(async move {
            let borrowed = &cell;
            core::future::ready(()).await;
            borrowed.get()
        }))
    }
}

struct Borrower(u32);

unsafe impl IWork for Borrower {
    type Allocator = GlobalAllocator;
    fn work(&self) -> impl AsyncBody<u32, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(async move { self.0 }))
    }
}

fn main() {}
