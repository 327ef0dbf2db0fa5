//! Spawning of operations.

use core::{ffi::c_void, ptr};

use ntcom::{
    NTSTATUS, SpawnOperation as _, TaskBuilder, pin_init, spawn_async_operation_error_raw,
    spawn_async_operation_raw, spawn_async_operation_raw_cancellable,
};
use ntcom_exec::{DpcOptions, NoExecutor, OnWorkItems, Placement, Port};
use ntcom_kit_table::{MAY_FAIL, Recipe};

use crate::{
    body::{RecipeBody, infallible},
    calls, kernel, object, threads,
    values::{Value, for_kind},
};

fn plain<T: Value>(body: RecipeBody) -> *mut c_void {
    let body = infallible::<T>(body);
    if threads::at_once() {
        return TaskBuilder::new()
            .on(DpcOptions::new().processor(0, 0))
            .spawn_operation(pin_init!(body))
            .into_raw()
            .cast();
    }
    spawn_async_operation_raw(body).cast()
}

fn cancellable<T: Value>(body: RecipeBody, handle: *mut *mut c_void) -> *mut c_void {
    let (raw, cancel) = spawn_async_operation_raw_cancellable(infallible::<T>(body));
    // SAFETY: the handle is not null, so the kit passes a writable one.
    unsafe { handle.write(calls::handle(cancel)) };
    raw.cast()
}

fn failed<T: Value>(status: NTSTATUS) -> *mut c_void {
    spawn_async_operation_error_raw::<T>(status).cast()
}

pub(crate) unsafe extern "C" fn spawn(recipe: *const Recipe, handle: *mut *mut c_void) -> *mut c_void {
    // SAFETY: the kit passes a readable recipe.
    let recipe = unsafe { recipe.read() };
    let kind = recipe.kind;
    // Only declared methods have bodies that fail. Use one of an object that only its body refers
    // to.
    if recipe.flags & MAY_FAIL != 0 && handle.is_null() {
        return object::method_of_unreferenced(recipe);
    }
    let body = RecipeBody::new(recipe);
    if handle.is_null() { for_kind!(kind, plain(body)) } else { for_kind!(kind, cancellable(body, handle)) }
}

pub(crate) unsafe extern "C" fn spawn_error(kind: u32, status: i32) -> *mut c_void {
    let status = NTSTATUS(status);
    for_kind!(kind, failed(status))
}

/// A placement without an executor, as every placement is in a build without a kernel. The spawn
/// runs the same code as in such a build. `cargo xtask features` checks that such a build chooses
/// it.
struct Nowhere;

impl Placement for Nowhere {
    type Port = NoExecutor;

    fn port(self) -> Result<NoExecutor, NTSTATUS> {
        Ok(NoExecutor::new())
    }
}

fn without_executor<T: Value>(body: RecipeBody) -> *mut c_void {
    let body = infallible::<T>(body);
    TaskBuilder::new().on(Nowhere).spawn_operation(pin_init!(body)).into_raw().cast()
}

pub(crate) unsafe extern "C" fn spawn_without_executor(recipe: *const Recipe) -> *mut c_void {
    // SAFETY: the kit passes a readable recipe.
    let recipe = unsafe { recipe.read() };
    let kind = recipe.kind;
    let body = RecipeBody::new(recipe);
    for_kind!(kind, without_executor(body))
}

fn on_work_items<T: Value>(body: RecipeBody) -> *mut c_void {
    // SAFETY: the library's device, which is there until the run has ended.
    let items = unsafe { OnWorkItems::of(kernel::device()) };
    let body = infallible::<T>(body);
    TaskBuilder::new().on(items).spawn_operation(pin_init!(body)).into_raw().cast()
}

pub(crate) unsafe extern "C" fn spawn_passive(recipe: *const Recipe) -> *mut c_void {
    // SAFETY: the kit passes a readable recipe, as `ntcom_kit.h` says.
    let recipe = unsafe { recipe.read() };
    let kind = recipe.kind;
    let body = RecipeBody::new(recipe);
    for_kind!(kind, on_work_items(body))
}

/// The result of a spawn that cannot succeed. The kit reports it as a breach.
pub(crate) const NOTHING: *mut c_void = ptr::null_mut();
