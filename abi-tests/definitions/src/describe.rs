//! Spells Rust types in C, and a slot's signature from its type.

use core::ffi::c_void;

use ntcom::{GUID, NTSTATUS, RawAsyncStatus, async_com::CompletedHandler};

/// A placeholder for the T of `IAsyncOperation<T>`.
pub(crate) struct Value;

/// A type as C spells it. Number types that must not occur in a slot have a spelling too, so that
/// the table can show them.
pub(crate) trait CType {
    /// The spelling of the type.
    fn spelling() -> String;

    /// A parameter of this type.
    fn parameter(name: &str) -> String {
        let spelling = Self::spelling();
        let space = if spelling.ends_with('*') { "" } else { " " };
        format!("{spelling}{space}{name}")
    }
}

macro_rules! spelled {
    ($($rust:ty => $c:literal),* $(,)?) => {
        $(impl CType for $rust {
            fn spelling() -> String {
                $c.to_owned()
            }
        })*
    };
}

spelled! {
    () => "void",
    c_void => "void",
    Value => "T",
    GUID => "GUID",
    NTSTATUS => "NTSTATUS",
    RawAsyncStatus => "AsyncStatus",
    Option<CompletedHandler> => "CompletedHandler",
    i8 => "int8_t",
    u8 => "uint8_t",
    i16 => "int16_t",
    u16 => "uint16_t",
    i32 => "LONG",
    u32 => "ULONG",
    i64 => "LONGLONG",
    u64 => "ULONGLONG",
    isize => "intptr_t",
    usize => "uintptr_t",
}

fn pointer(target: &str) -> String {
    let space = if target.ends_with('*') { "" } else { " " };
    format!("{target}{space}*")
}

impl<T: CType> CType for *mut T {
    fn spelling() -> String {
        pointer(&T::spelling())
    }
}

impl<T: CType> CType for *const T {
    fn spelling() -> String {
        pointer(&format!("const {}", T::spelling()))
    }
}

/// A function type as C declares it. A calling convention other than the platform's is part of the
/// declaration.
pub(crate) trait Signature {
    /// The declaration with these names of the parameters.
    fn signature(names: &[&str]) -> String;
}

macro_rules! signatures {
    ($abi:literal: $prefix:literal) => {
        signatures!($abi: $prefix,);
        signatures!($abi: $prefix, A);
        signatures!($abi: $prefix, A, B);
        signatures!($abi: $prefix, A, B, C);
        signatures!($abi: $prefix, A, B, C, D);
    };
    ($abi:literal: $prefix:literal, $($parameter:ident),*) => {
        impl<R: CType, $($parameter: CType),*> Signature for unsafe extern $abi fn($($parameter),*) -> R {
            fn signature(names: &[&str]) -> String {
                let parameters: &[fn(&str) -> String] = &[$($parameter::parameter),*];
                declare($prefix, &R::spelling(), parameters, names)
            }
        }
    };
}

signatures!("system": "");
signatures!("C": "extern \"C\" ");
#[cfg(target_arch = "x86_64")]
signatures!("win64": "extern \"win64\" ");
#[cfg(target_arch = "x86_64")]
signatures!("sysv64": "extern \"sysv64\" ");

fn declare(prefix: &str, answer: &str, parameters: &[fn(&str) -> String], names: &[&str]) -> String {
    assert_eq!(parameters.len(), names.len(), "each parameter has a name: {names:?}");
    let parameters: Vec<String> =
        parameters.iter().zip(names).map(|(parameter, name)| parameter(name)).collect();
    format!("{prefix}{answer} ({})", parameters.join(", "))
}

/// The signature of a slot. The slot is selected by its field.
pub(crate) fn of_slot<Table, F: Signature>(_field: fn(&Table) -> Option<F>, names: &[&str]) -> String {
    F::signature(names)
}

#[cfg(test)]
mod tests {
    use super::{CType, GUID, NTSTATUS, RawAsyncStatus, Signature, c_void};

    #[test]
    fn types_are_spelled_as_in_c() {
        assert_eq!(<*const GUID>::parameter("iid"), "const GUID *iid");
        assert_eq!(<*mut *mut c_void>::parameter("out"), "void **out");
        assert_eq!(u32::parameter("size"), "ULONG size");
    }

    #[test]
    fn a_signature_names_the_calling_convention_that_is_not_the_platforms() {
        type Platform = unsafe extern "system" fn(*mut c_void, *mut RawAsyncStatus) -> NTSTATUS;
        assert_eq!(Platform::signature(&["this", "out"]), "NTSTATUS (void *this, AsyncStatus *out)");
        type Other = unsafe extern "C" fn(*mut c_void);
        assert_eq!(Other::signature(&["this"]), "extern \"C\" void (void *this)");
    }
}
