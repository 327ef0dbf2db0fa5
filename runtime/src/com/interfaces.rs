//! The interfaces of an object, which are one interface, or several in a tuple.
//!
//! # Why tuples
//!
//! An object has a pointer for each of its interfaces, side by side, with the primary one first.
//! The count and the value, which do not depend on the interfaces, come after them. The trait is
//! implemented for one interface and for tuples, by types alone, so that no macro writes an object.

use core::{ffi::c_void, marker::PhantomData};

use super::{
    GUID, Interface, InterfaceOf,
    interface_slot::{ObjectLayout, Table},
};

/// The interfaces that objects of type `T` can have together.
///
/// They are one interface, `ISensorRaw`, or a tuple of up to eight, `(ISensorRaw, IConfigRaw)`, the
/// primary one first.
///
/// Each interface has a pointer in the object and its own table, with slots that find the object
/// from that pointer. QueryInterface answers for each interface, for all their bases, and for
/// IUnknown, which is always the primary one `[C2]`. If two have a base in common, the first one
/// answers for it. An interface may be derived from another one, anywhere in the tuple. Two
/// interfaces with the same IID are a compile error.
///
/// # Safety
/// Only `ntcom` implements it.
///
/// ```
/// use ntcom::{ComObject, ComRc, GUID, IUnknown, declare_com_interface};
///
/// declare_com_interface! {
///     /// A sensor that measures.
///     pub trait ISensor: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a08);
///         /// The last measurement.
///         fn last(&self) -> u32;
///     }
/// }
/// declare_com_interface! {
///     /// A sensor's configuration.
///     pub trait IConfig: IUnknown {
///         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a09);
///         /// The number of channels.
///         fn channels(&self) -> u32;
///     }
/// }
/// struct Sensor { channels: u32 }
/// impl ISensor for Sensor {
///     fn last(&self) -> u32 { 7 }
/// }
/// impl IConfig for Sensor {
///     fn channels(&self) -> u32 { self.channels }
/// }
///
/// # let mut kernel = ntsim::Simulation::new(ntsim::Config::default(), ntsim::Schedule::round_robin());
/// # kernel.run_on(0, || {
/// let sensor = ComObject::<_, (ISensorRaw, IConfigRaw)>::new(Sensor { channels: 4 }).unwrap();
/// assert_eq!(sensor.last(), Ok(7));
/// let config: ComRc<IConfigRaw> = sensor.query().unwrap();
/// assert_eq!(config.channels(), Ok(4));
/// # }).unwrap();
/// ```
///
/// The same interface twice does not compile:
///
/// ```compile_fail,E0080
/// # use ntcom::{ComObject, GUID, IUnknown, declare_com_interface};
/// # declare_com_interface! {
/// #     /// A sensor that measures.
/// #     pub trait ISensor: IUnknown {
/// #         const IID: GUID = GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7a12);
/// #         /// The last measurement.
/// #         fn last(&self) -> u32;
/// #     }
/// # }
/// # struct Sensor;
/// # impl ISensor for Sensor {
/// #     fn last(&self) -> u32 { 7 }
/// # }
/// let sensor = ComObject::<_, (ISensorRaw, ISensorRaw)>::new(Sensor);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an interface, or a tuple of interfaces, of objects of type `{T}`",
    note = "name one interface that `{T}` implements, such as `ISensorRaw`, or up to eight in a tuple, `(ISensorRaw, IConfigRaw)`"
)]
pub unsafe trait Interfaces<T>: Sized + 'static {
    /// The first interface. It is the object's IUnknown, and a new object is handed out as this
    /// interface.
    type Primary: Interface;

    /// One pointer to a table for each interface.
    #[doc(hidden)]
    type Tables: Copy + 'static;

    /// The tables, for one layout of objects.
    #[doc(hidden)]
    type __BuiltTables<O: ObjectLayout<T>>: BuiltTables<Self::Tables>;

    /// The index of the interface that answers for an IID.
    #[doc(hidden)]
    fn __index(iid: &GUID) -> Option<usize>;

    /// Returns an interface that the object has in addition, AddRef'd, such as an inner object's.
    #[doc(hidden)]
    fn __query_extra(_value: &T, _iid: &GUID) -> Option<*mut c_void> {
        None
    }
}

#[doc(hidden)]
/// A constant with the tables of an object's interfaces.
pub trait BuiltTables<Tables> {
    /// The tables.
    const TABLES: Tables;
}

#[doc(hidden)]
/// The tables of interfaces `S` for objects of type `T` with layout `O`.
pub struct TablesFor<S, T, O>(PhantomData<(S, T, O)>);

// SAFETY: there is one table, and one interface that answers.
unsafe impl<T: 'static, I: Interface + InterfaceOf<T> + 'static> Interfaces<T> for I {
    type Primary = I;
    type Tables = [*const c_void; 1];
    type __BuiltTables<O: ObjectLayout<T>> = TablesFor<I, T, O>;

    fn __index(iid: &GUID) -> Option<usize> {
        I::answers(iid).then_some(0)
    }
}

impl<T: 'static, I: InterfaceOf<T>, O: ObjectLayout<T>> BuiltTables<[*const c_void; 1]>
    for TablesFor<I, T, O>
{
    const TABLES: [*const c_void; 1] = [<I::__Table<O::Slot<0>>>::VTBL];
}

/// Stops the compilation if two interfaces of an object have the same IID.
const fn assert_distinct(iids: &[GUID]) {
    let mut rest = iids;
    while let [first, others @ ..] = rest {
        let mut left = others;
        while let [other, more @ ..] = left {
            assert!(
                !first.same(other),
                "two interfaces of an object have the same IID: a query would find the first one only"
            );
            left = more;
        }
        rest = others;
    }
}

macro_rules! tuple {
    ($count:literal: $($interface:ident $index:literal),+; $primary:ident) => {
        // SAFETY: there is a table for each interface, in the order in which `__index` numbers
        // them.
        unsafe impl<T: 'static, $($interface: InterfaceOf<T> + 'static),+> Interfaces<T> for ($($interface,)+) {
            type Primary = $primary;
            type Tables = [*const c_void; $count];
            type __BuiltTables<O: ObjectLayout<T>> = TablesFor<Self, T, O>;

            fn __index(iid: &GUID) -> Option<usize> {
                $(if $interface::answers(iid) {
                    return Some($index);
                })+
                None
            }
        }

        impl<T: 'static, O: ObjectLayout<T>, $($interface: InterfaceOf<T>),+> BuiltTables<[*const c_void; $count]>
            for TablesFor<($($interface,)+), T, O>
        {
            const TABLES: [*const c_void; $count] = {
                assert_distinct(&[$($interface::IID),+]);
                [$(<$interface::__Table<O::Slot<$index>>>::VTBL),+]
            };
        }
    };
}

tuple!(1: A 0; A);
tuple!(2: A 0, B 1; A);
tuple!(3: A 0, B 1, C 2; A);
tuple!(4: A 0, B 1, C 2, D 3; A);
tuple!(5: A 0, B 1, C 2, D 3, E 4; A);
tuple!(6: A 0, B 1, C 2, D 3, E 4, F 5; A);
tuple!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6; A);
tuple!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7; A);
