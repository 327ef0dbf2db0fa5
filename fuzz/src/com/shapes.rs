//! The objects, with their interfaces, their values and the making of each shape.

use core::{ffi::c_void, ptr::NonNull};

use ntcom::{
    Aggregates, AsyncBody, ComObject, ComRc, ComStatic, GUID, IUnknown, IUnknownRaw, InitBox, InitBoxTrait,
    Inner, Interface, NTSTATUS, Outer, This, alloc::init_with, declare_com_interface, pin_init, try_finally,
    yield_now,
};

use super::{
    body::{Alive, Named, Work},
    client,
    pool::Pool,
    world::{self, STATIC},
};

declare_com_interface! {
    /// A root interface.
    pub trait IA: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0100);
        /// A method with one argument.
        fn a(&self, n: u32) -> u32;
    }
}
declare_com_interface! {
    /// An interface that is derived from a root.
    pub trait IB: IA {
        const IID: GUID = GUID::from_u128(0x5eed_0101);
        /// A method with arguments of several sizes.
        fn b(&self, n: u8, m: u64, o: u16) -> u64;
    }
}
declare_com_interface! {
    /// Another root interface.
    pub trait IC: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0102);
        /// A method with an out-parameter.
        unsafe fn c(&self, n: u32, out: *mut u64) -> NTSTATUS;
    }
}
declare_com_interface! {
    /// An interface that is derived from that root, with async methods.
    pub trait ID: IC {
        const IID: GUID = GUID::from_u128(0x5eed_0103);
        /// A method with a future that has a name.
        async fn named(&self, work: u32, n: u8) -> u64;
        /// A method with a future that has no name, and reaches its object.
        #[opaque]
        async fn opaque(&self, work: u32, n: u8) -> u64;
        /// A method that yields an interface of a new object with this number.
        #[opaque]
        async fn opens(&self, work: u32, number: u32) -> Result<ComRc<IARaw>, NTSTATUS>;
    }
}
declare_com_interface! {
    /// An interface three levels down.
    pub trait IE: IB {
        const IID: GUID = GUID::from_u128(0x5eed_0104);
        /// A method without arguments.
        fn e(&self) -> u64;
    }
}

/// The number of interfaces.
pub(super) const IFACES: usize = 6;
pub(super) const U: usize = 0;
pub(super) const A: usize = 1;
pub(super) const B: usize = 2;
pub(super) const C: usize = 3;
pub(super) const D: usize = 4;
pub(super) const E: usize = 5;

/// The interfaces' IIDs, and one that no object has.
pub(super) const IIDS: [GUID; IFACES + 1] = [
    IUnknownRaw::IID,
    IARaw::IID,
    IBRaw::IID,
    ICRaw::IID,
    IDRaw::IID,
    IERaw::IID,
    GUID::from_u128(0x5eed_01ff),
];
pub(super) const NAMES: [&str; IFACES + 1] = ["IUnknown", "IA", "IB", "IC", "ID", "IE", "nobody's"];

/// The answer of a method, which encodes the object's number, the method, and the argument.
pub(super) const fn answer(number: usize, method: u8, n: u64) -> u64 {
    (number as u64) << 56 ^ (method as u64) << 48 ^ n
}

/// A value of an object.
pub(super) struct Thing<R = ()> {
    number: usize,
    revives: bool,
    _room: R,
}

/// A value's data beside its number.
pub(super) trait Room: Default + Send + Sync + 'static {}
impl Room for () {}
impl Room for Wide {}

/// Data that is aligned more than the fields before it.
#[repr(align(64))]
#[derive(Default)]
pub(super) struct Wide(());

impl<R: Room> Thing<R> {
    fn new(number: usize, revives: bool) -> Self {
        world::with(|world| {
            let built = &world.record(number).built;
            built.set(built.get() + 1);
        });
        Self { number, revives, _room: R::default() }
    }
}

impl<R> Drop for Thing<R> {
    fn drop(&mut self) {
        let this = world::with(|world| {
            let record = world.record(self.number);
            let number = self.number;
            record.drops.set(record.drops.get() + 1);
            if record.drops.get() > record.built.get() {
                ntsim::fail("C3", format!("object {number} is dropped more often than it was built"));
            }
            let its = |part: &&world::Record| part.whole.get() == Some(number);
            let bodies: u32 = world.records.iter().filter(its).map(|part| part.bodies.get()).sum();
            if record.bodies.get() + bodies > 0 {
                ntsim::fail(
                    "C19",
                    format!("object {number} is dropped while a body of it or of a part lives"),
                );
            }
            let whole = world.record(record.whole.get().unwrap_or(number));
            if whole.ledger.get() > 0 {
                ntsim::fail("C3", format!("object {number} is dropped while clients hold it"));
            }
            if record.whole.get().is_some() && whole.built.get() > whole.drops.get() {
                ntsim::fail("C3", format!("part {number} is dropped before its aggregate"));
            }
            record.this.get()
        });
        if self.revives && !this.is_null() {
            client::revive(this, self.number);
        }
    }
}

impl<R: Room> IA for Thing<R> {
    fn a(&self, n: u32) -> u32 {
        self.number as u32 ^ n
    }
}

impl<R: Room> IB for Thing<R> {
    fn b(&self, n: u8, m: u64, o: u16) -> u64 {
        answer(self.number, 1, u64::from(n) ^ m ^ u64::from(o) << 16)
    }
}

impl<R: Room> IC for Thing<R> {
    unsafe fn c(&self, n: u32, out: *mut u64) -> NTSTATUS {
        // SAFETY: the method's contract requires a writable `out`.
        unsafe { out.write(answer(self.number, 2, n.into())) };
        NTSTATUS::SUCCESS
    }
}

/// The result of an initialiser for a work.
fn possible(work: Work) -> Result<Work, NTSTATUS> {
    if work == Work::Fails { Err(NTSTATUS::NOT_SUPPORTED) } else { Ok(work) }
}

// SAFETY: the harness gives bodies only steps that are legal at DISPATCH_LEVEL.
unsafe impl<R: Room> ID for Thing<R> {
    type Allocator = Pool;
    type NamedFuture = Named;
    fn named(&self, work: u32, n: u8) -> impl InitBoxTrait<Named, Pool, NTSTATUS> {
        let (number, work) = (self.number, Work::of(work));
        InitBox::new(Pool::new(), pin_init!(Named::new(number, possible(work)?, answer(number, 3, n.into()))))
    }
    fn opaque(&self, work: u32, n: u8) -> impl AsyncBody<u64, Pool, NTSTATUS> {
        InitBox::with_this(Pool::new(), move |this: This<Self>| {
            let alive = Alive::new(this.number);
            async move {
                let _alive = alive;
                match Work::of(work) {
                    Work::Ends | Work::Fails => {}
                    Work::Yields => yield_now().await,
                    Work::Waits => core::future::pending().await,
                    Work::Cleans => {
                        try_finally(core::future::pending::<()>(), yield_now()).await;
                    }
                }
                answer(this.number, 4, n.into())
            }
        })
    }
    fn opens(
        &self,
        work: u32,
        number: u32,
    ) -> impl AsyncBody<Result<ComRc<IARaw>, NTSTATUS>, Pool, NTSTATUS> {
        InitBox::with_this(Pool::new(), move |this: This<Self>| {
            let alive = Alive::new(this.number);
            async move {
                let _alive = alive;
                let opened = opened(number as usize);
                match Work::of(work) {
                    Work::Ends => {}
                    Work::Fails => return Err(NTSTATUS::NOT_SUPPORTED),
                    Work::Yields => yield_now().await,
                    Work::Waits => core::future::pending().await,
                    // A cancelled body returns an interface that no client gets.
                    Work::Cleans => {
                        try_finally(core::future::pending::<()>(), yield_now()).await;
                    }
                }
                opened
            }
        })
    }
}

/// Makes the object with two interfaces that an operation yields.
fn opened(number: usize) -> Result<ComRc<IARaw>, NTSTATUS> {
    let init = init_with(move || Ok(Thing::<()>::new(number, false)));
    ComObject::<_, (IARaw, ICRaw), _>::init_in(Pool::new(), init)
}

impl<R: Room> IE for Thing<R> {
    fn e(&self) -> u64 {
        answer(self.number, 5, 0)
    }
}

/// An aggregate.
struct Whole {
    thing: Thing,
    parts: [Inner; 2],
}

impl IA for Whole {
    fn a(&self, n: u32) -> u32 {
        self.thing.a(n)
    }
}

impl Aggregates for Whole {
    fn inner(&self, iid: &GUID) -> Option<&Inner> {
        let second = *iid == IIDS[B] || *iid == IIDS[E];
        self.parts.get(usize::from(second))
    }
}

static FIXED: ComStatic<Thing, (IBRaw, IDRaw)> =
    ComStatic::new(Thing { number: STATIC, revives: false, _room: () });

/// The interfaces of an object, with their layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One interface, with two bases.
    Chain,
    /// Two interfaces.
    Pair,
    /// Three interfaces, which have bases in common.
    Three,
    /// An object with IUnknown itself as its primary interface.
    Hidden,
    /// Three interfaces, and an over-aligned value.
    Wide,
    /// An aggregate of three values.
    Whole,
    /// The static.
    Static,
}

impl Shape {
    /// The shapes that the steps make.
    pub(super) const ALL: [Self; 6] =
        [Self::Chain, Self::Pair, Self::Three, Self::Hidden, Self::Wide, Self::Whole];

    /// The interface as which a new object is handed out.
    pub(super) fn primary(self) -> usize {
        match self {
            Self::Chain => E,
            Self::Pair | Self::Whole => A,
            Self::Three | Self::Static => B,
            Self::Hidden => U,
            Self::Wide => C,
        }
    }

    /// Whether an object of this shape has this interface.
    pub(super) fn has(self, iface: usize) -> bool {
        let has: &[usize] = match self {
            Self::Chain => &[U, A, B, E],
            Self::Pair => &[U, A, C],
            Self::Three | Self::Whole => &[U, A, B, C, D, E],
            Self::Hidden => &[U, C, D],
            Self::Wide | Self::Static => &[U, A, B, C, D],
        };
        has.contains(&iface)
    }

    /// The number of its values.
    pub(super) fn values(self) -> usize {
        if self == Self::Whole { 3 } else { 1 }
    }

    /// The index of the value that answers for an interface.
    pub(super) fn answers(self, iface: usize) -> usize {
        match (self, iface) {
            (Self::Whole, C | D) => 1,
            (Self::Whole, B | E) => 2,
            _ => 0,
        }
    }

    /// The offset of the count from the primary interface. It is behind the interfaces, aligned as
    /// the value is. `None` if the object has no count.
    pub(super) fn count(self) -> Option<usize> {
        match self {
            Self::Chain | Self::Whole => Some(8),
            Self::Pair | Self::Hidden => Some(16),
            Self::Three => Some(24),
            Self::Wide => Some(64),
            Self::Static => None,
        }
    }
}

/// The static's primary interface, with a reference.
pub(super) fn fixed() -> *mut c_void {
    FIXED.get().into_raw().cast()
}

/// Makes an object with one reference. Its values are numbered from `number` on.
pub(super) fn make(shape: Shape, number: usize, fails: bool, revives: bool) -> Result<*mut c_void, NTSTATUS> {
    macro_rules! object {
        ($thing:ty, $interfaces:ty) => {{
            let init = init_with(move || {
                if fails { Err(NTSTATUS::NOT_SUPPORTED) } else { Ok(<$thing>::new(number, revives)) }
            });
            Ok(ComObject::<$thing, $interfaces, _>::init_in(Pool::new(), init)?.into_raw().cast())
        }};
    }
    match shape {
        Shape::Chain => object!(Thing, IERaw),
        Shape::Pair => object!(Thing, (IARaw, ICRaw)),
        Shape::Three => object!(Thing, (IBRaw, IDRaw, IERaw)),
        Shape::Hidden => object!(Thing, (IUnknownRaw, IDRaw)),
        Shape::Wide => object!(Thing<Wide>, (ICRaw, IBRaw, IDRaw)),
        Shape::Static => Ok(fixed()),
        Shape::Whole => {
            let init = |outer: NonNull<IUnknownRaw>| {
                init_with(move || {
                    let part = |index| init_with(move || Ok(Thing::<()>::new(number + index, false)));
                    // SAFETY: the aggregate keeps the inner object, and drops it with itself.
                    let first =
                        unsafe { ComObject::<_, IDRaw, _>::aggregated_in(outer, Pool::new(), part(1)) }?;
                    type Second = (IUnknownRaw, IERaw);
                    // SAFETY: the aggregate keeps the inner object, and drops it with itself.
                    let second =
                        unsafe { ComObject::<_, Second, _>::aggregated_in(outer, Pool::new(), part(2)) }?;
                    if fails {
                        return Err(NTSTATUS::NOT_SUPPORTED);
                    }
                    Ok(Whole { thing: Thing::new(number, revives), parts: [first, second] })
                })
            };
            let whole = ComObject::<Whole, Outer<(IARaw,)>, _>::init_outer_in(Pool::new(), init)?;
            Ok(whole.into_raw().cast())
        }
    }
}
