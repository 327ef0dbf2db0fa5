//! The objects, with their values and the making of each shape.

use core::{ffi::c_void, ptr::NonNull};

use ntcom::{
    Aggregates, AsyncBody, ComObject, ComRc, ComStatic, GUID, IUnknownRaw, InitBox, InitBoxTrait, Inner,
    NTSTATUS, Outer, This, alloc::init_with, pin_init, try_finally, yield_now,
};

use super::{
    body::{Alive, Named, Work},
    interfaces::{B, E, IA, IARaw, IB, IBRaw, IC, ICRaw, ID, IDRaw, IE, IERaw, IIDS, answer},
    pool::Pool,
    shape::Shape,
    tables::{add_ref, release},
    world::{self, STATIC},
};

/// A value of an object.
pub(super) struct ObjectValue<R = ()> {
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

impl<R: Room> ObjectValue<R> {
    fn new(number: usize, revives: bool) -> Self {
        world::with(|world| {
            let built = &world.record(number).built;
            built.set(built.get() + 1);
        });
        Self { number, revives, _room: R::default() }
    }
}

/// Takes and gives up a reference to an object from its value's own Drop. The machine must stop
/// `[C3]`.
fn revive(this: *mut c_void, object: usize) -> ! {
    world::with(|world| world.must_stop.set(Some("an object is revived from its own Drop")));
    add_ref(this);
    release(this);
    ntsim::fail("C3", format!("object {object} was revived from its own Drop, but the machine did not stop"))
}

impl<R> Drop for ObjectValue<R> {
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
            revive(this, self.number);
        }
    }
}

impl<R: Room> IA for ObjectValue<R> {
    fn a(&self, n: u32) -> u32 {
        self.number as u32 ^ n
    }
}

impl<R: Room> IB for ObjectValue<R> {
    fn b(&self, n: u8, m: u64, o: u16) -> u64 {
        answer(self.number, 1, u64::from(n) ^ m ^ u64::from(o) << 16)
    }
}

impl<R: Room> IC for ObjectValue<R> {
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
unsafe impl<R: Room> ID for ObjectValue<R> {
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
    let init = init_with(move || Ok(ObjectValue::<()>::new(number, false)));
    ComObject::<_, (IARaw, ICRaw), _>::init_in(Pool::new(), init)
}

impl<R: Room> IE for ObjectValue<R> {
    fn e(&self) -> u64 {
        answer(self.number, 5, 0)
    }
}

/// An aggregate.
struct Whole {
    thing: ObjectValue,
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

static FIXED: ComStatic<ObjectValue, (IBRaw, IDRaw)> =
    ComStatic::new(ObjectValue { number: STATIC, revives: false, _room: () });

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
        Shape::Chain => object!(ObjectValue, IERaw),
        Shape::Pair => object!(ObjectValue, (IARaw, ICRaw)),
        Shape::Three => object!(ObjectValue, (IBRaw, IDRaw, IERaw)),
        Shape::Hidden => object!(ObjectValue, (IUnknownRaw, IDRaw)),
        Shape::Wide => object!(ObjectValue<Wide>, (ICRaw, IBRaw, IDRaw)),
        Shape::Static => Ok(fixed()),
        Shape::Whole => {
            let init = |outer: NonNull<IUnknownRaw>| {
                init_with(move || {
                    let part = |index| init_with(move || Ok(ObjectValue::<()>::new(number + index, false)));
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
                    Ok(Whole { thing: ObjectValue::new(number, revives), parts: [first, second] })
                })
            };
            let whole = ComObject::<Whole, Outer<(IARaw,)>, _>::init_outer_in(Pool::new(), init)?;
            Ok(whole.into_raw().cast())
        }
    }
}
