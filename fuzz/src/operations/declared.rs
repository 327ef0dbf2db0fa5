//! Declared interfaces. An object's async methods run scripts, and the harness calls them through
//! the object's table.
//!
//! The interface has several async methods of both forms, one of them inherited. Initialisers
//! allocate or fail, and bodies fail or reach their object. The calls use the typed table that
//! `declare_com_interface!` made.

use core::{
    ffi::c_void,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use ntcom::{
    AsyncBody, AsyncOperationRaw, ComObject, GUID, GlobalAllocator, IUnknown, IUnknownRaw, IUnknownVtbl,
    InitBox, InitBoxTrait, Interface, KBox, NTSTATUS, This, declare_com_interface, pin_init,
};
use ntcom_fuzz_model::{
    call::{Call, Init, Method},
    event::Event,
    limits::{INTERFACES, OPERATIONS},
    ops::has_interface,
    status::STATUSES,
};

use super::{
    body::{self, Body, Part},
    value::{Aligned, OperationValue, Padded},
    world::{self, OperationWorld},
};
use crate::harness::slots::{self, slot};

/// An operation's number and its call, as they cross the interface to a method.
#[repr(transparent)]
#[derive(Clone, Copy, ntcom::AbiType, ntcom::AbiValue)]
pub struct Token(u64);

impl Token {
    fn new(operation: usize, call: Call) -> Self {
        Self(operation as u64 | u64::from(call.pack()) << 8)
    }

    fn operation(self) -> usize {
        (self.0 & 0xFF) as usize
    }
}

declare_com_interface! {
    /// The base of the harness's interface.
    pub trait IBase: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0001);
        /// Answers at once with the sum of the argument and the object's number.
        fn echo(&self, number: u32) -> u32;
        /// An inherited method with a named future.
        async fn inherited(&self, token: Token, steps: u64) -> u64;
    }
}

declare_com_interface! {
    /// The harness's interface.
    pub trait IProbe: IBase {
        const IID: GUID = GUID::from_u128(0x5eed_0002);
        /// A method with a named future and no value.
        async fn named(&self, token: Token, steps: u64);
        /// A method with a future that has no name.
        #[opaque]
        async fn opaque(&self, token: Token, steps: u64) -> u8;
        /// A method with an over-aligned value.
        #[opaque]
        async fn aligned(&self, token: Token, steps: u64) -> Aligned;
        /// A method that may fail by itself.
        #[opaque]
        async fn fallible(&self, token: Token, steps: u64) -> Result<u64, NTSTATUS>;
        /// A method with a body that reaches its object.
        #[opaque]
        async fn reaching(&self, token: Token, steps: u64) -> Padded;
    }
}

/// The object, which holds its number.
struct Probe(usize);

impl Drop for Probe {
    fn drop(&mut self) {
        let number = self.0;
        world::with(|world| {
            let object = &world.objects[number];
            object.drops.set(object.drops.get() + 1);
            world.happened(OPERATIONS + number, Event::Dropped);
            if object.drops.get() > 1 {
                ntsim::fail("C3", format!("object {number} is dropped a second time"));
            }
            if object.ledger.get() > 0 {
                ntsim::fail("C3", format!("object {number} is dropped while clients hold it"));
            }
            if let Some(operation) = world.body_of(number) {
                ntsim::fail(
                    "C19",
                    format!("object {number} is dropped while the body of operation {operation} lives"),
                );
            }
        });
    }
}

/// A body that has a name and runs a plain script.
pub struct Named<T> {
    part: Part,
    _value: PhantomData<fn() -> T>,
}

impl<T: OperationValue> Future for Named<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let operation = self.part.operation();
        Pin::new(&mut self.part).poll(context).map(|()| T::of(operation))
    }
}

/// Does the initialiser's part before it makes the body. It fails, allocates, or does nothing.
fn prepare(call: Call) -> Result<Option<KBox<[u8; 40]>>, NTSTATUS> {
    match call.init {
        Init::Plain => Ok(None),
        Init::Allocates => KBox::new([0xB0; 40]).map(Some),
        Init::Fails(index) => Err(NTSTATUS::from_u32(STATUSES[usize::from(index)])),
    }
}

/// The state from which a call makes its body.
struct Made {
    operation: usize,
    call: Call,
    /// Memory that the initialiser has allocated. It lives as long as the body.
    memory: Option<KBox<[u8; 40]>>,
}

impl Made {
    /// Prepares the call. The initialiser calls this.
    fn new(object: usize, token: Token, steps: u64) -> Result<Self, NTSTATUS> {
        let call = Call::unpack((token.0 >> 8) as u32, steps);
        let operation = token.operation();
        let memory = prepare(call)?;
        world::with(|world| world.slot(operation).body_object.set(Some(object)));
        Ok(Self { operation, call, memory })
    }

    fn named<T: OperationValue>(self) -> Body<Named<T>> {
        let part = Part::new(self.operation, self.call.script, 0);
        Body::new(self.operation, self.call.script, self.memory, Named { part, _value: PhantomData })
    }

    fn opaque<T: OperationValue>(self) -> impl Future<Output = T> + Send + 'static {
        let inner = body::script::<T>(self.operation, self.call.script);
        Body::new(self.operation, self.call.script, self.memory, inner)
    }
}

// SAFETY: the harness gives bodies only steps that are legal at DISPATCH_LEVEL.
unsafe impl IBase for Probe {
    type Allocator = GlobalAllocator;
    type InheritedFuture = Body<Named<u64>>;
    fn echo(&self, number: u32) -> u32 {
        number.wrapping_add(self.0 as u32)
    }
    fn inherited(
        &self,
        token: Token,
        steps: u64,
    ) -> impl InitBoxTrait<Self::InheritedFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Made::new(self.0, token, steps)?.named()))
    }
}

// SAFETY: the harness gives bodies only steps that are legal at DISPATCH_LEVEL.
unsafe impl IProbe for Probe {
    type Allocator = GlobalAllocator;
    type NamedFuture = Body<Named<()>>;
    fn named(
        &self,
        token: Token,
        steps: u64,
    ) -> impl InitBoxTrait<Self::NamedFuture, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Made::new(self.0, token, steps)?.named()))
    }
    fn opaque(&self, token: Token, steps: u64) -> impl AsyncBody<u8, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Made::new(self.0, token, steps)?.opaque()))
    }
    fn aligned(&self, token: Token, steps: u64) -> impl AsyncBody<Aligned, GlobalAllocator, NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(Made::new(self.0, token, steps)?.opaque()))
    }
    fn fallible(
        &self,
        token: Token,
        steps: u64,
    ) -> impl AsyncBody<Result<u64, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        InitBox::new(
            GlobalAllocator,
            pin_init!({
                let made = Made::new(self.0, token, steps)?;
                let reason = made.call.failure();
                let inner = made.opaque::<u64>();
                async move {
                    let value = inner.await;
                    reason.map_or(Ok(value), |status| Err(NTSTATUS::from_u32(status)))
                }
            }),
        )
    }
    fn reaching(&self, token: Token, steps: u64) -> impl AsyncBody<Padded, GlobalAllocator, NTSTATUS> {
        InitBox::with_this(GlobalAllocator, move |this: This<Self>| {
            // An initialiser of this form cannot fail, so it allocates no memory of its own.
            let call = Call::unpack((token.0 >> 8) as u32, steps);
            let operation = token.operation();
            world::with(|world| world.slot(operation).body_object.set(Some(this.0)));
            let inner = async move {
                let value = body::script::<Padded>(operation, call.script).await;
                world::with(|world| body::log(world, operation, 0x80 | this.0 as u64));
                value
            };
            Body::new(operation, call.script, None, inner)
        })
    }
}

/// Makes the object with this number and one reference. `None` if there is no memory.
pub fn make(number: usize) -> Option<*mut c_void> {
    let object = ComObject::<_, IProbeRaw, _>::init_in(GlobalAllocator, pin_init!(Probe(number))).ok()?;
    Some(object.into_raw().cast())
}

/// The table of an object.
///
/// # Safety
/// `this` is a live object.
unsafe fn table(this: *mut c_void) -> &'static IProbeVtbl {
    // SAFETY: the caller passes a live object, and this is the table of its interface.
    unsafe { slots::table(this, "layout", "an object") }
}

fn legal(world: &OperationWorld, number: usize) -> *mut c_void {
    world.steps.tried();
    world.steps.reached();
    let object = &world.objects[number];
    if object.ledger.get() == 0 {
        ntsim::fail(super::call::ILLEGAL, format!("object {number} is called without a reference to it"));
    }
    object.this.get()
}

/// Calls an async method. Returns an operation with a reference, or null.
pub fn call(
    world: &OperationWorld,
    number: usize,
    operation: usize,
    call: Call,
) -> *mut AsyncOperationRaw<u8> {
    let this = legal(world, number);
    // SAFETY: the caller has a reference.
    let table = unsafe { table(this) };
    let (token, steps) = (Token::new(operation, call), call.steps());
    macro_rules! through {
        ($slot:expr, $name:literal) => {
            // SAFETY: the caller has a reference.
            unsafe { slot($slot, $name)(this, token, steps) }.cast()
        };
    }
    match call.method {
        Method::Inherited => through!(table.base.inherited, "inherited"),
        Method::Named => through!(table.named, "named"),
        Method::Opaque => through!(table.opaque, "opaque"),
        Method::Aligned => through!(table.aligned, "aligned"),
        Method::Fallible => through!(table.fallible, "fallible"),
        Method::Reaching => through!(table.reaching, "reaching"),
    }
}

/// Calls the method that answers at once.
pub fn echo(world: &OperationWorld, number: usize, argument: u32) -> u32 {
    let this = legal(world, number);
    // SAFETY: the caller has a reference.
    let table = unsafe { table(this) };
    // SAFETY: the caller has a reference.
    unsafe { slot(table.base.echo, "echo")(this, argument) }
}

fn unknown(world: &OperationWorld, number: usize) -> (*mut c_void, IUnknownVtbl) {
    let this = legal(world, number);
    // SAFETY: the caller has a reference.
    (this, unsafe { table(this) }.base.base)
}

/// `AddRef`. Returns true if it answers zero.
pub fn add_ref(world: &OperationWorld, number: usize) -> bool {
    let (this, table) = unknown(world, number);
    // SAFETY: the caller has a reference.
    let count = unsafe { slot(table.AddRef, "AddRef")(this) };
    let ledger = &world.objects[number].ledger;
    ledger.set(ledger.get() + 1);
    count == 0
}

/// `Release`. It consumes the caller's reference and returns true if it answers zero.
pub fn release(world: &OperationWorld, number: usize) -> bool {
    let (this, table) = unknown(world, number);
    let super::world::Object { ledger, leaving, .. } = &world.objects[number];
    ledger.set(ledger.get() - 1);
    leaving.set(leaving.get() + 1);
    // SAFETY: the call consumes the caller's reference.
    let count = unsafe { slot(table.Release, "Release")(this) };
    leaving.set(leaving.get() - 1);
    count == 0
}

/// The IIDs for QueryInterface. The object lacks the last one.
const IIDS: [GUID; INTERFACES] =
    [IUnknownRaw::IID, IBaseRaw::IID, IProbeRaw::IID, GUID::from_u128(0x5eed_dead)];

/// `QueryInterface` for one of four interfaces. The object lacks the last of them. A pointer that
/// it yields owns a reference. Returns the status, and whether the pointer is right.
pub fn query(world: &OperationWorld, number: usize, which: u8) -> (u32, bool) {
    let (this, table) = unknown(world, number);
    let iid = IIDS[usize::from(which) % IIDS.len()];
    let mut out = this.wrapping_byte_add(1);
    // SAFETY: the caller has a reference. Both pointers are valid.
    let status = unsafe { slot(table.QueryInterface, "QueryInterface")(this, &raw const iid, &raw mut out) };
    let expected = if has_interface(which) { this } else { core::ptr::null_mut() };
    if status == NTSTATUS::SUCCESS {
        let ledger = &world.objects[number].ledger;
        ledger.set(ledger.get() + 1);
    }
    (status.to_u32(), out == expected)
}
