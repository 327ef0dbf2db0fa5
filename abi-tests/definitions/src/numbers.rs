//! The numbers of the definitions once more, as data of this library.
//!
//! `cargo xtask abi` reads them from the object code of another machine's build and never runs it.
//! Types are not here, because `describe.rs` has them and they are the same on all machines.
#![expect(
    clippy::indexing_slicing,
    reason = "only the compiler runs this: an index that is out of bounds does not build"
)]

use core::mem::offset_of;

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus, GUID, IUnknownRaw,
    IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus, async_com::CompletedHandler,
};

/// A placeholder for the T of `IAsyncOperation<T>`.
struct Value;

/// A number with its name. `ci/xtask/src/abi/measure.rs` reads such rows of Rust and of C.
#[repr(C)]
#[derive(Clone, Copy)]
struct Row {
    name: [u8; 64],
    value: u64,
}

const fn row(name: &str, value: u64) -> Row {
    let mut row = Row { name: [0; 64], value };
    let (name, mut index) = (name.as_bytes(), 0);
    while index < name.len() {
        row.name[index] = name[index];
        index += 1;
    }
    row
}

/// The first eight bytes of an IID. `low` has the others.
const fn high(iid: GUID) -> u64 {
    (iid.data1 as u64) << 32 | (iid.data2 as u64) << 16 | iid.data3 as u64
}
const fn low(iid: GUID) -> u64 {
    u64::from_be_bytes(iid.data4)
}

/// The rows and their number. A slot is named by interface and method, and the other rows as `cargo
/// xtask abi` calls them.
macro_rules! rows {
    ($($name:literal => $value:expr;)*) => {
        const COUNT: usize = [$($name),*].len();
        #[unsafe(no_mangle)]
        static abi_rows: [Row; COUNT] = [$(row($name, $value as u64)),*];
        #[unsafe(no_mangle)]
        static abi_count: u64 = COUNT as u64;
    };
}

rows! {
    "IID of IUnknown, high" => high(IUnknownRaw::IID);
    "IID of IUnknown, low" => low(IUnknownRaw::IID);
    "IUnknown QueryInterface" => offset_of!(IUnknownVtbl, QueryInterface);
    "IUnknown AddRef" => offset_of!(IUnknownVtbl, AddRef);
    "IUnknown Release" => offset_of!(IUnknownVtbl, Release);
    "IUnknown.lpVtbl" => offset_of!(IUnknownRaw, vtbl);
    "sizeof IUnknown" => size_of::<IUnknownRaw>();
    "sizeof IUnknownVtbl" => size_of::<IUnknownVtbl>();
    "IID of IAsyncOperation, high" => high(<AsyncOperationRaw<Value>>::IID);
    "IID of IAsyncOperation, low" => low(<AsyncOperationRaw<Value>>::IID);
    "IAsyncOperation QueryInterface" => offset_of!(AsyncOperationVtbl<Value>, base.QueryInterface);
    "IAsyncOperation AddRef" => offset_of!(AsyncOperationVtbl<Value>, base.AddRef);
    "IAsyncOperation Release" => offset_of!(AsyncOperationVtbl<Value>, base.Release);
    "IAsyncOperation get_status" => offset_of!(AsyncOperationVtbl<Value>, get_status);
    "IAsyncOperation get_result" => offset_of!(AsyncOperationVtbl<Value>, get_result);
    "IAsyncOperation.lpVtbl" => offset_of!(AsyncOperationRaw<Value>, vtbl);
    "sizeof IAsyncOperation" => size_of::<AsyncOperationRaw<Value>>();
    "sizeof IAsyncOperationVtbl" => size_of::<AsyncOperationVtbl<Value>>();
    "IID of IAsyncControl, high" => high(AsyncControlRaw::IID);
    "IID of IAsyncControl, low" => low(AsyncControlRaw::IID);
    "IAsyncControl QueryInterface" => offset_of!(AsyncControlVtbl, base.QueryInterface);
    "IAsyncControl AddRef" => offset_of!(AsyncControlVtbl, base.AddRef);
    "IAsyncControl Release" => offset_of!(AsyncControlVtbl, base.Release);
    "IAsyncControl cancel" => offset_of!(AsyncControlVtbl, cancel);
    "IAsyncControl get_error" => offset_of!(AsyncControlVtbl, get_error);
    "IAsyncControl set_completed" => offset_of!(AsyncControlVtbl, set_completed);
    "IAsyncControl wait" => offset_of!(AsyncControlVtbl, wait);
    "IAsyncControl get_result_size" => offset_of!(AsyncControlVtbl, get_result_size);
    "IAsyncControl.lpVtbl" => offset_of!(AsyncControlRaw, vtbl);
    "sizeof IAsyncControl" => size_of::<AsyncControlRaw>();
    "sizeof IAsyncControlVtbl" => size_of::<AsyncControlVtbl>();
    "sizeof CompletedHandler" => size_of::<Option<CompletedHandler>>();
    "sizeof NTSTATUS" => size_of::<NTSTATUS>();
    "sizeof AsyncStatus" => size_of::<RawAsyncStatus>();
    "sizeof GUID" => size_of::<GUID>();
    "GUID.Data1" => offset_of!(GUID, data1);
    "GUID.Data2" => offset_of!(GUID, data2);
    "GUID.Data3" => offset_of!(GUID, data3);
    "GUID.Data4" => offset_of!(GUID, data4);
    "STARTED" => AsyncStatus::Started as i32;
    "COMPLETED" => AsyncStatus::Completed as i32;
    "CANCELED" => AsyncStatus::Canceled as i32;
    "ERROR" => AsyncStatus::Error as i32;
    "STATUS_SUCCESS" => NTSTATUS::SUCCESS.to_u32();
    "STATUS_TIMEOUT" => NTSTATUS::TIMEOUT.to_u32();
    "STATUS_PENDING" => NTSTATUS::PENDING.to_u32();
    "STATUS_UNSUCCESSFUL" => NTSTATUS::UNSUCCESSFUL.to_u32();
    "STATUS_INVALID_PARAMETER" => NTSTATUS::INVALID_PARAMETER.to_u32();
    "STATUS_BUFFER_TOO_SMALL" => NTSTATUS::BUFFER_TOO_SMALL.to_u32();
    "STATUS_DELETE_PENDING" => NTSTATUS::DELETE_PENDING.to_u32();
    "STATUS_INSUFFICIENT_RESOURCES" => NTSTATUS::INSUFFICIENT_RESOURCES.to_u32();
    "STATUS_IO_TIMEOUT" => NTSTATUS::IO_TIMEOUT.to_u32();
    "STATUS_NOT_SUPPORTED" => NTSTATUS::NOT_SUPPORTED.to_u32();
    "STATUS_NAME_TOO_LONG" => NTSTATUS::NAME_TOO_LONG.to_u32();
    "STATUS_CANCELLED" => NTSTATUS::CANCELLED.to_u32();
    "STATUS_PIPE_BROKEN" => NTSTATUS::PIPE_BROKEN.to_u32();
    "STATUS_DRIVER_INTERNAL_ERROR" => NTSTATUS::DRIVER_INTERNAL_ERROR.to_u32();
    "STATUS_INVALID_DEVICE_STATE" => NTSTATUS::INVALID_DEVICE_STATE.to_u32();
    "STATUS_POSSIBLE_DEADLOCK" => NTSTATUS::POSSIBLE_DEADLOCK.to_u32();
    "STATUS_NOINTERFACE" => NTSTATUS::NOINTERFACE.to_u32();
}

#[cfg(all(test, feature = "lines"))]
#[expect(clippy::unwrap_used, reason = "tests say what they mean")]
mod tests {
    use super::abi_rows;

    fn number(name: &str) -> u64 {
        let row =
            abi_rows.iter().find(|row| row.name.split(|byte| *byte == 0).next() == Some(name.as_bytes()));
        row.unwrap().value
    }

    /// Every line has a row with the same number.
    #[test]
    fn the_rows_are_those_of_the_lines() {
        for line in crate::lines() {
            let cells: Vec<&str> = line.split(" | ").collect();
            let (kind, name, numbers) = (cells[0], cells[1], cells[2]);
            let bits = if cfg!(target_pointer_width = "64") { 0 } else { 1 };
            let wanted = |text: &str| match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
                None => text.split(' ').nth(bits).unwrap_or(text).parse().unwrap(),
            };
            let (name, wanted) = match kind {
                "interface" => {
                    let digits = u128::from_str_radix(&numbers.replace('-', ""), 16).unwrap();
                    assert_eq!(number(&format!("IID of {name}, high")), (digits >> 64) as u64);
                    (format!("IID of {name}, low"), digits as u64)
                }
                "slot" => {
                    let (interface, slot) = name.split_once("] ").unwrap();
                    (format!("{} {slot}", interface.split('[').next().unwrap()), wanted(numbers))
                }
                "size" | "integer" | "callback" => (format!("sizeof {name}"), wanted(numbers)),
                _ => (name.to_owned(), wanted(numbers)),
            };
            assert_eq!(number(&name), wanted, "{line}");
        }
    }
}
