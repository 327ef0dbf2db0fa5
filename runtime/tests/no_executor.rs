//! Tests that declared async methods compile without an executor, and return an operation that
//! reports it `[C21]`.
//!
//! It needs a build with `async-com` alone, as `cargo xtask features` makes.
#![cfg(not(any(feature = "async-com-kernel", feature = "sim")))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use ntcom::{
    AsyncBody, AsyncStatus, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, NTSTATUS,
    declare_com_interface, pin_init, spawn_async_operation,
};
use ntsim::{Config, Schedule, Simulation};

declare_com_interface! {
    trait IWork: IUnknown {
        const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7c02);
        async fn named(&self) -> u32;
        #[opaque]
        async fn opaque(&self) -> Result<u32, NTSTATUS>;
    }
}

struct Work;

// SAFETY: the bodies touch no memory but their own.
unsafe impl IWork for Work {
    type Allocator = GlobalAllocator;
    type NamedFuture = core::future::Ready<u32>;
    fn named(&self) -> impl InitBoxTrait<Self::NamedFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(1)))
    }
    fn opaque(&self) -> impl AsyncBody<Result<u32, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(async { Ok(1) }))
    }
}

#[test]
fn spawning_answers_an_operation_that_is_not_supported() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let program = || {
        let object = ComObject::<_, IWorkRaw>::new(Work).unwrap();
        for operation in
            [object.named().unwrap(), object.opaque().unwrap(), spawn_async_operation(async { 1 })]
        {
            assert_eq!(operation.status(), Ok(AsyncStatus::Error));
            assert_eq!(operation.result(), Err(NTSTATUS::NOT_SUPPORTED));
            operation.control().unwrap().cancel().unwrap();
        }
    };
    kernel.run_on(0, program).unwrap();
    kernel.unload().unwrap();
}
