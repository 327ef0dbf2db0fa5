//! An object with a method for each type of value, whose bodies are the kit's, and may fail.

use core::ffi::c_void;

use ntcom::{
    AsyncBody, ComObject, GUID, GlobalAllocator, IUnknown, InitBox, NTSTATUS, declare_com_interface,
    pin_init, spawn_async_operation_error_raw,
};
use ntcom_kit_table::{Does, Recipe};

use crate::{
    body::{Kits, fallible},
    kernel,
    spawn::NOTHING,
    values::{Aligned, Padded, Page},
};

declare_com_interface! {
    /// A method for each kind, which is given the recipe of its body.
    trait IKit: IUnknown {
        const IID: GUID = GUID::from_u128(0x5eed_0c17_0000_4000_8000_0000_0000_0001);
        #[opaque]
        async fn unit(&self, recipe: *const c_void) -> Result<(), NTSTATUS>;
        #[opaque]
        async fn byte(&self, recipe: *const c_void) -> Result<u8, NTSTATUS>;
        #[opaque]
        async fn number(&self, recipe: *const c_void) -> Result<u64, NTSTATUS>;
        #[opaque]
        async fn padded(&self, recipe: *const c_void) -> Result<Padded, NTSTATUS>;
        #[opaque]
        async fn aligned(&self, recipe: *const c_void) -> Result<Aligned, NTSTATUS>;
        #[opaque]
        async fn page(&self, recipe: *const c_void) -> Result<Page, NTSTATUS>;
    }
}

/// The object: whom to tell when it is gone.
struct Object(Option<(Does, *mut c_void)>);

// SAFETY: the header: the kit is told on one thread, which has all the simulated processors.
unsafe impl Send for Object {}
// SAFETY: as above; nothing of it is changed.
unsafe impl Sync for Object {}

impl Drop for Object {
    fn drop(&mut self) {
        kernel::other_freed();
        if let Some((dropped, context)) = self.0 {
            // SAFETY: the header: the kit's function and its context, once.
            unsafe { dropped(context) };
        }
    }
}

/// # Safety
/// It is a recipe.
unsafe fn kits(recipe: *const c_void) -> Kits {
    // SAFETY: this function's contract.
    Kits::new(unsafe { recipe.cast::<Recipe>().read() })
}

macro_rules! methods {
    ($($method:ident: $value:ty,)*) => {
        // SAFETY: the bodies are the kit's, which touches nothing that is not resident.
        unsafe impl IKit for Object {
            type Allocator = GlobalAllocator;
            $(fn $method(&self, recipe: *const c_void) -> impl AsyncBody<Result<$value, NTSTATUS>, GlobalAllocator, NTSTATUS> {
                // SAFETY: `method_of` gives recipes.
                let body = unsafe { kits(recipe) };
                InitBox::new(GlobalAllocator, pin_init!(fallible::<$value>(body)))
            })*
        }
    };
}

methods! {
    unit: (),
    byte: u8,
    number: u64,
    padded: Padded,
    aligned: Aligned,
    page: Page,
}

fn make(told: Option<(Does, *mut c_void)>) -> *mut IKitRaw {
    kernel::other_allocated();
    match ComObject::<_, IKitRaw>::new(Object(told)) {
        Ok(object) => object.into_raw(),
        // The value has been dropped.
        Err(_) => core::ptr::null_mut(),
    }
}

pub(crate) unsafe extern "C" fn object(dropped: Does, context: *mut c_void) -> *mut c_void {
    make(Some((dropped, context))).cast()
}

pub(crate) unsafe extern "C" fn object_spawn(object: *mut c_void, recipe: *const Recipe) -> *mut c_void {
    // SAFETY: the header: one of ours, and a recipe.
    unsafe { method_of(object.cast(), recipe) }
}

/// # Safety
/// A live object, and a recipe.
unsafe fn method_of(object: *mut IKitRaw, recipe: *const Recipe) -> *mut c_void {
    let this = object.cast::<c_void>();
    // SAFETY: this function's contract.
    let table = unsafe { (*object).vtbl };
    // SAFETY: the table of a live object.
    let table = unsafe { &*table };
    // SAFETY: this function's contract.
    let kind = unsafe { (*recipe).kind };
    macro_rules! through {
        ($slot:ident) => {
            // SAFETY: this function's contract.
            table.$slot.map_or(NOTHING, |slot| unsafe { slot(this, recipe.cast()) }.cast())
        };
    }
    match kind {
        0 => through!(unit),
        2 => through!(number),
        3 => through!(padded),
        4 => through!(aligned),
        5 => through!(page),
        _ => through!(byte),
    }
}

/// An operation of an object that only its body knows.
pub(crate) fn method_of_nobody(recipe: Recipe) -> *mut c_void {
    let object = make(None);
    if object.is_null() {
        drop(Kits::new(recipe));
        return spawn_async_operation_error_raw::<u8>(NTSTATUS::INSUFFICIENT_RESOURCES).cast();
    }
    // SAFETY: just made.
    let raw = unsafe { method_of(object, &raw const recipe) };
    // SAFETY: the reference that it was made with.
    drop(unsafe { ntcom::ComRc::from_raw(object) });
    raw
}
