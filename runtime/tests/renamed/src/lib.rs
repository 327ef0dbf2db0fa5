//! A package that depends on ntcom under another name. It tests that the macros' output finds ntcom
//! there; compiling is the test.
#![no_std]

use com::declare_com_interface;

/// A struct for which the manifest gives the name.
#[repr(C)]
#[derive(Clone, Copy, Debug, com::AbiType)]
pub struct Found {
    next: *mut Self,
    byte: u8,
}

/// A struct for which an attribute gives the name.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, com::AbiType, com::AbiValue)]
#[abi_type(crate = com)]
pub struct Said(u32);

/// A value type that is not an `AbiType`.
#[repr(C)]
#[derive(Clone, Copy, Debug, com::AsyncValueType)]
pub struct Value {
    known: bool,
    said: Said,
}

mod elsewhere {
    pub(crate) use com as somewhere;
}

/// A struct for which an attribute gives a path that is not a dependency's name.
#[repr(C)]
#[derive(Clone, Copy, Debug, com::AbiType)]
#[abi_type(crate = crate::elsewhere::somewhere)]
pub struct Elsewhere(u8, u32);

declare_com_interface! {
    /// An interface with these types.
    pub trait IRenamed: com::IUnknown {
        const IID: com::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e21";
        /// Hands out a struct.
        fn found(&self, said: Said) -> Result<Found, com::NTSTATUS>;
        /// Yields a struct.
        #[opaque]
        async fn elsewhere(&self) -> Elsewhere;
    }
}

const _: fn() = || {
    const fn can_be_yielded<T: com::AsyncValueType>() {}
    can_be_yielded::<Value>();
    can_be_yielded::<Said>();
};
