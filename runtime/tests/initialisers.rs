//! Tests of how the bodies of declared methods get into their blocks, and of failures on the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use common::in_kernel;
use ntcom::{
    AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, KBox,
    NTSTATUS, This, declare_com_interface, pin_init,
};

declare_com_interface! {
    trait IFails: IUnknown {
        const IID: GUID = GUID::from_u128(0xb0);
        async fn refused(&self, status: NTSTATUS) -> u64;
        async fn aligned(&self) -> u64;
        async fn large(&self) -> u64;
        async fn panics(&self) -> u64;
        async fn recipe_panics(&self) -> u64;
        fn method_panics(&self);
        #[opaque]
        async fn strangers(&self) -> u64;
        #[opaque]
        async fn boxed(&self, n: u32) -> u64;
    }
}

/// A body that checks its alignment.
#[repr(align(256))]
struct Aligned(u64);

impl Future for Aligned {
    type Output = u64;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<u64> {
        Poll::Ready(core::ptr::from_ref(&*self).addr() as u64 % 256 + self.0)
    }
}

struct Large([u64; 2048]);

impl Future for Large {
    type Output = u64;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<u64> {
        Poll::Ready(self.0.iter().sum())
    }
}

struct Failing;

/// A driver's own recipe, which panics when it is taken apart.
struct PanickingRecipe;

impl<F> InitBoxTrait<F, GlobalAllocator, NTSTATUS> for PanickingRecipe {
    type Init = ntcom::alloc::InitWith<fn() -> Result<F, NTSTATUS>>;
    fn into_parts(self) -> (GlobalAllocator, Self::Init) {
        panic!("in a recipe");
    }
}

fn refuse(status: NTSTATUS) -> Result<u64, NTSTATUS> {
    if status == NTSTATUS::SUCCESS { Ok(1) } else { Err(status) }
}

fn panics() -> u64 {
    panic!("in an initialiser");
}

// SAFETY: the bodies touch no memory but their own.
unsafe impl IFails for Failing {
    type Allocator = GlobalAllocator;
    type RefusedFuture = core::future::Ready<u64>;
    type AlignedFuture = Aligned;
    type LargeFuture = Large;
    type PanicsFuture = core::future::Ready<u64>;
    type RecipePanicsFuture = core::future::Ready<u64>;
    fn refused(&self, status: NTSTATUS) -> impl InitBoxTrait<Self::RefusedFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(refuse(status)?)))
    }
    fn aligned(&self) -> impl InitBoxTrait<Aligned, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Aligned(7)))
    }
    fn large(&self) -> impl InitBoxTrait<Large, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Large([1; 2048])))
    }
    fn panics(&self) -> impl InitBoxTrait<Self::PanicsFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(panics())))
    }
    fn recipe_panics(&self) -> impl InitBoxTrait<Self::RecipePanicsFuture, GlobalAllocator, NTSTATUS> {
        PanickingRecipe
    }
    fn method_panics(&self) {
        panic!("in a method");
    }
    fn strangers(&self) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, |this: This<u64>| async move { *this })
    }
    fn boxed(&self, n: u32) -> impl AsyncBody<u64, GlobalAllocator, NTSTATUS> {
        InitBox::new(
            GlobalAllocator,
            pin_init!({
                let boxed = KBox::new(u64::from(n))?;
                async move { *boxed }
            }),
        )
    }
}

fn failing() -> ComRc<IFailsRaw> {
    ComObject::<_, IFailsRaw>::new(Failing).unwrap()
}

#[test]
fn the_status_of_a_failing_initialiser_reaches_the_client_in_the_block_that_is_there() {
    in_kernel(|| {
        let object = failing();
        let before = ntsim::counters().allocations;
        let denied = NTSTATUS::from_u32(0xC000_0022);
        let operation = object.refused(denied).unwrap();
        assert_eq!(ntsim::counters().allocations, before + 1);
        assert_eq!((operation.status(), operation.result()), (Ok(AsyncStatus::Error), Err(denied)));
        assert_eq!(object.refused(NTSTATUS::PENDING).unwrap().result(), Err(NTSTATUS::UNSUCCESSFUL));
        assert_eq!(object.refused(NTSTATUS::SUCCESS).unwrap().result(), Ok(1));
        drop(object);
        assert_eq!(ntsim::counters().live_blocks, 1, "the object is gone: a failed body holds no reference");
        drop(operation);
    });
}

#[test]
fn without_memory_an_async_method_answers_the_constant_operation() {
    in_kernel(|| {
        let object = failing();
        ntsim::fail_allocation(0);
        let operation = object.refused(NTSTATUS::NOT_SUPPORTED).unwrap();
        assert_eq!(
            operation.result(),
            Err(NTSTATUS::INSUFFICIENT_RESOURCES),
            "the initialiser was not called"
        );
        ntsim::fail_allocation(1);
        assert_eq!(object.boxed(1).unwrap().result(), Err(NTSTATUS::INSUFFICIENT_RESOURCES), "nor its box");
        assert_eq!(object.boxed(7).unwrap().result(), Ok(7));
    });
}

#[test]
fn large_and_over_aligned_bodies_are_where_they_belong() {
    in_kernel(|| {
        let object = failing();
        assert_eq!(object.aligned().unwrap().result(), Ok(7));
        assert_eq!(object.large().unwrap().result(), Ok(2048));
    });
}

#[test]
fn a_recipe_for_another_object_is_an_error() {
    in_kernel(|| {
        assert_eq!(failing().strangers().unwrap().result(), Err(NTSTATUS::DRIVER_INTERNAL_ERROR));
    });
}

/// Asserts that a panic that unwinds fails fast `[C12]`.
///
/// The program runs in a process of its own, and sets a hook that replaces the one by which the
/// simulated kernel ends the run at the panic.
fn panics_are_fail_fast(test: &str, said: &str, program: impl FnOnce() + 'static) {
    const CHILD: &str = "NTCOM_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        in_kernel(|| ());
        std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
        return in_kernel(program);
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.code().is_none(), "{:?}: {printed}", child.status);
    assert!(printed.contains(said), "{printed}");
    // The stop code is KERNEL_SECURITY_CHECK_FAILURE with FAST_FAIL_FATAL_APP_EXIT.
    assert!(printed.contains("0x139") && printed.contains("parameter 1: 0x7 "), "{printed}");
}

#[test]
fn a_panic_in_an_initialiser_fails_fast() {
    let program = || drop(failing().panics());
    panics_are_fail_fast("a_panic_in_an_initialiser_fails_fast", "in an initialiser", program);
}

#[test]
fn a_panic_in_a_recipe_fails_fast() {
    let program = || drop(failing().recipe_panics());
    panics_are_fail_fast("a_panic_in_a_recipe_fails_fast", "in a recipe", program);
}

#[test]
fn a_panic_in_a_method_fails_fast() {
    let program = || assert_eq!(failing().method_panics(), Ok(()));
    panics_are_fail_fast("a_panic_in_a_method_fails_fast", "in a method", program);
}
