//! Tests of a provider of events. They check which events are written, which are not even
//! formatted, and that the handle is never used while the provider is not registered.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

use core::{cell::Cell, fmt};
use std::sync::mpsc;

use ntcom_exec::{EtwProvider, NTSTATUS};
use ntsim::{
    Config, Limits, Schedule, Simulation, Stop, ddi,
    etw::{self, Data, Session, SessionId},
    explore,
    types::GUID,
};

const ID: u128 = 0x7c0f_2a51_9d2e_4b0c_a1f3_0a4f_8a1c_2e01;
static PROVIDER: EtwProvider = EtwProvider::new(ID);
static OTHER: EtwProvider = EtwProvider::new(ID + 1);

/// Starts a session for the provider.
fn listen(level: u8, keywords: u64) -> SessionId {
    etw::enable(Session { match_any_keyword: keywords, ..Session::new(GUID::from_u128(ID), level) })
}

fn heard(session: SessionId) -> Vec<String> {
    let text = |event: etw::Event| match event.data {
        Data::Text(text) => text,
        Data::Bytes(bytes) => panic!("{bytes:?}"),
    };
    etw::events(session).into_iter().map(text).collect()
}

/// Runs a program on a machine of one processor, and unloads.
fn run(program: impl FnOnce() + 'static) -> Result<(), Stop> {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    kernel.run_on(0, program)?;
    kernel.unload()
}

fn at(irql: u8, f: impl FnOnce()) {
    // SAFETY: the IRQL is not below that of a program, and is lowered again.
    let before = unsafe { ddi::KfRaiseIrql(irql) };
    f();
    // SAFETY: `before` is the value that the raise returned.
    unsafe { ddi::KeLowerIrql(before) };
}

/// A message that counts how often it is formatted.
struct Counted<'a>(&'a Cell<u32>);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.set(self.0.get() + 1);
        f.write_str("counted")
    }
}

#[test]
fn an_event_is_formatted_and_written_only_if_a_session_asks_for_it() {
    run(|| {
        let formatted = Cell::new(0);
        let write = |level, keyword| PROVIDER.write(level, keyword, format_args!("{}", Counted(&formatted)));
        write(1, 0);
        assert_eq!(formatted.get(), 0, "not registered");
        let registration = PROVIDER.register().unwrap();
        write(1, 0);
        assert_eq!(formatted.get(), 0, "no session listens");
        let session = listen(3, 2);
        assert!(PROVIDER.is_enabled(3, 2) && !PROVIDER.is_enabled(4, 2) && !PROVIDER.is_enabled(3, 1));
        write(4, 2);
        write(3, 1);
        assert_eq!(formatted.get(), 0, "no session asks for this level and keyword");
        write(3, 2);
        write(0, 0);
        assert_eq!(formatted.get(), 2);
        etw::disable(session);
        write(3, 2);
        assert_eq!(formatted.get(), 2, "no session listens any more");
        drop(registration);
        listen(5, 0);
        write(1, 0);
        assert!(!PROVIDER.is_enabled(0, 0));
        assert_eq!((formatted.get(), heard(session).len()), (2, 2), "unregistered");
    })
    .unwrap();
}

#[test]
fn without_a_listener_a_write_is_one_kernel_call() {
    run(|| {
        let calls = || {
            let before = ntsim::counters().kernel_calls;
            PROVIDER.write(1, 0, format_args!("unheard"));
            ntsim::counters().kernel_calls - before
        };
        assert_eq!(calls(), 0, "not registered");
        let registration = PROVIDER.register().unwrap();
        assert_eq!(calls(), 1);
        listen(5, 0);
        assert_eq!(calls(), 2);
        drop(registration);
        assert_eq!(calls(), 0);
    })
    .unwrap();
}

#[test]
fn it_writes_at_every_irql_and_allocates_nothing() {
    run(|| {
        let registration = PROVIDER.register().unwrap();
        let session = listen(5, 0);
        let before = ntsim::counters().allocations;
        for irql in [0, 1, 2, 5, 15] {
            at(irql, || PROVIDER.write(4, 1, format_args!("at {irql}")));
        }
        PROVIDER.write(4, 1, format_args!("{}", "é".repeat(1000)));
        assert_eq!(ntsim::counters().allocations, before);
        drop(registration);
        let long = "é".repeat(383);
        assert_eq!(heard(session), ["at 0", "at 1", "at 2", "at 5", "at 15", &long]);
        let event = etw::events(session).remove(0);
        assert_eq!((event.level, event.keyword, event.id), (4, 1, 0));
    })
    .unwrap();
}

#[test]
fn it_is_registered_once_at_a_time_and_at_passive_level() {
    run(|| {
        at(2, || assert_eq!(PROVIDER.register().unwrap_err(), NTSTATUS::INVALID_DEVICE_STATE));
        let registration = PROVIDER.register().unwrap();
        assert_eq!(PROVIDER.register().unwrap_err(), NTSTATUS::INVALID_DEVICE_STATE);
        let other = OTHER.register().unwrap();
        drop((registration, other));
        PROVIDER.register().unwrap().keep();
        PROVIDER.unregister();
        PROVIDER.unregister();
        drop(PROVIDER.register().unwrap());
    })
    .unwrap();
}

#[test]
fn without_memory_it_is_not_registered_and_may_be_later() {
    run(|| {
        ntsim::fail_allocation(0);
        assert_eq!(PROVIDER.register().unwrap_err(), NTSTATUS::from_u32(0xC000_0017));
        listen(5, 0);
        PROVIDER.write(1, 0, format_args!("unheard"));
        drop(PROVIDER.register().unwrap());
    })
    .unwrap();
}

#[test]
fn a_registration_that_is_dropped_is_over_and_one_that_is_kept_is_not() {
    run(|| drop(PROVIDER.register().unwrap())).unwrap();
    run(|| {
        PROVIDER.register().unwrap().keep();
        PROVIDER.unregister();
    })
    .unwrap();
    match run(|| PROVIDER.register().unwrap().keep()) {
        Err(Stop::BugCheck(bug)) => assert_eq!((bug.code, bug.parameters[0]), (0xC4, 0xDD)),
        other => panic!("expected bug check 0xC4 for a provider that is left registered, got {other:?}"),
    }
}

#[test]
fn it_is_unregistered_by_its_registration_until_that_is_kept() {
    run(|| {
        let registration = PROVIDER.register().unwrap();
        PROVIDER.unregister();
        let session = listen(5, 0);
        PROVIDER.write(1, 0, format_args!("still registered"));
        assert_eq!(heard(session), ["still registered"]);
        drop(registration);
        PROVIDER.register().unwrap().keep();
        PROVIDER.unregister();
        drop(PROVIDER.register().unwrap());
    })
    .unwrap();
}

#[test]
fn it_is_never_used_while_it_is_not_registered_whatever_the_schedule() {
    let limits = Limits { preemptions: Some(2), ..Limits::default() };
    let explored = explore(Config { processors: 2, ..Config::default() }, limits, |kernel| {
        let session = listen(5, 0);
        let mine = || {
            let registration = PROVIDER.register().unwrap();
            PROVIDER.write(4, 0, format_args!("mine"));
            drop(registration);
        };
        let yours = || {
            PROVIDER.write(4, 0, format_args!("yours"));
            at(2, || PROVIDER.write(4, 0, format_args!("yours")));
        };
        kernel.programs().on(0, mine).on(1, yours).run()?;
        let heard = heard(session);
        assert_eq!(heard.iter().filter(|text| *text == "mine").count(), 1);
        assert!(heard.len() <= 3);
        kernel.unload()
    });
    if let Some(finding) = &explored.finding {
        panic!("{}", finding.stop);
    }
    assert!(explored.complete && explored.runs > 100, "{} runs", explored.runs);
}

#[test]
fn each_simulated_kernel_has_its_own_registration() {
    let (to, from) = mpsc::channel();
    let (back, done) = mpsc::channel();
    let other = std::thread::spawn(move || {
        run(move || {
            let registration = PROVIDER.register().unwrap();
            to.send(()).unwrap();
            done.recv().unwrap();
            drop(registration);
        })
    });
    from.recv().unwrap();
    run(|| {
        let session = listen(5, 0);
        PROVIDER.write(1, 0, format_args!("not registered here"));
        let registration = PROVIDER.register().unwrap();
        PROVIDER.write(1, 0, format_args!("here"));
        drop(registration);
        assert_eq!(heard(session), ["here"]);
    })
    .unwrap();
    back.send(()).unwrap();
    other.join().unwrap().unwrap();
}
