//! All operations have one IID, so a query for it may find an operation of other values of the same
//! size. A number is not an interface, and neither is a pointer without a reference.
use ntcom::{
    AsyncOperationRaw, ComRc, GUID, IUnknown, IUnknownRaw, Interface, InterfacePtr, NTSTATUS,
    declare_com_interface,
};

fn a_number_as_an_interface(operation: &ComRc<AsyncOperationRaw<usize>>) {
    let confused = operation.query::<AsyncOperationRaw<InterfacePtr<IUnknownRaw>>>();
    let _ = confused.unwrap().interface();
}

#[repr(C)]
struct IByHandRaw(*const core::ffi::c_void);

// SAFETY: no object has this interface.
unsafe impl Interface for IByHandRaw {
    const IID: GUID = GUID::from_u128(7);
}

fn by_hand(unknown: &ComRc<IUnknownRaw>) {
    let _ = unknown.query::<IByHandRaw>();
}

declare_com_interface! {
    trait ILends: IUnknown {
        const IID: GUID = GUID::from_u128(8);
        fn lends(&self) -> Result<InterfacePtr<IUnknownRaw>, NTSTATUS>;
    }
}

fn main() {}
