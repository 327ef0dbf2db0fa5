//! New operations.

use core::{ffi::c_void, ptr};

use ntcom::{
    NTSTATUS, SpawnOperation as _, TaskBuilder, pin_init, spawn_async_operation_error_raw,
    spawn_async_operation_raw, spawn_async_operation_raw_cancellable,
};
use ntcom_exec::{DpcOptions, NoExecutor, Placement, Port};
use ntcom_kit_table::{MAY_FAIL, Recipe};

use crate::{
    body::{Kits, infallible},
    calls, object, threads,
    values::{Value, for_kind},
};

fn plain<T: Value>(body: Kits) -> *mut c_void {
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

fn cancellable<T: Value>(body: Kits, handle: *mut *mut c_void) -> *mut c_void {
    let (raw, cancel) = spawn_async_operation_raw_cancellable(infallible::<T>(body));
    // SAFETY: the header: not null, so a place for one.
    unsafe { handle.write(calls::handle(cancel)) };
    raw.cast()
}

fn failed<T: Value>(status: NTSTATUS) -> *mut c_void {
    spawn_async_operation_error_raw::<T>(status).cast()
}

pub(crate) unsafe extern "C" fn spawn(recipe: *const Recipe, handle: *mut *mut c_void) -> *mut c_void {
    // SAFETY: the header: a recipe.
    let recipe = unsafe { recipe.read() };
    let kind = recipe.kind;
    // Only declared methods have bodies that fail: one of an object that nobody else knows.
    if recipe.flags & MAY_FAIL != 0 && handle.is_null() {
        return object::method_of_nobody(recipe);
    }
    let body = Kits::new(recipe);
    if handle.is_null() { for_kind!(kind, plain(body)) } else { for_kind!(kind, cancellable(body, handle)) }
}

pub(crate) unsafe extern "C" fn spawn_error(kind: u32, status: i32) -> *mut c_void {
    let status = NTSTATUS(status);
    for_kind!(kind, failed(status))
}

/// Where there is no executor: what every placement is in a build without a kernel. What the spawn does with it is the same code; that
/// such a build chooses it is `cargo xtask features`' to see.
struct Nowhere;

impl Placement for Nowhere {
    type Port = NoExecutor;

    fn port(self) -> Result<NoExecutor, NTSTATUS> {
        Ok(NoExecutor::new())
    }
}

fn nowhere<T: Value>(body: Kits) -> *mut c_void {
    let body = infallible::<T>(body);
    TaskBuilder::new().on(Nowhere).spawn_operation(pin_init!(body)).into_raw().cast()
}

pub(crate) unsafe extern "C" fn spawn_without_executor(recipe: *const Recipe) -> *mut c_void {
    // SAFETY: the header: a recipe.
    let recipe = unsafe { recipe.read() };
    let kind = recipe.kind;
    let body = Kits::new(recipe);
    for_kind!(kind, nowhere(body))
}

/// What a spawn gives that cannot be: the kit calls it a breach.
pub(crate) const NOTHING: *mut c_void = ptr::null_mut();
