//! Objects with several interfaces, aggregated and static ones, the results of their methods,
//! strings, and log lines.
use core::{ffi::c_void, fmt::Write as _, ptr::NonNull};

use ntcom::{
    Aggregates, AsyncBody, AsyncOperationRaw, ComObject, ComRc, ComStatic, GUID, GlobalAllocator, IUnknown,
    IUnknownRaw, InitBox, Inner, InterfacePtr, LocalUnicodeString, NTSTATUS, Outer, OwnedUnicodeString,
    alloc::init_with,
    declare_com_interface, pin_init,
    trace::{Level, Line},
};

declare_com_interface! {
    /// Makes objects.
    pub trait IMakes: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f8001";
        /// Makes an object at once.
        fn make(&self, n: u32) -> Result<ComRc<IMadeRaw>, NTSTATUS>;
        /// Makes an object by an operation.
        #[opaque]
        async fn make_later(&self, n: u32) -> Result<ComRc<IMadeRaw>, NTSTATUS>;
    }
}
declare_com_interface! {
    /// An object that was made.
    pub trait IMade: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f8002";
        /// The object's number.
        fn number(&self) -> Result<u32, NTSTATUS>;
    }
}

struct Made(u32);

impl IMade for Made {
    fn number(&self) -> Result<u32, NTSTATUS> {
        Ok(self.0)
    }
}

// SAFETY: the bodies touch only what they have captured.
unsafe impl IMakes for Made {
    type Allocator = GlobalAllocator;
    fn make(&self, n: u32) -> Result<ComRc<IMadeRaw>, NTSTATUS> {
        ComObject::<_, (IMadeRaw, IMakesRaw)>::new(Made(self.0 ^ n))
    }
    fn make_later(
        &self,
        n: u32,
    ) -> impl AsyncBody<Result<ComRc<IMadeRaw>, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        let made = self.make(n);
        InitBox::new(GlobalAllocator, pin_init!(async move { made }))
    }
}

struct Whole(Inner);

impl Aggregates for Whole {
    fn inner(&self, _iid: &GUID) -> Option<&Inner> {
        Some(&self.0)
    }
}

static MAKER: ComStatic<Made, (IMakesRaw, IMadeRaw)> = ComStatic::new(Made(7));

/// Uses the static and the object that it makes.
#[unsafe(no_mangle)]
pub extern "C" fn probe_static(n: u32) -> *mut c_void {
    let maker = MAKER.get();
    match maker.make(n) {
        Ok(made) => made_raw(made),
        Err(_) => core::ptr::null_mut(),
    }
}

fn made_raw(made: ComRc<IMadeRaw>) -> *mut c_void {
    made.into_raw().cast()
}

/// Makes an operation that yields an interface.
#[unsafe(no_mangle)]
pub extern "C" fn probe_made_later(n: u32) -> *mut AsyncOperationRaw<InterfacePtr<IMadeRaw>> {
    match MAKER.get().make_later(n) {
        Ok(operation) => {
            let _one = operation.interface();
            operation.into_raw()
        }
        Err(_) => core::ptr::null_mut(),
    }
}

/// Makes an aggregate.
#[unsafe(no_mangle)]
pub extern "C" fn probe_aggregate() -> *mut c_void {
    let make = |outer: NonNull<IUnknownRaw>| {
        init_with(move || {
            let part = init_with(|| Ok(Made(1)));
            // SAFETY: the aggregate keeps the inner object, and drops it with itself.
            unsafe { ComObject::<Made, IMadeRaw, _>::aggregated_in(outer, GlobalAllocator, part) }.map(Whole)
        })
    };
    let whole = ComObject::<Whole, Outer<IUnknownRaw>, _>::init_outer_in(GlobalAllocator, make);
    let made = whole.and_then(|whole| whole.query::<IMadeRaw>());
    made.map_or(core::ptr::null_mut(), made_raw)
}

/// Formats strings of both kinds, and a line for the debugger.
#[unsafe(no_mangle)]
pub extern "C" fn probe_strings(n: u32) -> usize {
    let mut local = LocalUnicodeString::<32>::new();
    let mut line = Line::new();
    if write!(local, "sensor {n}").is_err() || write!(line, "sensor {n}").is_err() {
        return 0;
    }
    ntcom::log!(Level::Debug, "{local}");
    OwnedUnicodeString::copy(local.as_unicode()).map_or(0, |owned| owned.as_unicode().len())
}
