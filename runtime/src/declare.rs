//! `declare_com_interface!`, and the items of this crate that its expansion uses.

/// Declares a COM interface.
///
/// The declaration becomes a trait for implementations, a table, a raw interface, and calls for
/// clients.
///
#[cfg_attr(feature = "async-com", doc = "```")]
#[cfg_attr(not(feature = "async-com"), doc = "```ignore")]
/// use ntcom::{
///     ComObject, GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, NTSTATUS, declare_com_interface, pin_init,
/// };
///
/// declare_com_interface! {
///     /// A thermometer.
///     pub trait IThermometer: IUnknown {
///         const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a05";
///         /// The highest temperature that it can measure, in kelvin; answers at once.
///         fn highest(&self) -> u32;
///         /// The precision; returns a status, and the value through a pointer.
///         fn tolerance(&self, channel: u32) -> Result<u32, NTSTATUS>;
///         /// Measures; returns an operation.
///         async fn measure(&self, channel: u32) -> i32;
///     }
/// }
///
/// struct Thermometer;
///
/// // SAFETY: the body touches no pageable memory and waits for nothing.
/// unsafe impl IThermometer for Thermometer {
///     type Allocator = GlobalAllocator;
///     type MeasureFuture = core::future::Ready<i32>;
///     fn highest(&self) -> u32 { 400 }
///     fn tolerance(&self, channel: u32) -> Result<u32, NTSTATUS> {
///         if channel < 4 { Ok(2) } else { Err(NTSTATUS::INVALID_PARAMETER) }
///     }
///     fn measure(&self, channel: u32) -> impl InitBoxTrait<Self::MeasureFuture, Self::Allocator, NTSTATUS> {
///         InitBox::new(GlobalAllocator, pin_init!(core::future::ready(290 + channel as i32)))
///     }
/// }
/// # #[cfg(all(feature = "async-com", feature = "sim"))] {
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
///
/// let thermometer = ComObject::<_, IThermometerRaw>::new(Thermometer).unwrap();
/// assert_eq!(thermometer.highest(), Ok(400));
/// assert_eq!(thermometer.tolerance(9), Err(NTSTATUS::INVALID_PARAMETER));
/// assert_eq!(thermometer.measure(3).unwrap().result(), Ok(293));
/// # }).unwrap();
/// # }
/// ```
///
/// A minimal declaration and implementation, for one async method:
///
#[cfg_attr(feature = "async-com", doc = "```")]
#[cfg_attr(not(feature = "async-com"), doc = "```ignore")]
/// # use ntcom::{
/// #     GUID, GlobalAllocator, IUnknown, InitBox, InitBoxTrait, NTSTATUS, declare_com_interface, pin_init,
/// # };
/// declare_com_interface! {
///     pub trait IMyAsync: IUnknown {
///         const IID: GUID = GUID { data1: 0x0d6a1e7c, data2: 0x7f5c, data3: 0x4d3e, data4: [0x8a, 0x55, 0x1f, 0x0f, 0x0c, 0x1f, 0x7a, 0x06] };
///         async fn get_status(&self) -> i32;
///     }
/// }
/// struct MyImpl;
/// unsafe impl IMyAsync for MyImpl {
///     type GetStatusFuture = core::future::Ready<i32>;
///     type Allocator = GlobalAllocator;
///     fn get_status(&self) -> impl InitBoxTrait<Self::GetStatusFuture, Self::Allocator, NTSTATUS> {
///         InitBox::new(GlobalAllocator, pin_init!(core::future::ready(1)))
///     }
/// }
/// ```
///
/// # What is declared
///
/// The macro declares these items for `trait IName: IBase` with `const IID: GUID` and methods that
/// take `&self`:
///
/// | item | meaning |
/// |---|---|
/// | `IName` | the trait that the values of objects with this interface implement |
/// | `INameVtbl` | the table: the base's slots, then one slot for each method, in the order of declaration |
/// | `INameRaw` | the interface as it crosses, which is one pointer to the table |
/// | `INameRef` | the calls of a `ComRc<INameRaw>`, which answer `STATUS_DRIVER_INTERNAL_ERROR` where a slot is missing `[C17]` |
///
/// The base is `IUnknown`, or another declared interface, with its `…Vtbl` and `…Raw` in scope
/// beside it. A client's pointer to an interface has the calls of its bases, too. Client code
/// imports nothing to call a method: `ComRc<INameRaw>` derefs to `INameRef`, and that derefs to its
/// base's (see [`Callable`](crate::Callable)).
///
/// A call on a `ComRc` finds the methods of `ComRc` before those of the interface. So these names
/// are refused: `as_ptr`, `into_raw`, `query`, `base`, `clone`, `clone_from`, `drop`, `into`,
/// `try_into`, `to_owned`. Give such a method another name; the binary interface has no names.
///
/// # Methods
///
/// - `fn name(&self, …) -> T`: The slot returns the value. The value and the arguments are
///   [`AbiValue`](crate::AbiValue)s.
/// - `async fn name(&self, …) -> T`: The slot returns `*mut AsyncOperationRaw<T>`, never null
///   `[C11]`, which owns one reference. The implementation names the future (`type NameFuture`) and
///   returns a recipe for it ([`InitBox`](crate::InitBox)). The body is built in the operation's
///   block, the only allocation. While it lives, it holds a reference to its object, or to the
///   aggregate that the object is a part of `[C19]`.
/// - `#[opaque] async fn …`: The same for futures without a name, such as those of `async` blocks.
/// - `async fn … -> Result<T, NTSTATUS>`: `T` crosses. An `Err` ends the operation in state Error
///   `[C20]`.
/// - `fn name(&self, …) -> Result<T, E>`: The slot returns an NTSTATUS, and writes the value
///   through a pointer, `T *`, after the other arguments. `Result<(), E>` has no such pointer. `E`
///   is [`NTSTATUS`](crate::NTSTATUS), or a type that converts to it (`Into<NTSTATUS>`). `Ok` is
///   `STATUS_SUCCESS`. An `Err` zeroes the value behind the pointer, and becomes
///   `STATUS_UNSUCCESSFUL` if its status is not a failure, as in `[C7]`. If the pointer is null,
///   the slot returns `STATUS_INVALID_PARAMETER` without calling the method. A client gets the
///   `Result` back, with an NTSTATUS.
/// - `Result<ComRc<IOtherRaw>, E>`: The value is a pointer to an interface, `IOther **`, with a
///   reference. An `async fn` may yield one, too. Its operation hands out a reference each time
///   (see [`InterfacePtr`](crate::InterfacePtr)).
/// - `unsafe fn …`: For arguments that the object trusts, such as pointers that it follows. The
///   calls are then unsafe, too.
///
/// # The IID
///
/// The macro reads the IID in one of these forms, and checks it at compile time:
///
/// - a string of 32 hexadecimal digits in five groups, `"0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7d01"`;
/// - `GUID::from_u128(0x…)` of a literal;
/// - `GUID { data1: …, data2: …, data3: …, data4: … }` of literals.
///
/// A declaration promises that every object that answers QueryInterface for this IID has these
/// slots, with these signatures. A query relies on it, so with another interface behind the same
/// IID calls are undefined behaviour. Make a new IID for each interface, and for each version of
/// one. Never change an interface that another binary may know.
///
/// Inside one image the tools check the promise. Each declaration defines a symbol with its IID in
/// the name, and the linker refuses an image with two of them:
///
/// ```text
/// rust-lld: error: duplicate symbol: ntcom_one_declaration_per_iid_0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7d01
/// ```
///
/// Two versions of one interface crate in one image are two declarations, and do not link, either.
/// So let all packages depend on the same version. Keep interfaces that several packages use in a
/// package of their own, without dev-dependencies that depend on it, because a unit test of such a
/// package would have the declarations twice. (Its tests in `tests/` have them once.) In an image
/// of several Rust static libraries, only one of them may contain an interface.
///
/// `unsafe const IID: GUID = …` takes any expression, and defines no symbol. Its author promises
/// that any other declaration with this IID in this image is the same interface, to the last slot
/// and type. `#![forbid(unsafe_code)]` refuses it.
///
/// Between images the promise is that of [`ComRc::from_raw`](crate::ComRc::from_raw). The driver
/// that lets a foreign pointer in vouches for the object behind it, and for the pointers that its
/// QueryInterface hands out.
///
/// A handwritten interface (`unsafe impl` [`Interface`](crate::Interface)) claims its IID with
/// [`iid!`](crate::iid). A declaration with the IID of one of `ntcom`'s own interfaces, or of its
/// base, does not compile. Neither does an object with two interfaces of one IID. The IIDs of
/// `ntcom`'s own interfaces have no symbol, so two versions of `ntcom` may be in one image, because
/// no version changes these interfaces.
///
/// A trait with async methods is `unsafe` to implement, because the bodies are polled and dropped
/// at the executor's IRQL.
///
/// Methods may be called at the IRQL that the interface's author documents, and async ones at ≤
/// DISPATCH_LEVEL if making the recipe allows it.
#[macro_export]
macro_rules! declare_com_interface {
    ($($declaration:tt)*) => {
        $crate::__private::declare_com_interface! { ($crate) $($declaration)* }
    };
}

/// The GUID of a string, claimed for one handwritten interface.
///
/// A second claim of the same IID, or a declaration with it, does not link.
///
/// ```
/// use ntcom::{GUID, IUnknownVtbl, Interface, iid};
///
/// #[repr(C)]
/// struct IClockRaw { vtbl: *const IUnknownVtbl }
/// // SAFETY: the layout is as required, and this is the interface's IID.
/// unsafe impl Interface for IClockRaw {
///     const IID: GUID = iid!("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7a0f");
/// }
/// assert_eq!(IClockRaw::IID, GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a0f));
/// ```
#[macro_export]
macro_rules! iid {
    ($text:literal) => {
        $crate::__private::iid! { ($crate) $text }
    };
}

#[doc(hidden)]
pub mod __private {
    //! Items that only the expansions of macros use.

    use core::ffi::c_void;

    pub use crate::string::{encode, length};
    pub use ntcom_exec::{__with_a_kernel as with_a_kernel, Fallible, Infallible, no_unwind};
    #[cfg(feature = "async-com")]
    pub use ntcom_macros::declare_com_interface;
    #[cfg(not(feature = "async-com"))]
    pub use ntcom_macros::declare_com_interface_at_once as declare_com_interface;
    pub use ntcom_macros::iid;

    #[cfg(feature = "async-com")]
    #[doc(hidden)]
    pub use crate::async_com::method::{spawn_named, spawn_opaque};
    #[cfg(feature = "async-com")]
    pub use crate::async_com::owned::{FallibleOwned, Owned};
    pub use bytemuck::{AnyBitPattern, CheckedBitPattern, Zeroable};

    pub use crate::com::{
        bits::{BitsOf, holds},
        interface_slot::{InterfaceAt, InterfaceSlot, TableAt},
        outcome::{checked, interface, status, status_and_interface, status_and_value, value},
        value::AsyncValueType,
        write::{WriteBytes, copy_whole, fits_a_stack, is_whole, write_field, zero},
    };
    use crate::{
        AbiType, AbiValue, ComRc, Derived, GUID, IUnknownRaw, Interface, NTSTATUS, com::interface_slot,
    };

    /// True if the image contains the simulated kernel.
    pub const SIMULATED: bool = ntcom_exec::SIMULATED;

    /// The compiler's message for a driver image that contains the simulated kernel.
    pub const SIMULATED_IMAGE: &str = simulated_image(ntcom_exec::BOTH_KERNELS);

    const fn simulated_image(beside_the_real_one: bool) -> &'static str {
        if beside_the_real_one {
            "this driver image contains the simulated kernel beside the real one: the features `sim` and `wdk` of ntcom and \
             ntcom-exec are both on in this build (`async-com-kernel` implies `wdk`), and `sim` wins. Build the driver \
             without `sim`: its package alone, with `-p`, if another package of the workspace switches `sim` on"
        } else {
            "this driver image contains the simulated kernel: build it without the feature `sim` of ntcom and ntcom-exec \
             (build the driver's package alone, with `-p`, if another package of the workspace switches it on)"
        }
    }

    /// Calls a driver's entry function with the arguments of `DriverEntry`.
    ///
    /// # Safety
    /// The system passed these pointers to `DriverEntry`.
    pub unsafe fn enter<D, R>(
        entry: unsafe fn(*mut D, *const R) -> NTSTATUS,
        driver: *mut c_void,
        registry_path: *const c_void,
    ) -> NTSTATUS {
        // SAFETY: the caller passes the system's pointers, which the entry function takes.
        no_unwind(|| unsafe { entry(driver.cast(), registry_path.cast()) })
    }

    /// Checks the type of an argument, or of a result that is returned at once.
    pub const fn crosses_by_value<T: AbiValue>() {}

    /// Checks the type of a result that is written through a pointer.
    pub const fn crosses_through_pointer<T: AbiType + Copy + WriteBytes>() {
        fits_a_stack::<T>();
    }

    /// Checks the type of a field of an [`AbiType`].
    pub const fn is_abi_type<T: AbiType>() {}

    /// Checks the type of the field of an [`AbiValue`].
    pub const fn is_abi_value<T: AbiValue>() {}

    /// The trait in which the derive of [`AbiValue`] checks the field. The check stands in an
    /// `impl`, so that `Self` is the struct.
    pub trait FieldsAreValues {
        /// Contains the check, and is never called.
        fn check();
    }

    /// Checks the type of a result that is a pointer to an interface.
    pub const fn crosses_as_interface<I: Interface + AbiType + Send + Sync + 'static>() {}

    /// Checks the type of a method's error.
    pub const fn becomes_status<E: Into<NTSTATUS>>() {}

    /// Checks the type of an async method's result.
    #[cfg(feature = "async-com")]
    pub const fn crosses_as_result<T: AbiType + AsyncValueType>() {
        fits_a_stack::<T>();
    }

    /// The IIDs of this crate's interfaces.
    #[cfg(feature = "async-com")]
    const OURS: &[GUID] = &[
        IUnknownRaw::IID,
        <crate::AsyncOperationRaw<()> as Interface>::IID,
        <crate::AsyncControlRaw as Interface>::IID,
    ];
    /// The IIDs of this crate's interfaces.
    #[cfg(not(feature = "async-com"))]
    const OURS: &[GUID] = &[IUnknownRaw::IID];

    /// Tells whether the IID is neither the base's nor one of this crate's. Otherwise a query would
    /// take another table for this interface's.
    #[must_use]
    pub const fn has_its_own_iid<I: Derived>() -> bool {
        let mut taken = OURS;
        while let [first, others @ ..] = taken {
            if first.same(&I::IID) {
                return false;
            }
            taken = others;
        }
        !I::Base::IID.same(&I::IID)
    }

    /// Tells whether an interface's IID has these digits, so that the macro has read the expression
    /// correctly.
    #[must_use]
    pub const fn iid_is<I: Interface>(digits: u128) -> bool {
        I::IID.same(&GUID::from_u128(digits))
    }

    /// The promise that the author of `unsafe const IID` makes.
    ///
    /// # Safety
    /// Any other interface in this image with the declaration's IID is the same interface, to the
    /// last slot.
    pub const unsafe fn iid_is_its_own() {}

    /// Tells whether `name` is one of `names`.
    #[must_use]
    pub const fn contains(names: &[&str], name: &str) -> bool {
        let mut rest = names;
        while let [first, others @ ..] = rest {
            if same(first.as_bytes(), name.as_bytes()) {
                return true;
            }
            rest = others;
        }
        false
    }

    const fn same(mut one: &[u8], mut other: &[u8]) -> bool {
        while let ([a, one_rest @ ..], [b, other_rest @ ..]) = (one, other) {
            if *a != *b {
                return false;
            }
            (one, other) = (one_rest, other_rest);
        }
        one.is_empty() && other.is_empty()
    }

    /// Returns the value of the object of a slot's `this`.
    ///
    /// # Safety
    /// `this` is the interface at this place of an object of type `T`, and the caller has a
    /// reference while the result is used.
    pub unsafe fn object<'a, T, P: InterfaceSlot<T>>(this: *mut c_void) -> &'a T {
        // SAFETY: the caller passes an interface at place `P`, with a reference.
        unsafe { interface_slot::object::<T, P>(this) }
    }

    /// Reads the slots of an interface afresh, because the other side may change them.
    ///
    /// # Safety
    /// The interface's table, if there is one, is a `V`.
    pub unsafe fn vtbl<I: Interface, V: Copy>(client: &ComRc<I>) -> Result<V, NTSTATUS> {
        // SAFETY: every interface begins with the pointer to its table, and the reference of
        // `client` keeps the object alive.
        let table = unsafe { client.as_ptr().cast::<*const V>().read() };
        // SAFETY: the pointer is null, or points to a `V`, as the caller guarantees.
        unsafe { table.as_ref() }.copied().ok_or(NTSTATUS::DRIVER_INTERNAL_ERROR)
    }

    /// Takes over the operation that an async method returned.
    ///
    /// # Safety
    /// `raw` is null, or an operation with a reference that the result takes over.
    #[cfg(feature = "async-com")]
    pub unsafe fn operation<T>(
        raw: *mut crate::AsyncOperationRaw<T>,
    ) -> Result<ComRc<crate::AsyncOperationRaw<T>>, NTSTATUS> {
        // SAFETY: the caller passes null, or an operation with a reference. Null breaks the
        // contract [C11].
        unsafe { ComRc::from_raw(raw) }.map_err(|_| NTSTATUS::DRIVER_INTERNAL_ERROR)
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn both_refusals_name_the_simulated_kernel_and_one_names_both_features() {
            let [both, simulated] = [true, false].map(super::simulated_image);
            for message in [both, simulated] {
                // `cargo xtask features` looks for these words.
                assert!(message.starts_with("this driver image contains the simulated kernel"), "{message}");
            }
            assert!(both.contains("`sim` and `wdk`") && !simulated.contains("`wdk`"), "{both}\n{simulated}");
        }
    }
}
