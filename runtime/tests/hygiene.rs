//! Tests that a declaration means the same wherever it stands.
//!
//! The tests put it where names of the prelude and of the language mean something else, in a
//! function, and in a macro's output. Its arguments and methods have the macro's own names.
#![no_implicit_prelude]
#![allow(non_camel_case_types, non_upper_case_globals, dead_code, reason = "the names are what is tested")]
#![allow(clippy::unwrap_used, reason = "tests say what they mean")]
#![allow(clippy::upper_case_acronyms, clippy::too_many_arguments, reason = "the names are what is tested")]

use ::core::primitive;
use ::core::result::Result as Outcome;
use ::ntcom::{ComObject, ComRc, GlobalAllocator, InitBox, InitBoxTrait, pin_init};
use ::std::boxed::Box;

/// Decoys for all names that the macro could pick up.
mod decoys {
    pub(super) struct Option;
    pub(super) struct Some;
    pub(super) struct None;
    pub(super) struct Result;
    pub(super) struct Ok;
    pub(super) struct Err;
    pub(super) struct Send;
    pub(super) struct Sync;
    pub(super) struct Copy;
    pub(super) struct Clone;
    pub(super) struct Into;
    pub(super) struct From;
    pub(super) struct Sized;
    pub(super) struct u8;
    pub(super) struct u16;
    pub(super) struct u32;
    pub(super) struct u128;
    pub(super) struct usize;
    pub(super) struct str;
    pub(super) struct bool;
    pub(super) struct ComRc;
    pub(super) struct NTSTATUS;
    pub(super) struct Interface;
    pub(super) trait At {}
    pub(super) trait Place {}
    pub(super) mod core {}
    pub(super) mod std {}
    pub(super) mod alloc {}
    pub(super) mod ntcom {}
}

mod declared {
    #[allow(unused_imports, reason = "nothing that the macro writes may find them")]
    use super::decoys::*;
    use ::core::primitive;

    ::ntcom::declare_com_interface! {
        /// Arguments and methods with names that the macro uses itself.
        pub(super) trait INames: ::ntcom::IUnknown {
            const IID: ::ntcom::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb001";
            fn sum(
                &self,
                __this: primitive::u32,
                __object: primitive::u32,
                __answer: primitive::u32,
                __out: primitive::u32,
                __vtbl: primitive::u32,
                __slot: primitive::u32,
                __result: primitive::u32,
                this: primitive::u32,
                r#type: primitive::u32,
            ) -> ::core::result::Result<primitive::u32, ::ntcom::NTSTATUS>;
            fn r#match(&self, __object: primitive::u32, __slot: primitive::u32) -> primitive::u32;
            fn deref(&self) -> primitive::u32;
            fn cast(&self) -> primitive::u32;
            fn from_ref(&self) -> primitive::u32;
            fn vtbl(&self) -> primitive::u32;
            fn object(&self) -> primitive::u32;
            fn __of(&self) -> primitive::u32;
            fn __has(&self) -> primitive::u32;
            fn itself(&self) -> ::core::result::Result<::ntcom::ComRc<INamesRaw>, ::ntcom::NTSTATUS>;
            async fn later(&self, __this: primitive::u32, __answer: primitive::u32) -> primitive::u32;
        }
    }

    /// A declaration from a macro has invisible groups around the macro's arguments.
    macro_rules! interface {
        ($(#[$attribute:meta])* $visibility:vis $name:ident: $base:path, $iid:expr, $guid:ty,
         $($method:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
            ::ntcom::declare_com_interface! {
                $(#[$attribute])*
                $visibility trait $name: $base {
                    const IID: $guid = $iid;
                    $(fn $method(&self, $($argument: $type),*) -> $result;)*
                }
            }
        };
    }
    interface! {
        /// /// An interface from a macro.
        pub(super) IMade: ::ntcom::IUnknown, ::ntcom::GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1fb002), ::ntcom::GUID,
        fallible(a: primitive::u32) -> ::core::result::Result<primitive::u32, ::ntcom::NTSTATUS>;
        unit() -> ();
        status(b: *const primitive::u8) -> ::core::result::Result<(), ::ntcom::NTSTATUS>;
    }
    interface! {
        pub(super) IMadeToo: IMade, (::ntcom::GUID { data4: [0x8a, 0x55, 0x1f, 0x0f, 0x0c, 0x1f, 0xb0, b'\x03'],
            data1: 0x0d6a_1e7c, data2: 0x7f5c_u16, data3: 0x4d3e }), ::ntcom::GUID,
        made() -> ::core::result::Result<::ntcom::ComRc<IMadeRaw>, ::ntcom::NTSTATUS>;
    }

    ::ntcom::declare_com_interface! {
        /// The attributes of a declaration do not make the macro's own code warn.
        #[deprecated(note = "for the test")]
        #[doc(hidden)]
        pub(in crate::declared) trait IOld: ::ntcom::IUnknown {
            /// Its IID.
            #[allow(clippy::unreadable_literal, reason = "for the test")]
            const IID: ::ntcom::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb004";
            #[allow(non_snake_case, reason = "a name from elsewhere")]
            fn GetIt(&self);
            #[expect(non_snake_case, reason = "a name from elsewhere")]
            #[must_use = "for the test"]
            fn SetIt(&self) -> primitive::u32;
        }
    }
}
use declared::{IMade, IMadeRaw, IMadeToo, IMadeTooRaw, INames, INamesRaw};

struct Names;

// SAFETY: the body touches no memory but its own.
unsafe impl INames for Names {
    type Allocator = GlobalAllocator;
    type LaterFuture = ::core::future::Ready<primitive::u32>;
    fn sum(
        &self,
        a: primitive::u32,
        b: primitive::u32,
        c: primitive::u32,
        d: primitive::u32,
        e: primitive::u32,
        f: primitive::u32,
        g: primitive::u32,
        h: primitive::u32,
        i: primitive::u32,
    ) -> Outcome<primitive::u32, ::ntcom::NTSTATUS> {
        let digits = [a, b, c, d, e, f, g, h, i];
        Outcome::Ok(::core::iter::Iterator::fold(::core::iter::IntoIterator::into_iter(digits), 0, |n, d| {
            n * 10 + d
        }))
    }
    fn r#match(&self, object: primitive::u32, slot: primitive::u32) -> primitive::u32 {
        object * 10 + slot
    }
    fn deref(&self) -> primitive::u32 {
        1
    }
    fn cast(&self) -> primitive::u32 {
        2
    }
    fn from_ref(&self) -> primitive::u32 {
        3
    }
    fn vtbl(&self) -> primitive::u32 {
        4
    }
    fn object(&self) -> primitive::u32 {
        5
    }
    fn __of(&self) -> primitive::u32 {
        6
    }
    fn __has(&self) -> primitive::u32 {
        7
    }
    fn itself(&self) -> Outcome<ComRc<INamesRaw>, ::ntcom::NTSTATUS> {
        ComObject::<_, INamesRaw>::new(Names)
    }
    fn later(
        &self,
        a: primitive::u32,
        b: primitive::u32,
    ) -> impl InitBoxTrait<Self::LaterFuture, Self::Allocator, ::ntcom::NTSTATUS> {
        InitBox::new(GlobalAllocator, pin_init!(::core::future::ready(a * 10 + b)))
    }
}

fn in_kernel(program: fn()) {
    let mut kernel = ::ntsim::Simulation::new(
        <::ntsim::Config as ::core::default::Default>::default(),
        ::ntsim::Schedule::round_robin(),
    );
    kernel.run(::std::vec![(0, Box::new(program) as Box<_>)]).unwrap();
}

#[test]
fn arguments_and_methods_may_have_the_macros_own_names() {
    in_kernel(|| {
        let object = ComObject::<_, INamesRaw>::new(Names).unwrap();
        ::std::assert_eq!(object.sum(1, 2, 3, 4, 5, 6, 7, 8, 9), Outcome::Ok(123_456_789));
        ::std::assert_eq!(object.r#match(4, 2), Outcome::Ok(42));
        let calls = [
            object.deref(),
            object.cast(),
            object.from_ref(),
            object.vtbl(),
            object.object(),
            object.__of(),
            object.__has(),
        ];
        ::std::assert_eq!(calls, [1, 2, 3, 4, 5, 6, 7].map(Outcome::Ok));
        ::std::assert_eq!(object.itself().unwrap().r#match(0, 7), Outcome::Ok(7));
        ::std::assert_eq!(object.later(3, 1).unwrap().result(), Outcome::Ok(31));
    });
}

struct Made;

impl IMade for Made {
    fn fallible(&self, a: primitive::u32) -> Outcome<primitive::u32, ::ntcom::NTSTATUS> {
        Outcome::Ok(a + 1)
    }
    fn unit(&self) {}
    fn status(&self, b: *const primitive::u8) -> Outcome<(), ::ntcom::NTSTATUS> {
        if b.is_null() { Outcome::Err(::ntcom::NTSTATUS::INVALID_PARAMETER) } else { Outcome::Ok(()) }
    }
}

impl IMadeToo for Made {
    fn made(&self) -> Outcome<ComRc<IMadeRaw>, ::ntcom::NTSTATUS> {
        ComObject::<_, IMadeRaw>::new(Made)
    }
}

#[test]
fn a_macro_may_write_the_declaration() {
    in_kernel(|| {
        let object = ComObject::<_, IMadeTooRaw>::new(Made).unwrap();
        ::std::assert_eq!(object.fallible(4), Outcome::Ok(5));
        ::std::assert_eq!(object.unit(), Outcome::Ok(()));
        ::std::assert_eq!(
            object.status(::core::ptr::null()),
            Outcome::Err(::ntcom::NTSTATUS::INVALID_PARAMETER)
        );
        ::std::assert_eq!(object.made().unwrap().fallible(6), Outcome::Ok(7));
        let iids = [<IMadeRaw as ::ntcom::Interface>::IID, <IMadeTooRaw as ::ntcom::Interface>::IID];
        let digits = 0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1fb002_u128;
        ::std::assert_eq!(iids, [digits, digits + 1].map(::ntcom::GUID::from_u128));
    });
}

#[test]
fn a_function_may_have_interfaces_of_its_own() {
    fn second() -> primitive::u32 {
        ::ntcom::declare_com_interface! {
            trait ILocal: ::ntcom::IUnknown {
                const IID: ::ntcom::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb005";
                fn number(&self) -> primitive::u32;
            }
        }
        impl ILocal for primitive::u64 {
            fn number(&self) -> primitive::u32 {
                2
            }
        }
        ComObject::<_, ILocalRaw>::new(5_u64).unwrap().number().unwrap()
    }
    in_kernel(|| {
        ::ntcom::declare_com_interface! {
            trait ILocal: ::ntcom::IUnknown {
                const IID: ::ntcom::GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb006";
                fn number(&self) -> primitive::u32;
            }
        }
        impl ILocal for primitive::u64 {
            fn number(&self) -> primitive::u32 {
                1
            }
        }
        let first = ComObject::<_, ILocalRaw>::new(5_u64).unwrap();
        ::std::assert_eq!((first.number(), second()), (Outcome::Ok(1), 2));
    });
}

#[test]
fn other_macros_need_no_names_either() {
    fn half(n: primitive::u32) -> Outcome<primitive::u32, ::ntcom::NTSTATUS> {
        ::ntcom::ensure!(n.is_multiple_of(2), ::ntcom::NTSTATUS::INVALID_PARAMETER);
        Outcome::Ok(n / 2)
    }
    mod strings {
        #[allow(unused_imports, reason = "nothing that the macro writes may find them")]
        use super::decoys::*;
        pub(super) const NAME: ::ntcom::UnicodeStr<'static> = ::ntcom::kstr!("name");
        const IID: ::ntcom::GUID = ::ntcom::iid!("0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1fb007");
        static PROVIDER: ::ntcom::trace::EtwProvider = ::ntcom::trace::EtwProvider::new(7);
        ::ntcom::etw_sink!(pub(super) static EVENTS = PROVIDER, keyword 1, ::ntcom::trace::Level::Debug);
        ::ntcom::debugger_sink!(pub(super) static DEBUGGER = unsafe { ::ntsim::ddi::DbgPrintEx }, ::ntcom::trace::Level::Warn);
        pub(super) fn say() -> ::ntcom::GUID {
            ::ntcom::log!(::ntcom::trace::Level::Debug, "{}", 5);
            IID
        }
    }
    ::std::assert_eq!((half(4), half(5).is_err()), (Outcome::Ok(2), true));
    ::std::assert!(strings::NAME == "name");
    ::std::assert_eq!(strings::say(), ::ntcom::GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1fb007));
    ::std::assert!(strings::EVENTS.level > strings::DEBUGGER.level);
}
