//! Tests of methods that return a `Result`, and of methods and operations that hand out interfaces,
//! on the simulated kernel.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    ffi::c_void,
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};
use std::sync::Arc;

use common::in_kernel;
use ntcom::{
    AbiType, AsyncBody, AsyncStatus, ComObject, ComRc, GUID, GlobalAllocator, IUnknown, IUnknownRaw,
    IUnknownVtbl, InitBox, Interface, InterfacePtr, NTSTATUS, This, declare_com_interface, pin_init,
    try_finally,
};

/// An error type of the driver's own.
#[derive(Debug)]
enum Trouble {
    Busy,
    /// An error with a success code as its status.
    Confused,
}

const BUSY: NTSTATUS = NTSTATUS::from_u32(0x8000_0011);

impl From<Trouble> for NTSTATUS {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Busy => BUSY,
            Trouble::Confused => NTSTATUS::PENDING,
        }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, AbiType)]
struct Sample {
    channel: u16,
    value: u64,
}

declare_com_interface! {
    trait ILeaf: IUnknown {
        const IID: GUID = "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7c01";
        fn number(&self) -> u32;
    }
}

declare_com_interface! {
    trait IResults: IUnknown {
        const IID: GUID = "{0D6A1E7C-7F5C-4D3E-8A55-1F0F0C1F7C02}";
        fn nothing(&self, which: u32) -> Result<(), Trouble>;
        fn sample(&self, channel: u16, which: u32) -> core::result::Result<Sample, Trouble>;
        fn plain(&self) -> Result<u8, NTSTATUS>;
        fn leaf(&self, which: u32) -> Result<ComRc<ILeafRaw>, NTSTATUS>;
        unsafe fn reads(&self, from: *const u32) -> Result<u32, NTSTATUS>;
        #[opaque]
        async fn opens(&self, which: u32) -> Result<ComRc<ILeafRaw>, NTSTATUS>;
        async fn named(&self) -> ComRc<ILeafRaw>;
    }
}

struct Results {
    calls: AtomicU32,
    drops: Arc<AtomicU32>,
}

struct Leaf(u32, Arc<AtomicU32>);

impl ILeaf for Leaf {
    fn number(&self) -> u32 {
        self.0
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
    }
}

impl Results {
    fn make(&self, number: u32) -> Result<ComRc<ILeafRaw>, NTSTATUS> {
        ComObject::<_, ILeafRaw>::new(Leaf(number, Arc::clone(&self.drops)))
    }
}

fn trouble(which: u32) -> Result<(), Trouble> {
    match which {
        0 => Ok(()),
        1 => Err(Trouble::Busy),
        _ => Err(Trouble::Confused),
    }
}

// SAFETY: the bodies touch only the values that they have captured.
unsafe impl IResults for Results {
    type Allocator = GlobalAllocator;
    type NamedFuture = core::future::Ready<ComRc<ILeafRaw>>;
    fn nothing(&self, which: u32) -> Result<(), Trouble> {
        trouble(which)
    }
    fn sample(&self, channel: u16, which: u32) -> Result<Sample, Trouble> {
        self.calls.fetch_add(1, SeqCst);
        trouble(which)?;
        Ok(Sample { channel, value: 1 << 40 })
    }
    fn plain(&self) -> Result<u8, NTSTATUS> {
        Ok(7)
    }
    fn leaf(&self, which: u32) -> Result<ComRc<ILeafRaw>, NTSTATUS> {
        trouble(which)?;
        self.make(5)
    }
    unsafe fn reads(&self, from: *const u32) -> Result<u32, NTSTATUS> {
        // SAFETY: the declaration requires a readable `from`.
        Ok(unsafe { from.read() })
    }
    fn opens(
        &self,
        which: u32,
    ) -> impl AsyncBody<Result<ComRc<ILeafRaw>, NTSTATUS>, GlobalAllocator, NTSTATUS> {
        let leaf = self.make(which);
        InitBox::new(
            GlobalAllocator,
            pin_init!(async move {
                if which == 9 {
                    try_finally(core::future::pending::<()>(), async {}).await;
                }
                trouble(which.saturating_sub(9))?;
                leaf
            }),
        )
    }
    fn named(&self) -> impl ntcom::InitBoxTrait<Self::NamedFuture, GlobalAllocator, NTSTATUS> {
        let leaf = self.make(6);
        InitBox::new(GlobalAllocator, pin_init!(core::future::ready(leaf?)))
    }
}

fn results() -> (ComRc<IResultsRaw>, Arc<AtomicU32>) {
    let drops = Arc::<AtomicU32>::default();
    let results = Results { calls: AtomicU32::new(0), drops: Arc::clone(&drops) };
    (ComObject::<_, IResultsRaw>::new(results).unwrap(), drops)
}

fn table(object: &ComRc<IResultsRaw>) -> IResultsVtbl {
    // SAFETY: the test's reference keeps the object alive.
    let table = unsafe { (*object.as_ptr()).vtbl };
    // SAFETY: the object's table pointer points to its table.
    unsafe { *table }
}

#[test]
fn an_iid_as_a_string_is_that_number() {
    assert_eq!(ILeafRaw::IID, GUID::from_u128(0x0d6a1e7c_7f5c_4d3e_8a55_1f0f0c1f7c01));
    assert_eq!(IResultsRaw::IID.to_string(), "0d6a1e7c-7f5c-4d3e-8a55-1f0f0c1f7c02");
}

#[test]
fn a_result_crosses_as_a_status_and_a_pointer_to_its_value() {
    in_kernel(|| {
        let (object, _drops) = results();
        let this: *mut c_void = object.as_ptr().cast();
        let table = table(&object);
        // These are the signatures in a C header.
        let nothing: unsafe extern "system" fn(*mut c_void, u32) -> NTSTATUS = table.nothing.unwrap();
        let sample: unsafe extern "system" fn(*mut c_void, u16, u32, *mut Sample) -> NTSTATUS =
            table.sample.unwrap();
        let nothing = |which| {
            // SAFETY: the test's reference keeps the object alive.
            unsafe { nothing(this, which) }
        };
        assert_eq!([0, 1, 2].map(nothing), [NTSTATUS::SUCCESS, BUSY, NTSTATUS::UNSUCCESSFUL]);
        let mut bytes = [0xAA_u8; 24];
        // The address is odd, because `out` needs no alignment.
        let out: *mut Sample = (&raw mut bytes[1]).cast();
        // SAFETY: the object is alive, and there is room for the value.
        assert_eq!(unsafe { sample(this, 3, 0, out) }, NTSTATUS::SUCCESS);
        // SAFETY: the slot has written the value.
        assert_eq!(unsafe { out.read_unaligned() }, Sample { channel: 3, value: 1 << 40 });
        // SAFETY: the object is alive, and there is room for the value.
        assert_eq!(unsafe { sample(this, 3, 1, out) }, BUSY);
        assert_eq!(bytes[1..17], [0; 16], "no client reads garbage");
        assert_eq!((bytes[0], bytes[17]), (0xAA, 0xAA));
    });
}

#[test]
fn without_a_pointer_for_its_value_a_method_is_not_called() {
    in_kernel(|| {
        let drops = Arc::<AtomicU32>::default();
        let results = Results { calls: AtomicU32::new(0), drops };
        let object = ComObject::<_, IResultsRaw>::new(results).unwrap();
        let value = This::<Results>::of(&object).unwrap();
        let this: *mut c_void = object.as_ptr().cast();
        // SAFETY: a null `out` is allowed.
        let status = unsafe { table(&object).sample.unwrap()(this, 3, 0, null_mut()) };
        assert_eq!(status, NTSTATUS::INVALID_PARAMETER);
        // SAFETY: a null `out` is allowed.
        let status = unsafe { table(&object).leaf.unwrap()(this, 0, null_mut()) };
        assert_eq!((status, value.calls.load(SeqCst)), (NTSTATUS::INVALID_PARAMETER, 0));
    });
}

#[test]
fn a_client_gets_a_result_back() {
    in_kernel(|| {
        let (object, drops) = results();
        assert_eq!(
            [0, 1, 2].map(|which| object.nothing(which)),
            [Ok(()), Err(BUSY), Err(NTSTATUS::UNSUCCESSFUL)]
        );
        assert_eq!(object.sample(4, 0), Ok(Sample { channel: 4, value: 1 << 40 }));
        assert_eq!(object.sample(4, 1), Err(BUSY));
        assert_eq!(object.plain(), Ok(7));
        let number = 12;
        // SAFETY: `number` is readable.
        assert_eq!(unsafe { object.reads(&raw const number) }, Ok(12));
        let leaf = object.leaf(0).unwrap();
        assert_eq!(object.leaf(1).err(), Some(BUSY));
        drop(object);
        assert_eq!(leaf.number(), Ok(5));
        drop(leaf);
        assert_eq!(drops.load(SeqCst), 1);
    });
}

/// `get_result` hands out a reference each time, and the operation's last release gives up its own.
#[test]
fn an_operation_yields_an_interface_as_often_as_it_is_asked() {
    in_kernel(|| {
        let (object, drops) = results();
        for operation in [object.opens(3).unwrap(), object.named().unwrap()] {
            drops.store(0, SeqCst);
            let first = operation.interface().unwrap();
            let second = operation.interface().unwrap();
            assert_eq!(first.as_ptr(), second.as_ptr());
            drop(first);
            drop(operation);
            assert_eq!(drops.load(SeqCst), 0, "the client has one");
            assert!(matches!(second.number(), Ok(3 | 6)));
            drop(second);
            assert_eq!(drops.load(SeqCst), 1);
        }
        drop(object.named().unwrap());
        assert_eq!(drops.load(SeqCst), 2, "no client ever asked");
    });
}

#[test]
fn an_operation_that_yields_no_interface_leaves_none() {
    in_kernel(|| {
        let (object, drops) = results();
        let failed = object.opens(10).unwrap();
        assert_eq!((failed.status(), failed.interface().err()), (Ok(AsyncStatus::Error), Some(BUSY)));
        let canceled = object.opens(9).unwrap();
        assert_eq!(canceled.interface().err(), Some(NTSTATUS::PENDING));
        canceled.control().unwrap().cancel().unwrap();
        assert_eq!(canceled.interface().err(), Some(NTSTATUS::CANCELLED));
        let mut out = InterfacePtr::<ILeafRaw>::clone(&dangling());
        // SAFETY: the test's reference keeps the operation alive.
        let table = unsafe { (*canceled.as_ptr()).vtbl };
        // SAFETY: the object's table pointer points to its table.
        let get_result = unsafe { (*table).get_result }.unwrap();
        // SAFETY: the operation is alive, and there is room for a pointer.
        let status = unsafe { get_result(canceled.as_ptr().cast(), &raw mut out) };
        assert_eq!((status, out.as_ptr()), (NTSTATUS::CANCELLED, null_mut()));
        drop((failed, canceled));
        assert_eq!(drops.load(SeqCst), 2, "each body's, and none twice");
    });
}

/// Makes a pointer that is not null and points to nothing.
fn dangling() -> InterfacePtr<ILeafRaw> {
    // SAFETY: `InterfacePtr` is transparent over a pointer.
    unsafe { core::mem::transmute(core::ptr::without_provenance_mut::<ILeafRaw>(8)) }
}

/// Objects of foreign implementations `[C17]`.
mod foreign {
    use super::{ComRc, IResultsRaw, IResultsVtbl, IUnknownVtbl, NTSTATUS, c_void, null_mut};
    use super::{GUID, ILeafRaw, IUnknownRaw, Sample};

    unsafe extern "system" fn one(_this: *mut c_void) -> u32 {
        1
    }
    unsafe extern "system" fn none(_: *mut c_void, _: *const GUID, _: *mut *mut c_void) -> NTSTATUS {
        NTSTATUS::NOINTERFACE
    }
    unsafe extern "system" fn pending(_: *mut c_void, _: u32) -> NTSTATUS {
        NTSTATUS::PENDING
    }
    unsafe extern "system" fn garbage(_: *mut c_void, _: u16, _: u32, _: *mut Sample) -> NTSTATUS {
        NTSTATUS::TIMEOUT
    }
    unsafe extern "system" fn null(_: *mut c_void, _: u32, out: *mut *mut ILeafRaw) -> NTSTATUS {
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write(null_mut()) };
        NTSTATUS::SUCCESS
    }
    unsafe extern "system" fn hollow(_: *mut c_void, _: u32, out: *mut *mut ILeafRaw) -> NTSTATUS {
        static HOLLOW: IUnknownVtbl = IUnknownVtbl { QueryInterface: None, AddRef: None, Release: None };
        struct Static(IUnknownRaw);
        // SAFETY: the object is never changed.
        unsafe impl Sync for Static {}
        static OBJECT: Static = Static(IUnknownRaw { vtbl: &raw const HOLLOW });
        // SAFETY: clients pass a writable `out`.
        unsafe { out.write((&raw const OBJECT.0).cast_mut().cast()) };
        NTSTATUS::SUCCESS
    }

    #[test]
    fn another_success_code_is_a_breach_and_so_is_no_interface() {
        let base = IUnknownVtbl { QueryInterface: Some(none), AddRef: Some(one), Release: Some(one) };
        let mut table = IResultsVtbl {
            base,
            nothing: Some(pending),
            sample: Some(garbage),
            plain: None,
            leaf: Some(null),
            reads: None,
            opens: None,
            named: None,
        };
        let table = &raw mut table;
        let mut raw = IResultsRaw { vtbl: table };
        // SAFETY: the object counts no references and outlives the client.
        let object = unsafe { ComRc::from_raw(&raw mut raw) }.unwrap();
        let broken = NTSTATUS::DRIVER_INTERNAL_ERROR;
        assert_eq!(object.nothing(0), Err(broken));
        assert_eq!(object.sample(0, 0), Err(broken));
        assert_eq!(object.plain(), Err(broken));
        assert_eq!(object.leaf(0).err(), Some(broken));
        // SAFETY: the table belongs to this test, and no reference to it is alive.
        unsafe { (*table).leaf = Some(hollow) };
        assert_eq!(object.leaf(0).err(), Some(broken));
    }
}
