//! Types other than interfaces, and values.

use core::mem::offset_of;

use ntcom::{AsyncStatus, GUID, NTSTATUS, RawAsyncStatus};

pub(crate) fn lines() -> Vec<String> {
    let mut lines = vec![integer::<NTSTATUS>("NTSTATUS", NTSTATUS(-1).0 < 0)];
    lines.push(integer::<AsyncStatus>("AsyncStatus", RawAsyncStatus(-1).0 < 0));
    lines.push(bytes("size", "GUID", size_of::<GUID>()));
    let fields = [
        ("GUID.Data1", offset_of!(GUID, data1)),
        ("GUID.Data2", offset_of!(GUID, data2)),
        ("GUID.Data3", offset_of!(GUID, data3)),
        ("GUID.Data4", offset_of!(GUID, data4)),
    ];
    lines.extend(fields.map(|(name, offset)| bytes("field", name, offset)));
    lines.extend(async_statuses());
    lines.extend(statuses());
    lines
}

/// A line of a thing that has the same number of bytes everywhere.
fn bytes(kind: &str, name: &str, number: usize) -> String {
    format!("{kind} | {name} | {number} {number}")
}

fn integer<T>(name: &str, signed: bool) -> String {
    format!("{} | {}", bytes("integer", name, size_of::<T>()), if signed { "signed" } else { "unsigned" })
}

fn async_statuses() -> Vec<String> {
    let values = [
        ("STARTED", AsyncStatus::Started),
        ("COMPLETED", AsyncStatus::Completed),
        ("CANCELED", AsyncStatus::Canceled),
        ("ERROR", AsyncStatus::Error),
    ];
    values.map(|(name, value)| format!("value | {name} | {}", value as i32)).into()
}

/// The statuses under their names in the header, which begin with `NTCOM_`.
fn statuses() -> Vec<String> {
    macro_rules! statuses {
        ($($name:ident)*) => {
            vec![$((concat!("STATUS_", stringify!($name)), NTSTATUS::$name)),*]
        };
    }
    let all = statuses! {
        SUCCESS TIMEOUT PENDING UNSUCCESSFUL INVALID_PARAMETER BUFFER_TOO_SMALL DELETE_PENDING INSUFFICIENT_RESOURCES IO_TIMEOUT
        NOT_SUPPORTED NAME_TOO_LONG CANCELLED PIPE_BROKEN DRIVER_INTERNAL_ERROR INVALID_DEVICE_STATE
        POSSIBLE_DEADLOCK NOINTERFACE
    };
    all.into_iter().map(|(name, status)| format!("value | {name} | {:#010x}", status.to_u32())).collect()
}
