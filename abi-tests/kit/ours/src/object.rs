//! An object with a method for each type of value. The methods run the kit's bodies, which may
//! fail.

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
    /// The interface with a method for each kind. A method gets the recipe of its body.
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

/// The object, with the function to call when it is dropped.
struct Object(Option<(Does, *mut c_void)>);

// SAFETY: the kit's function is called on one thread, which has all the simulated processors.
unsafe impl Send for Object {}
// SAFETY: the kit's function is called on one thread, and no field is changed.
unsafe impl Sync for Object {}

impl Drop for Object {
    fn drop(&mut self) {
        kernel::other_freed();
        if let Some((dropped, context)) = self.0 {
            // SAFETY: the kit passed its function with the function's context, and this calls it
            // once.
            unsafe { dropped(context) };
        }
    }
}

/// # Safety
/// `recipe` is a recipe.
unsafe fn kits(recipe: *const c_void) -> Kits {
    // SAFETY: the caller passes a recipe.
    Kits::new(unsafe { recipe.cast::<Recipe>().read() })
}

macro_rules! methods {
    ($($method:ident: $value:ty,)*) => {
        // SAFETY: the bodies are the kit's, which touches only resident memory.
        unsafe impl IKit for Object {
            type Allocator = GlobalAllocator;
            $(fn $method(&self, recipe: *const c_void) -> impl AsyncBody<Result<$value, NTSTATUS>, GlobalAllocator, NTSTATUS> {
                // SAFETY: `method_of` passes a recipe.
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
        // The value has been dropped, so the kit has been told.
        Err(_) => core::ptr::null_mut(),
    }
}

pub(crate) unsafe extern "C" fn object(dropped: Does, context: *mut c_void) -> *mut c_void {
    make(Some((dropped, context))).cast()
}

pub(crate) unsafe extern "C" fn object_spawn(object: *mut c_void, recipe: *const Recipe) -> *mut c_void {
    // SAFETY: the kit passes an object of this library, and a recipe.
    unsafe { method_of(object.cast(), recipe) }
}

/// # Safety
/// `object` is alive, and `recipe` is a recipe.
unsafe fn method_of(object: *mut IKitRaw, recipe: *const Recipe) -> *mut c_void {
    let this = object.cast::<c_void>();
    // SAFETY: the caller passes a living object.
    let table = unsafe { (*object).vtbl };
    // SAFETY: a living object has a table.
    let table = unsafe { &*table };
    // SAFETY: the caller passes a recipe.
    let kind = unsafe { (*recipe).kind };
    macro_rules! through {
        ($slot:ident) => {
            // SAFETY: the caller passes a living object and a recipe.
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

/// Makes an operation of an object that only the operation's body refers to.
pub(crate) fn method_of_nobody(recipe: Recipe) -> *mut c_void {
    let object = make(None);
    if object.is_null() {
        drop(Kits::new(recipe));
        return spawn_async_operation_error_raw::<u8>(NTSTATUS::INSUFFICIENT_RESOURCES).cast();
    }
    // SAFETY: the object was just made, so it is alive.
    let raw = unsafe { method_of(object, &raw const recipe) };
    // SAFETY: this gives up the reference with which the object was made.
    drop(unsafe { ntcom::ComRc::from_raw(object) });
    raw
}
