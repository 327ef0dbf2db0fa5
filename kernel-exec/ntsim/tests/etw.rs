//! Event tracing (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-etwregister,
//! `nf-wdm-etwunregister`, `nf-wdm-etwproviderenabled`, `nf-wdm-etweventenabled`,
//! `nf-wdm-etwwrite`, `nf-wdm-etwwritestring`, `nc-wdm-etwenablecallback`;
//! learn.microsoft.com/windows/win32/api/evntrace/nf-evntrace-enabletraceex2,
//! `evntprov/nf-evntprov-eventwrite`).
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use core::{
    cell::Cell,
    ptr::{null, null_mut},
};
use std::rc::Rc;

use common::{waiting::*, *};
use ntsim::{
    Config, LowResources, Schedule, Simulation, Stop, ddi,
    etw::{self, Data, Session, SessionId},
    trace::What,
    types::*,
};

const PROVIDER: GUID = GUID::from_u128(0x7c0f_2a51_9d2e_4b0c_a1f3_0a4f_8a1c_2e01);
const OTHER: GUID = GUID::from_u128(0x7c0f_2a51_9d2e_4b0c_a1f3_0a4f_8a1c_2e02);

/// Returns the status of EtwRegister for a provider, and its handle.
fn register_with(callback: PETWENABLECALLBACK, context: PVOID) -> (NTSTATUS, REGHANDLE) {
    let mut handle = 0;
    // SAFETY: the arguments are valid; the tests keep callback and context until it is
    // unregistered.
    let status = unsafe { ddi::EtwRegister(&raw const PROVIDER_PLACE, callback, context, &raw mut handle) };
    (status, handle)
}
static PROVIDER_PLACE: GUID = PROVIDER;

fn register() -> REGHANDLE {
    let (status, handle) = register_with(None, null_mut());
    assert_eq!(status, STATUS_SUCCESS);
    assert_ne!(handle, 0);
    handle
}

fn unregister(handle: REGHANDLE) {
    // SAFETY: this runs inside a simulation run.
    assert_eq!(unsafe { ddi::EtwUnregister(handle) }, STATUS_SUCCESS);
}

fn enabled(handle: REGHANDLE, level: u8, keyword: u64) -> bool {
    let event = EVENT_DESCRIPTOR { Level: level, Keyword: keyword, ..EVENT_DESCRIPTOR::default() };
    // SAFETY: the argument is valid.
    let by_event = unsafe { ddi::EtwEventEnabled(handle, &raw const event) } != 0;
    // SAFETY: this runs inside a simulation run.
    let by_level = unsafe { ddi::EtwProviderEnabled(handle, level, keyword) } != 0;
    assert_eq!(by_event, by_level);
    by_level
}

fn say(handle: REGHANDLE, level: u8, keyword: u64, text: &str) -> NTSTATUS {
    let text: Vec<u16> = text.encode_utf16().chain([0]).collect();
    // SAFETY: the text ends with a zero.
    unsafe { ddi::EtwWriteString(handle, level, keyword, null(), text.as_ptr()) }
}

fn part<T>(place: *const T, size: usize) -> EVENT_DATA_DESCRIPTOR {
    EVENT_DATA_DESCRIPTOR { Ptr: place.expose_provenance() as u64, Size: size as u32, Reserved: 0 }
}

fn write(handle: REGHANDLE, event: EVENT_DESCRIPTOR, parts: &mut [EVENT_DATA_DESCRIPTOR]) -> NTSTATUS {
    // SAFETY: the arguments are valid; otherwise the simulated kernel ends the run.
    unsafe { ddi::EtwWrite(handle, &raw const event, null(), parts.len() as u32, parts.as_mut_ptr()) }
}

fn texts(session: SessionId) -> Vec<String> {
    let text = |event: etw::Event| match event.data {
        Data::Text(text) => text,
        Data::Bytes(bytes) => panic!("{bytes:?}"),
    };
    etw::events(session).into_iter().map(text).collect()
}

#[test]
fn a_session_gets_the_events_of_its_provider_from_any_irql() {
    fine(|| {
        let (mine, others) = (etw::enable(Session::new(PROVIDER, 5)), etw::enable(Session::new(OTHER, 5)));
        let handle = register();
        for irql in [0, 1, 2, 12, 15] {
            let before = raise(irql);
            assert!(enabled(handle, 5, 1));
            assert_eq!(say(handle, 4, 0x10, &format!("at {irql}")), STATUS_SUCCESS);
            lower(before);
        }
        unregister(handle);
        assert_eq!(texts(mine), ["at 0", "at 1", "at 2", "at 12", "at 15"]);
        assert_eq!(etw::events(mine)[0].provider, PROVIDER.to_string());
        assert_eq!((etw::events(mine)[0].level, etw::events(mine)[0].keyword), (4, 0x10));
        assert!(etw::events(others).is_empty());
    });
}

#[test]
fn a_written_event_has_its_description_its_activity_and_its_parts_in_order() {
    fine(|| {
        let session = etw::enable(Session::new(PROVIDER, 5));
        let handle = register();
        let described =
            EVENT_DESCRIPTOR { Id: 7, Version: 1, Channel: 2, Level: 3, Opcode: 4, Task: 5, Keyword: 6 };
        let (one, two) = ([1_u8, 2], 0x0403_u16);
        let mut parts = [part(&raw const one, 2), part(&raw const two, 2)];
        // SAFETY: the arguments are valid.
        let status = unsafe {
            ddi::EtwWrite(handle, &raw const described, &raw const OTHER_PLACE, 2, parts.as_mut_ptr())
        };
        assert_eq!(status, STATUS_SUCCESS);
        unregister(handle);
        let event = etw::Event {
            provider: PROVIDER.to_string(),
            id: 7,
            version: 1,
            channel: 2,
            opcode: 4,
            task: 5,
            level: 3,
            keyword: 6,
            activity: Some(OTHER.to_string()),
            data: Data::Bytes(vec![1, 2, 3, 4]),
        };
        assert_eq!(etw::events(session), [event]);
    });
}
static OTHER_PLACE: GUID = OTHER;

#[test]
fn a_session_gets_levels_up_to_its_own_and_level_zero_always() {
    fine(|| {
        let session = etw::enable(Session::new(PROVIDER, 3));
        let handle = register();
        for level in [0, 1, 2, 3, 4, 5, 255] {
            assert_eq!(enabled(handle, level, 0), level <= 3, "{level}");
            assert_eq!(say(handle, level, 0, &level.to_string()), STATUS_SUCCESS);
        }
        unregister(handle);
        assert_eq!(texts(session), ["0", "1", "2", "3"]);
    });
}

#[test]
fn a_session_gets_keywords_that_match_its_masks_and_keyword_zero_always() {
    let heard = |any, all| {
        let result = Rc::new(Cell::new(Vec::new()));
        let place = Rc::clone(&result);
        fine(move || {
            let masks =
                Session { match_any_keyword: any, match_all_keyword: all, ..Session::new(PROVIDER, 5) };
            let session = etw::enable(masks);
            let handle = register();
            for keyword in 0..8 {
                let before = etw::events(session).len();
                say(handle, 5, keyword, &keyword.to_string());
                assert_eq!(enabled(handle, 5, keyword), etw::events(session).len() > before);
            }
            unregister(handle);
            place.set(texts(session));
        });
        result.take().concat()
    };
    assert_eq!(heard(0, 0), "01234567");
    assert_eq!(heard(0, 2), "01234567", "the second mask is not used without the first");
    assert_eq!(heard(5, 0), "0134567");
    assert_eq!(heard(1, 3), "037");
}

#[test]
fn each_session_is_asked_for_itself() {
    fine(|| {
        let quiet = etw::enable(Session { match_any_keyword: 1, ..Session::new(PROVIDER, 5) });
        let loud = etw::enable(Session { match_any_keyword: 2, ..Session::new(PROVIDER, 2) });
        let handle = register();
        assert!(enabled(handle, 5, 1) && enabled(handle, 2, 2));
        assert!(!enabled(handle, 5, 2), "one has the level and the other the keyword");
        say(handle, 5, 2, "of no provider");
        say(handle, 2, 3, "both's");
        unregister(handle);
        assert_eq!((texts(quiet), texts(loud)), (vec!["both's".to_owned()], vec!["both's".to_owned()]));
    });
}

#[test]
fn without_a_session_a_write_succeeds_and_nothing_is_enabled() {
    fine(|| {
        let handle = register();
        assert!(!enabled(handle, 0, 0));
        assert_eq!(say(handle, 1, 1, "unheard"), STATUS_SUCCESS);
        let session = etw::enable(Session::new(PROVIDER, 1));
        assert!(enabled(handle, 0, 0));
        etw::disable(session);
        assert!(!enabled(handle, 0, 0));
        assert_eq!(say(handle, 1, 1, "too late"), STATUS_SUCCESS);
        unregister(handle);
        assert!(etw::events(session).is_empty());
        assert_eq!(etw::lost(session), 0);
    });
}

#[test]
fn handle_zero_is_of_no_provider() {
    fine(|| {
        etw::enable(Session::new(PROVIDER, 5));
        assert!(!enabled(0, 0, 0));
        assert_eq!(say(0, 1, 1, "of no provider"), STATUS_INVALID_HANDLE);
        assert_eq!(write(0, EVENT_DESCRIPTOR::default(), &mut []), STATUS_INVALID_HANDLE);
    });
    assert_eq!(code(|| unregister(0)), (0xC4, 0xDC));
}

#[test]
fn a_provider_is_not_used_after_it_was_unregistered() {
    let after = |what: fn(REGHANDLE)| {
        bug(move || {
            let handle = register();
            what(handle);
            unregister(handle);
            what(handle);
        })
    };
    assert_eq!(after(|handle| _ = say(handle, 1, 1, "text")).code, 0xD1);
    assert_eq!(after(|handle| _ = write(handle, EVENT_DESCRIPTOR::default(), &mut [])).code, 0xD1);
    assert_eq!(after(|handle| _ = enabled(handle, 1, 1)).code, 0xD1);
    let twice = bug(|| {
        let handle = register();
        unregister(handle);
        unregister(handle);
    });
    assert_eq!((twice.code, twice.parameters[0]), (0xC4, 0xDC));
    assert!(twice.to_string().contains("EtwUnregister without a valid handle"), "{twice}");
}

#[test]
fn a_driver_that_is_unloaded_has_unregistered_its_providers() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    kernel.run_on(0, || _ = register()).unwrap();
    let Err(Stop::BugCheck(bug)) = kernel.unload() else { panic!("a provider is left") };
    assert_eq!((bug.code, bug.parameters[0]), (0xC4, 0xDD));
    assert!(bug.rule.contains(&PROVIDER.to_string()), "{bug}");
    drop(kernel);
    fine(|| {
        let handles = [register(), register()];
        assert_ne!(handles[0], handles[1], "a GUID may be registered twice");
        handles.into_iter().for_each(unregister);
    });
}

unsafe extern "C" fn fails_registered(_driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    register();
    STATUS_INSUFFICIENT_RESOURCES
}

unsafe extern "C" fn fails_cleanly(_driver: PDRIVER_OBJECT, _path: PUNICODE_STRING) -> NTSTATUS {
    unregister(register());
    STATUS_INSUFFICIENT_RESOURCES
}

#[test]
fn a_driver_that_fails_to_load_has_unregistered_its_providers() {
    let load = |entry| {
        // SAFETY: the drivers keep their promises; otherwise the simulated kernel ends the run.
        unsafe { Simulation::new(processors(1), Schedule::round_robin()).load_driver(0, entry) }
    };
    let Err(Stop::BugCheck(bug)) = load(fails_registered) else { panic!("a provider is left") };
    assert_eq!((bug.code, bug.parameters[0]), (0xC4, 0xDD));
    assert_eq!(load(fails_cleanly), Ok(STATUS_INSUFFICIENT_RESOURCES));
}

#[test]
fn providers_are_registered_and_unregistered_at_passive_level() {
    for irql in [1, 2] {
        assert_eq!(code(move || _ = (raise(irql), register())), (0xC4, 0xE5));
        let late = move || {
            let handle = register();
            raise(irql);
            unregister(handle);
        };
        assert_eq!(code(late), (0xC4, 0xE5));
    }
    fine(|| unregister(register()));
}

#[test]
fn a_registration_needs_a_guid_a_place_and_memory() {
    fine(|| {
        let mut handle = 1;
        // SAFETY: EtwRegister refuses a null pointer.
        let status = unsafe { ddi::EtwRegister(null(), None, null_mut(), &raw mut handle) };
        assert_eq!((status, handle), (STATUS_INVALID_PARAMETER, 1));
        // SAFETY: EtwRegister refuses a null pointer.
        let status = unsafe { ddi::EtwRegister(&raw const PROVIDER_PLACE, None, null_mut(), null_mut()) };
        assert_eq!(status, STATUS_INVALID_PARAMETER);
        ntsim::fail_allocation(0);
        assert_eq!(register_with(None, null_mut()), (STATUS_NO_MEMORY, 0));
        unregister(register());
    });
    let starved = ntsim::Config { low_resources: LowResources::Systematic, ..processors(1) };
    let mut kernel = Simulation::new(starved, Schedule::round_robin());
    kernel.run_on(0, || assert_eq!(register_with(None, null_mut()).0, STATUS_NO_MEMORY)).unwrap();
    kernel.unload().unwrap();
}

#[test]
fn an_event_has_at_most_128_parts() {
    fine(|| {
        let session = etw::enable(Session::new(PROVIDER, 5));
        let handle = register();
        let byte = 1_u8;
        let mut parts = [part(&raw const byte, 1); 129];
        assert_eq!(write(handle, EVENT_DESCRIPTOR::default(), &mut parts), STATUS_INVALID_PARAMETER);
        assert_eq!(write(handle, EVENT_DESCRIPTOR::default(), &mut parts[..128]), STATUS_SUCCESS);
        unregister(handle);
        assert_eq!(etw::events(session)[0].data, Data::Bytes(vec![1; 128]));
        assert_eq!(etw::events(session).len(), 1);
    });
}

/// The most bytes of an event's data, which are 64 KiB less one and less the header.
const MOST: usize = 65_535 - 80;

#[test]
fn an_event_is_smaller_than_64_kib() {
    fine(|| {
        let handle = register();
        let data = vec![0_u8; MOST + 1];
        let sized = |size| write(handle, EVENT_DESCRIPTOR::default(), &mut [part(data.as_ptr(), size)]);
        assert_eq!(sized(MOST + 1), STATUS_SUCCESS, "no session listens");
        let session = etw::enable(Session::new(PROVIDER, 5));
        assert_eq!(sized(MOST), STATUS_SUCCESS);
        assert_eq!(sized(MOST + 1), STATUS_INTEGER_OVERFLOW);
        let mut halves = [part(data.as_ptr(), MOST / 2 + 1); 2];
        assert_eq!(write(handle, EVENT_DESCRIPTOR::default(), &mut halves), STATUS_INTEGER_OVERFLOW);
        let units = MOST / 2 - 1;
        assert_eq!(say(handle, 0, 0, &"x".repeat(units)), STATUS_SUCCESS);
        assert_eq!(say(handle, 0, 0, &"x".repeat(units + 1)), STATUS_INTEGER_OVERFLOW);
        unregister(handle);
        assert_eq!(etw::events(session).len(), 2);
    });
}

#[test]
fn a_session_loses_what_its_buffers_have_no_room_for_and_others_do_not() {
    fine(|| {
        let small = etw::enable(Session { buffer_size: 80 + 8, ..Session::new(PROVIDER, 5) });
        let full = Session { room: 1, full_status: STATUS_LOG_FILE_FULL, ..Session::new(PROVIDER, 5) };
        let large = etw::enable(Session::new(PROVIDER, 5));
        let handle = register();
        assert_eq!(say(handle, 1, 1, "abc"), STATUS_SUCCESS);
        assert_eq!(say(handle, 1, 1, "abcd"), STATUS_BUFFER_OVERFLOW);
        let full = etw::enable(full);
        assert_eq!(say(handle, 1, 1, "one"), STATUS_SUCCESS);
        assert_eq!(say(handle, 1, 1, "two"), STATUS_LOG_FILE_FULL);
        let none = etw::enable(Session { room: 0, ..Session::new(PROVIDER, 1) });
        etw::disable(full);
        assert_eq!(say(handle, 1, 1, "six"), STATUS_NO_MEMORY);
        unregister(handle);
        assert_eq!(texts(small), ["abc", "one", "two", "six"]);
        assert_eq!(texts(large), ["abc", "abcd", "one", "two", "six"]);
        assert_eq!(texts(full), ["one"]);
        assert_eq!([small, large, full, none].map(etw::lost), [1, 0, 1, 1]);
    });
}

#[test]
fn above_apc_level_nothing_of_an_event_is_in_paged_memory_with_any_session() {
    let at = |kind: POOL_FLAGS, irql: u8, listens: bool, what: fn(REGHANDLE, *mut u8)| {
        alone(move || {
            let memory = pool(kind, 64, TAG);
            if listens {
                etw::enable(Session::new(PROVIDER, 5));
            }
            let handle = register();
            let before = raise(irql);
            what(handle, memory.cast());
            lower(before);
            unregister(handle);
            free(memory);
        })
    };
    let uses: [fn(REGHANDLE, *mut u8); 5] = [
        // SAFETY: the memory is zero, which is an empty string; otherwise the simulated kernel ends
        // the run.
        |handle, memory| _ = unsafe { ddi::EtwWriteString(handle, 1, 1, null(), memory.cast()) },
        // SAFETY: the memory is zero; otherwise the simulated kernel ends the run.
        |handle, memory| _ = unsafe { ddi::EtwWriteString(handle, 1, 1, memory.cast(), [0].as_ptr()) },
        // SAFETY: the memory is zero; otherwise the simulated kernel ends the run.
        |handle, memory| _ = unsafe { ddi::EtwWrite(handle, memory.cast(), null(), 0, null_mut()) },
        |handle, memory| _ = write(handle, EVENT_DESCRIPTOR::default(), &mut [part(memory, 64)]),
        // SAFETY: the memory is zero; otherwise the simulated kernel ends the run.
        |handle, memory| _ = unsafe { ddi::EtwEventEnabled(handle, memory.cast()) },
    ];
    for (number, what) in uses.into_iter().enumerate() {
        for listens in [false, true] {
            at(POOL_FLAG_PAGED, 1, listens, what).unwrap();
            at(POOL_FLAG_NON_PAGED, 2, listens, what).unwrap();
            match at(POOL_FLAG_PAGED, 2, listens, what) {
                Err(Stop::BugCheck(bug)) => assert_eq!(bug.code, 0xD1, "{bug}"),
                other => panic!("use {number}, {listens}: {other:?}"),
            }
        }
    }
}

#[test]
fn nothing_of_an_event_is_in_freed_memory() {
    let freed = || {
        let memory = pool(POOL_FLAG_NON_PAGED, 16, TAG);
        free(memory);
        write(register(), EVENT_DESCRIPTOR::default(), &mut [part(memory, 16)]);
    };
    assert_eq!(bug(freed).code, 0xD1);
    let endless = || {
        let memory = pool(POOL_FLAG_NON_PAGED, 16, TAG);
        (0..16).for_each(|distance| poke(memory, distance));
        // SAFETY: the simulated kernel ends the run because the text has no zero.
        unsafe { ddi::EtwWriteString(register(), 1, 1, null(), memory.cast()) };
    };
    assert_eq!(bug(endless).code, 0xD1, "without a zero");
}

/// The arguments of a callback: the source, the control code, the level, the keywords.
type Told = Cell<Vec<(String, u32, u8, u64, u64)>>;

unsafe extern "C" fn note_call(
    source: LPCGUID,
    code: u32,
    level: u8,
    any: u64,
    all: u64,
    filter: PEVENT_FILTER_DESCRIPTOR,
    context: PVOID,
) {
    assert_eq!(current_irql(), 0);
    assert!(filter.is_null());
    // SAFETY: `register_told` passed the context, which lives until the provider is unregistered.
    let told = unsafe { &*context.cast::<Told>() };
    // SAFETY: the kernel passes a pointer to the source's GUID.
    let source = unsafe { *source }.to_string();
    let mut calls = told.take();
    calls.push((source, code, level, any, all));
    told.set(calls);
}

fn register_told(told: &Rc<Told>) -> REGHANDLE {
    let (status, handle) = register_with(Some(note_call), Rc::as_ptr(told).cast_mut().cast());
    assert_eq!(status, STATUS_SUCCESS);
    handle
}

#[test]
fn a_callback_is_told_what_all_sessions_ask_for_together() {
    fine(|| {
        let told = Rc::new(Told::default());
        let handle = register_told(&told);
        assert!(told.take().is_empty(), "no session listens");
        let warnings = Session {
            source: OTHER,
            match_any_keyword: 1,
            match_all_keyword: 3,
            ..Session::new(PROVIDER, 3)
        };
        let critical = Session { match_any_keyword: 4, match_all_keyword: 1, ..Session::new(PROVIDER, 1) };
        let (source, nobody) = (OTHER.to_string(), GUID::default().to_string());
        let first = etw::enable(warnings);
        assert_eq!(told.take(), [(source.clone(), 1, 3, 1, 3)]);
        let second = etw::enable(critical);
        assert_eq!(told.take(), [(nobody.clone(), 1, 3, 5, 1)]);
        etw::disable(first);
        assert_eq!(told.take(), [(source, 0, 1, 4, 1)]);
        etw::disable(second);
        assert_eq!(told.take(), [(nobody, 0, 0, 0, 0)]);
        etw::enable(Session::new(OTHER, 5));
        assert!(told.take().is_empty(), "another provider's");
        unregister(handle);
        etw::enable(critical);
        assert!(told.take().is_empty(), "unregistered");
    });
}

#[test]
fn a_callback_is_told_of_earlier_sessions_when_its_provider_is_registered() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    etw::enable(Session { source: OTHER, ..Session::new(PROVIDER, 4) });
    let run = kernel.run_on(0, || {
        let told = Rc::new(Told::default());
        let handle = register_told(&told);
        assert_eq!(told.take(), [(GUID::default().to_string(), 1, 4, 0, 0)], "without the source");
        unregister(handle);
    });
    run.and_then(|()| kernel.unload()).unwrap();
}

unsafe extern "C" fn stay_raised(
    _: LPCGUID,
    _: u32,
    _: u8,
    _: u64,
    _: u64,
    _: PEVENT_FILTER_DESCRIPTOR,
    _: PVOID,
) {
    raise(2);
}

unsafe extern "C" fn unregister_itself(
    _: LPCGUID,
    _: u32,
    _: u8,
    _: u64,
    _: u64,
    _: PEVENT_FILTER_DESCRIPTOR,
    context: PVOID,
) {
    // SAFETY: the test below passes the context, a handle that outlives the callback.
    unregister(unsafe { *context.cast::<REGHANDLE>() });
}

#[test]
fn a_callback_returns_at_passive_level_and_does_not_unregister_its_provider() {
    let raised = || {
        register_with(Some(stay_raised), null_mut());
        etw::enable(Session::new(PROVIDER, 1));
    };
    let bug = bug(raised);
    assert_eq!(bug.code, 0xC8);
    assert!(bug.rule.contains("an ETW enable callback"), "{bug}");
    let itself = alone(|| {
        let handle = Box::leak(Box::new(0));
        *handle = register_with(Some(unregister_itself), core::ptr::from_mut(handle).cast()).1;
        etw::enable(Session::new(PROVIDER, 1));
    });
    assert!(matches!(itself, Err(Stop::Failure { oracle: "not supported", .. })), "{itself:?}");
}

/// An event that a callback waits for, and the progress of the callback.
struct Slow {
    go_on: Event,
    entered: Cell<bool>,
    returned: Cell<bool>,
    /// The provider's handle, and the status of a write at the end of the callback.
    handle: Cell<REGHANDLE>,
    written: Cell<NTSTATUS>,
}

unsafe extern "C" fn be_slow(
    _: LPCGUID,
    _: u32,
    _: u8,
    _: u64,
    _: u64,
    _: PEVENT_FILTER_DESCRIPTOR,
    context: PVOID,
) {
    // SAFETY: the test below passes the context, which is leaked.
    let slow = unsafe { &*context.cast::<Slow>() };
    slow.entered.set(true);
    wait(&slow.go_on, None);
    slow.written.set(say(slow.handle.get(), 1, 1, "the last word"));
    slow.returned.set(true);
}

#[test]
fn unregistering_waits_for_the_callback() {
    for seed in 0..20 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let run = kernel.run_on(0, || {
            let fresh = Slow {
                go_on: Event::notification(),
                entered: Cell::new(false),
                returned: Cell::new(false),
                handle: Cell::new(0),
                written: Cell::new(-1),
            };
            let slow: &'static Slow = Box::leak(Box::new(fresh));
            let context = core::ptr::from_ref(slow).cast_mut().cast();
            let (_, handle) = register_with(Some(be_slow), context);
            slow.handle.set(handle);
            Thread::spawn(|| _ = etw::enable(Session::new(PROVIDER, 1)));
            while !slow.entered.get() {
                delay(-1);
            }
            Thread::spawn(move || {
                delay(-1);
                slow.go_on.set();
            });
            unregister(handle);
            assert!(slow.returned.get());
            assert_eq!(slow.written.get(), STATUS_SUCCESS);
            delay(-1_000_000);
            slow.go_on.free();
        });
        run.and_then(|()| kernel.unload())
            .unwrap_or_else(|stop| panic!("{seed}: {stop}\n{}", kernel.trace()));
    }
}

#[test]
fn a_provider_has_eight_sessions_at_most() {
    let eight = || (0..8).map(|_| etw::enable(Session::new(PROVIDER, 1))).collect::<Vec<_>>();
    fine(move || {
        let sessions = eight();
        etw::enable(Session::new(OTHER, 1));
        etw::disable(sessions[3]);
        etw::enable(Session::new(PROVIDER, 1));
    });
    let ninth = alone(move || {
        eight();
        etw::enable(Session::new(PROVIDER, 1));
    });
    assert!(matches!(ninth, Err(Stop::Panic { .. })), "{ninth:?}");
}

#[test]
fn what_sessions_get_is_in_the_trace() {
    let mut kernel = Simulation::new(processors(1), Schedule::round_robin());
    let run = kernel.run_on(0, || {
        let handle = register();
        say(handle, 2, 3, "unheard");
        etw::enable(Session::new(PROVIDER, 4));
        etw::enable(Session::new(PROVIDER, 2));
        say(handle, 2, 3, "heard\n");
        write(handle, EVENT_DESCRIPTOR { Id: 9, ..EVENT_DESCRIPTOR::default() }, &mut []);
        unregister(handle);
    });
    run.and_then(|()| kernel.unload()).unwrap();
    let events = kernel.trace().events();
    let heard = events.iter().filter(|event| matches!(event.what, What::Etw { .. })).count();
    assert_eq!(heard, 2);
    let text = kernel.trace().to_string();
    for needle in [
        "EtwRegister(",
        "EtwWriteString(block0, 2, 0x3, null, ",
        r"ETW event (level 2, keyword 0x3) to session 0, 1: heard\n",
        "ETW event (level 0, keyword 0x0) to session 0, 1: id 9, 0 bytes",
        "EtwUnregister(block0) = 0x0",
    ] {
        assert!(text.contains(needle), "{needle} is not in\n{text}");
    }
    let mut lines = Vec::new();
    kernel.trace().write_json_lines(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    let line = format!(
        r#"{{"etw":{{"sessions":[0,1],"event":{{"provider":"{PROVIDER}","id":0,"version":0,"channel":0,"opcode":0,"task":0,"level":2,"keyword":3,"activity":null,"data":{{"text":"heard\n"}}}}}}}}"#
    );
    assert!(lines.contains(&line), "{line} is not in\n{lines}");
    let read = ntsim::Trace::read_json_lines(&lines).unwrap();
    assert_eq!(read.events(), events);
}

#[test]
fn a_reset_forgets_providers_and_sessions() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let session = etw::enable(Session::new(PROVIDER, 4));
    kernel.run_on(0, || _ = register()).unwrap();
    kernel.reset(Config::default(), Schedule::round_robin());
    assert!(std::panic::catch_unwind(|| etw::events(session)).is_err());
    kernel.run_on(0, || unregister(register())).unwrap();
    kernel.unload().unwrap();
}
