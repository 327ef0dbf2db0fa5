//! Tests that log records reach a session of the driver's provider, and that no other record is
//! formatted. Only one test has a sink, because the image has one sink.
#![allow(clippy::unwrap_used, reason = "tests say what they mean")]

use core::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use ntcom::{
    log,
    trace::{EtwProvider, Level, set_sink},
};
use ntsim::{Config, Schedule, Simulation, etw, types::GUID};

const ID: u128 = 0x7c0f_2a51_9d2e_4b0c_a1f3_0a4f_8a1c_2e04;
static PROVIDER: EtwProvider = EtwProvider::new(ID);

ntcom::etw_sink!(static EVENTS = PROVIDER, keyword 0x10, Level::Info);

/// The number of times that a `Counted` was formatted.
static FORMATTED: AtomicU32 = AtomicU32::new(0);

struct Counted;

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FORMATTED.fetch_add(1, Ordering::Relaxed);
        f.write_str("counted")
    }
}

fn formatted() -> u32 {
    FORMATTED.swap(0, Ordering::Relaxed)
}

#[test]
fn a_session_hears_what_it_asked_for_and_nothing_else_is_formatted() {
    let mut kernel = Simulation::new(Config::default(), Schedule::round_robin());
    let program = || {
        let session = |level, keyword| {
            let provider = GUID::from_u128(ID);
            etw::enable(etw::Session { match_any_keyword: keyword, ..etw::Session::new(provider, level) })
        };
        set_sink(&EVENTS);
        log!(Level::Error, "before the provider is registered: {Counted}");
        let registration = PROVIDER.register().unwrap();
        log!(Level::Error, "without a session: {Counted}");
        let (others, warnings) = (session(5, 0x20), session(3, 0x10));
        log!(Level::Info, "for no session: {Counted}");
        log!(Level::Debug, "above the sink's level: {Counted}");
        assert_eq!(formatted(), 0);
        let before = ntsim::counters().allocations;
        // SAFETY: the new level is above the program's, and the IRQL is lowered below.
        let irql = unsafe { ntsim::ddi::KfRaiseIrql(12) };
        log!(Level::Error, "one: {Counted}");
        log!(Level::Warn, "two: {Counted}");
        // SAFETY: `irql` is the level that the raise returned.
        unsafe { ntsim::ddi::KeLowerIrql(irql) };
        assert_eq!((formatted(), ntsim::counters().allocations), (2, before));
        let all = session(255, 0);
        log!(Level::Info, "three: {Counted}");
        log!(Level::Debug, "above the sink's level: {Counted}");
        assert_eq!(formatted(), 1);
        drop(registration);
        log!(Level::Error, "after it was unregistered: {Counted}");
        assert_eq!(formatted(), 0);
        let heard = |session| {
            let events = etw::events(session).into_iter();
            events.map(|event| (event.level, event.keyword, event.data)).collect::<Vec<_>>()
        };
        let said = |level, text: &str| (level, 0x10, etw::Data::Text(format!("etw: {text}: counted")));
        assert_eq!(heard(others), []);
        assert_eq!(heard(warnings), [said(2, "one"), said(3, "two")]);
        assert_eq!(heard(all), [said(4, "three")]);
    };
    kernel.run_on(0, program).unwrap();
    kernel.unload().unwrap();
}
