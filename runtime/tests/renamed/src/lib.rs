//! What the macros of ntcom emit finds it where a package has it under another name: this compiles.
#![no_std]

use com::declare_com_interface;

/// The name comes from the manifest.
#[repr(C)]
#[derive(Clone, Copy, Debug, com::AbiType)]
pub struct Found {
    next: *mut Self,
    byte: u8,
}

/// The name is said.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, com::AbiType, com::AbiValue)]
#[abi_type(crate = com)]
pub struct Said(u32);

/// A value that is no `AbiType`.
#[repr(C)]
#[derive(Clone, Copy, Debug, com::AsyncValueType)]
pub struct Value {
    known: bool,
    said: Said,
}

mod elsewhere {
    pub(crate) use com as somewhere;
}

/// The path need not be a dependency's.
#[repr(C)]
#[derive(Clone, Copy, Debug, com::AbiType)]
#[abi_type(crate = crate::elsewhere::somewhere)]
pub struct Elsewhere(u8, u32);

declare_com_interface! {
    /// An interface of such types.
    pub trait IRenamed: com::IUnknown {
        const IID: com::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7e21";
        /// Hands one out.
        fn found(&self, said: Said) -> Result<Found, com::NTSTATUS>;
        /// Yields one.
        #[opaque]
        async fn elsewhere(&self) -> Elsewhere;
    }
}

const _: fn() = || {
    const fn can_be_yielded<T: com::AsyncValueType>() {}
    can_be_yielded::<Value>();
    can_be_yielded::<Said>();
};
