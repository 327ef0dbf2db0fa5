//! Tests that memory goes back to the allocator that it came from, with the same layout, after its
//! contents have been dropped in place.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    alloc::Layout,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    task::{Context, Poll},
};
use std::sync::{Arc, Mutex};

use common::in_kernel;
use ntcom::{
    Allocator, AsyncBody, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, KBox, NTSTATUS,
    NonPaged, OwnedUnicodeString, SpawnOperation as _, TaskBuilder, This,
    alloc::{from_pin_init, init_with},
    declare_com_interface, pin_init,
};

/// The memory that an allocator has given out, and the events in their order.
#[derive(Default)]
struct Books {
    live: Vec<(usize, Layout)>,
    events: Vec<&'static str>,
}

/// An allocator that records its calls and its own drop.
#[derive(Clone)]
struct Bookkeeper(Arc<Mutex<Books>>);

impl Bookkeeper {
    fn new() -> (Self, Shared) {
        let books = Shared::default();
        (Self(Arc::clone(&books)), books)
    }
}

type Shared = Arc<Mutex<Books>>;

fn happened(books: &Shared, event: &'static str) {
    books.lock().unwrap().events.push(event);
}

fn events(books: &Shared) -> Vec<&'static str> {
    core::mem::take(&mut books.lock().unwrap().events)
}

// SAFETY: the memory is that of `GlobalAllocator`, which is non-paged and does not unwind.
unsafe impl Allocator for Bookkeeper {
    const NON_PAGED: bool = true;
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        let memory = GlobalAllocator.allocate(layout)?;
        self.0.lock().unwrap().live.push((memory.addr().get(), layout));
        Some(memory)
    }
    unsafe fn free(&self, memory: NonNull<u8>, layout: Layout) {
        let mut books = self.0.lock().unwrap();
        let asked = books.live.iter().position(|block| *block == (memory.addr().get(), layout));
        let event = match asked {
            Some(index) => {
                books.live.swap_remove(index);
                "freed"
            }
            None => "freed as what was never given out",
        };
        books.events.push(event);
        // SAFETY: the caller passes memory from this allocator, which took it from
        // `GlobalAllocator` with the same layout.
        unsafe { GlobalAllocator.free(memory, layout) }
    }
}
// SAFETY: `GlobalAllocator` is non-paged, and the allocator itself is too.
unsafe impl NonPaged for Bookkeeper {}

impl Drop for Bookkeeper {
    fn drop(&mut self) {
        happened(&self.0, "allocator dropped");
    }
}

/// An over-aligned value that must not move once it has been seen.
#[repr(align(64))]
struct Value {
    books: Shared,
    /// The address at which it was last seen.
    at: AtomicUsize,
}

impl Value {
    fn new(books: &Shared) -> Self {
        Self { books: Arc::clone(books), at: AtomicUsize::new(0) }
    }
    fn look(&self) -> usize {
        let at = core::ptr::from_ref(self).addr();
        self.at.store(at, SeqCst);
        at
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let at = self.at.load(SeqCst);
        let moved = at != 0 && at != core::ptr::from_ref(self).addr();
        happened(&self.books, if moved { "value dropped elsewhere" } else { "value dropped" });
    }
}

impl Future for Value {
    type Output = u8;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<u8> {
        assert_eq!(self.look() % 64, 0);
        Poll::Ready(1)
    }
}

declare_com_interface! {
    /// An interface that tells the value's address.
    trait IPlace: IUnknown {
        const IID: GUID = GUID::from_u128(0xa110_c001);
        /// The value's address.
        fn place(&self) -> usize;
    }
}

impl IPlace for Value {
    fn place(&self) -> usize {
        self.look()
    }
}

const IN_ORDER: [&str; 3] = ["value dropped", "freed", "allocator dropped"];

#[test]
fn a_strings_memory_goes_back_as_it_came() {
    in_kernel(|| {
        let (allocator, books) = Bookkeeper::new();
        let name = OwnedUnicodeString::new_in("Sensor", allocator).unwrap();
        drop(OwnedUnicodeString::copy_in(name.as_unicode(), Bookkeeper(Arc::clone(&books))).unwrap());
        assert_eq!(events(&books), ["freed", "allocator dropped"]);
        drop(name);
        assert_eq!(events(&books), ["freed", "allocator dropped"]);
    });
}

#[test]
fn a_box_drops_its_value_frees_its_memory_and_drops_its_allocator() {
    in_kernel(|| {
        let (allocator, books) = Bookkeeper::new();
        let boxed = KBox::new_in(Value::new(&books), allocator).unwrap();
        assert_eq!(boxed.look() % 64, 0);
        assert_eq!(events(&books), [""; 0]);
        drop(boxed);
        assert_eq!(events(&books), IN_ORDER);
    });
}

#[test]
fn a_box_for_nothing_is_a_box() {
    in_kernel(|| {
        let (allocator, books) = Bookkeeper::new();
        drop(KBox::new_in((), allocator).unwrap());
        assert_eq!(events(&books), ["freed", "allocator dropped"]);
        assert!(KBox::new(()).is_ok());
    });
}

#[test]
fn an_object_drops_its_value_frees_its_memory_and_drops_its_allocator() {
    in_kernel(|| {
        let (allocator, books) = Bookkeeper::new();
        let object = ComObject::<_, IPlaceRaw, _>::new_in(Value::new(&books), allocator).unwrap();
        assert_eq!(object.place().unwrap() % 64, 0);
        let this = This::<Value>::of(&object).unwrap();
        drop(object);
        let again = this.clone();
        drop(this);
        assert_eq!(again.look() % 64, 0);
        assert_eq!(events(&books), [""; 0], "one of the two is left");
        drop(again);
        assert_eq!(events(&books), IN_ORDER);
    });
}

#[test]
fn an_operation_drops_its_body_at_its_end_and_the_rest_with_the_last_reference() {
    in_kernel(|| {
        let (allocator, books) = Bookkeeper::new();
        let body = Value::new(&books);
        let operation = TaskBuilder::new().allocator(allocator).spawn_operation(init_with(|| Ok(body)));
        assert_eq!(operation.result(), Ok(1));
        assert_eq!(events(&books), ["value dropped"]);
        drop(operation);
        assert_eq!(events(&books), ["freed", "allocator dropped"]);
    });
}

/// The memory goes back when nothing was built in it, too.
#[test]
fn a_failing_initialiser_leaves_no_memory_behind() {
    const DENIED: NTSTATUS = NTSTATUS::from_u32(0xC000_0022);
    const GIVEN_BACK: [&str; 2] = ["freed", "allocator dropped"];
    in_kernel(|| {
        let (allocator, books) = Bookkeeper::new();
        let refused = KBox::<Value, _>::init_in(allocator, init_with(|| Err(DENIED)));
        assert_eq!(refused.err(), Some(DENIED));
        assert_eq!(events(&books), GIVEN_BACK);

        let (allocator, books) = Bookkeeper::new();
        let fails =
            pin_init::init_from_closure(|place: pin_init::PinUninit<'_, Value>| Err(place.init_err(DENIED)));
        let refused = KBox::<Value, _>::init_in(allocator, from_pin_init::<_, NTSTATUS>(fails));
        assert_eq!(refused.err(), Some(DENIED));
        assert_eq!(events(&books), GIVEN_BACK);

        let (allocator, books) = Bookkeeper::new();
        let refused = ComObject::<Value, IPlaceRaw, _>::init_in(allocator, init_with(|| Err(DENIED)));
        assert_eq!(refused.err(), Some(DENIED));
        assert_eq!(events(&books), GIVEN_BACK);
    });
}

declare_com_interface! {
    /// Async methods of each form, and one with a body that is never built.
    trait IOwner: IUnknown {
        const IID: GUID = GUID::from_u128(0xa110_c002);
        async fn named(&self) -> u64;
        #[opaque]
        async fn opaque(&self) -> u8;
        async fn fails(&self) -> u64;
    }
}

struct Owner(Bookkeeper);

// SAFETY: the bodies touch no memory but their own.
unsafe impl IOwner for Owner {
    type Allocator = Bookkeeper;
    type NamedFuture = core::future::Ready<u64>;
    type FailsFuture = core::future::Pending<u64>;
    fn named(&self) -> impl InitBoxTrait<Self::NamedFuture, Bookkeeper, NTSTATUS> {
        InitBox::new(self.0.clone(), pin_init!(core::future::ready(1)))
    }
    fn opaque(&self) -> impl AsyncBody<u8, Bookkeeper, NTSTATUS> {
        InitBox::new(self.0.clone(), pin_init!(async { 2 }))
    }
    fn fails(&self) -> impl InitBoxTrait<Self::FailsFuture, Bookkeeper, NTSTATUS> {
        InitBox::new(self.0.clone(), init_with(|| Err(NTSTATUS::NOT_SUPPORTED)))
    }
}

#[test]
fn the_blocks_of_declared_methods_go_back_where_they_came_from() {
    in_kernel(|| {
        let (allocator, books) = Bookkeeper::new();
        let live = || books.lock().unwrap().live.len();
        let object = ComObject::<_, IOwnerRaw, _>::new_in(Owner(allocator.clone()), allocator).unwrap();
        let operations = (object.named().unwrap(), object.opaque().unwrap(), object.fails().unwrap());
        assert_eq!(live(), 4);
        assert_eq!((operations.0.result(), operations.1.result()), (Ok(1), Ok(2)));
        assert_eq!(operations.2.result(), Err(NTSTATUS::NOT_SUPPORTED));
        drop(object);
        assert_eq!(live(), 3);
        drop(operations);
        assert_eq!(live(), 0);
        assert!(!events(&books).contains(&"freed as what was never given out"));
    });
}
