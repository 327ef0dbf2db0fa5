//! The interfaces. Each has a line, and so does each of its slots.

use core::mem::offset_of;

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, async_com::CompletedHandler,
};

use crate::describe::{Signature, Value, of_slot};

pub(crate) fn lines() -> Vec<String> {
    [unknown(), async_operation(), async_control(), completed_handler()].concat()
}

const POINTER: usize = size_of::<*const ()>();

/// The sizes on 64-bit and on 32-bit of a thing that consists of pointers. The second is half the
/// first.
pub(crate) fn pointers(bytes: usize) -> String {
    assert_eq!(bytes % POINTER, 0, "{bytes} bytes are not a number of pointers");
    format!("{} {}", bytes / POINTER * 8, bytes / POINTER * 4)
}

fn interface<Raw: Interface>(name: &str) -> String {
    format!("interface | {name} | {}", iid(Raw::IID))
}

fn iid(iid: GUID) -> String {
    iid.to_string()
}

/// The lines of an object's pointer to its table, of the object, and of the table.
fn sizes(name: &str, object: usize, table_at: usize, table: usize) -> Vec<String> {
    vec![
        format!("field | {name}.lpVtbl | {}", pointers(table_at)),
        format!("size | {name} | {}", pointers(object)),
        format!("size | {name}Vtbl | {}", pointers(table)),
    ]
}

fn slot(interface: &str, path: &str, offset: usize, signature: &str) -> String {
    let name = path.rsplit('.').next().unwrap_or(path).trim();
    format!("slot | {interface}[{}] {name} | {} | {signature}", offset / POINTER, pointers(offset))
}

/// The line of a slot, from its table, the path to its field, and the names of the parameters.
macro_rules! slot {
    ($interface:literal, $table:ty, $($path:ident).+ ($($parameter:ident),*)) => {
        slot(
            $interface,
            stringify!($($path).+),
            offset_of!($table, $($path).+),
            &of_slot(|table: &$table| table.$($path).+, &[$(stringify!($parameter)),*]),
        )
    };
}

fn unknown() -> Vec<String> {
    let mut lines = vec![
        interface::<IUnknownRaw>("IUnknown"),
        slot!("IUnknown", IUnknownVtbl, QueryInterface(this, iid, out)),
        slot!("IUnknown", IUnknownVtbl, AddRef(this)),
        slot!("IUnknown", IUnknownVtbl, Release(this)),
    ];
    let (object, table) = (size_of::<IUnknownRaw>(), size_of::<IUnknownVtbl>());
    lines.extend(sizes("IUnknown", object, offset_of!(IUnknownRaw, vtbl), table));
    lines
}

fn async_operation() -> Vec<String> {
    type Raw = AsyncOperationRaw<Value>;
    type Vtbl = AsyncOperationVtbl<Value>;
    let mut lines = vec![
        interface::<Raw>("IAsyncOperation"),
        slot!("IAsyncOperation", Vtbl, base.QueryInterface(this, iid, out)),
        slot!("IAsyncOperation", Vtbl, base.AddRef(this)),
        slot!("IAsyncOperation", Vtbl, base.Release(this)),
        slot!("IAsyncOperation", Vtbl, get_status(this, out)),
        slot!("IAsyncOperation", Vtbl, get_result(this, out)),
    ];
    lines.extend(sizes("IAsyncOperation", size_of::<Raw>(), offset_of!(Raw, vtbl), size_of::<Vtbl>()));
    lines
}

fn async_control() -> Vec<String> {
    type Raw = AsyncControlRaw;
    type Vtbl = AsyncControlVtbl;
    let mut lines = vec![
        interface::<Raw>("IAsyncControl"),
        slot!("IAsyncControl", Vtbl, base.QueryInterface(this, iid, out)),
        slot!("IAsyncControl", Vtbl, base.AddRef(this)),
        slot!("IAsyncControl", Vtbl, base.Release(this)),
        slot!("IAsyncControl", Vtbl, cancel(this)),
        slot!("IAsyncControl", Vtbl, get_error(this, out)),
        slot!("IAsyncControl", Vtbl, set_completed(this, handler, context)),
        slot!("IAsyncControl", Vtbl, wait(this, timeout)),
        slot!("IAsyncControl", Vtbl, get_result_size(this, size)),
    ];
    lines.extend(sizes("IAsyncControl", size_of::<Raw>(), offset_of!(Raw, vtbl), size_of::<Vtbl>()));
    lines
}

fn completed_handler() -> Vec<String> {
    let signature = CompletedHandler::signature(&["context", "status"]);
    vec![format!(
        "callback | CompletedHandler | {} | {signature}",
        pointers(size_of::<Option<CompletedHandler>>())
    )]
}
