//! A trace is data that is written and read back. Errors in a file are reported with their place.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use common::*;
use ntsim::{
    BugCheck, Ddi, Schedule, Simulation, Stop, ThreadName, Wait,
    sync::{AtomicUsize, Ordering, UnsafeCell},
    trace::{AtomicOp, Event, Mark, MarkKind, Name, Trace, Value, What},
};

fn written(trace: &Trace) -> String {
    let mut text = Vec::new();
    trace.write_json_lines(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn event(what: What) -> Event {
    Event { step: 7, time: 70, processor: 1, irql: 2, what, caller: None }
}

/// Returns one event of every kind with its line in a file. The lines never change, because other
/// readers of our files rely on them.
fn every_kind() -> Vec<(What, &'static str)> {
    let block = Name::Block { number: 0, offset: 16 };
    let bug_check = BugCheck {
        code: 0xC7,
        parameters: [1, 2, 3, 4],
        processor: 1,
        irql: 2,
        rule: "a \"rule\"".into(),
        backtrace: vec![],
    };
    let call = What::Call {
        ddi: Ddi::KeInsertQueueDpc,
        arguments: vec![
            Value::Pointer(block),
            Value::Number(u64::MAX),
            Value::Signed(-1),
            Value::Bits(255),
            Value::Tag(TAG),
        ],
        result: Some(Value::Boolean(true)),
    };
    let atomic = What::Atomic {
        operation: AtomicOp::FailedExchange,
        object: Name::Object(3),
        old: Value::Bits(1),
        new: Value::Bits(1),
    };
    let mark = Mark::new(MarkKind::PollStart, "operation 3").detail("first");
    let wait = Wait {
        processor: 0,
        thread: Some(ThreadName::System(1)),
        lock: "block1".into(),
        holder: Some(1),
        holding_thread: None,
        place: None,
    };
    vec![
        (
            call,
            r#"{"call":{"ddi":"KeInsertQueueDpc","arguments":[{"pointer":"block0+0x10"},{"number":18446744073709551615},{"signed":-1},{"bits":255},{"tag":1953719636}],"result":{"boolean":true}}}"#,
        ),
        (
            What::Call { ddi: Ddi::KeGetCurrentIrql, arguments: vec![], result: None },
            r#"{"call":{"ddi":"KeGetCurrentIrql","arguments":[],"result":null}}"#,
        ),
        (
            What::Call {
                ddi: Ddi::KeGetCurrentThread,
                arguments: vec![],
                result: Some(Value::Pointer(Name::Thread(ThreadName::System(1)))),
            },
            r#"{"call":{"ddi":"KeGetCurrentThread","arguments":[],"result":{"pointer":"thread 1"}}}"#,
        ),
        (What::Switch { to: 1 }, r#"{"switch":{"to":1}}"#),
        (What::ProgramStart, r#""program_start""#),
        (What::ProgramEnd, r#""program_end""#),
        (
            What::DpcStart { dpc: block, routine: Name::Address(0x1234) },
            r#"{"dpc_start":{"dpc":"block0+0x10","routine":"0x1234"}}"#,
        ),
        (What::DpcEnd { dpc: Name::Null }, r#"{"dpc_end":{"dpc":"null"}}"#),
        (
            What::TimerExpired { object: Name::Pool { offset: 64 } },
            r#"{"timer_expired":{"object":"pool+0x40"}}"#,
        ),
        (
            What::Thread { processor: 1, thread: ThreadName::Program(1) },
            r#"{"thread":{"processor":1,"thread":{"program":1}}}"#,
        ),
        (
            What::ThreadReady { processor: 0, thread: ThreadName::Idle(0) },
            r#"{"thread_ready":{"processor":0,"thread":{"idle":0}}}"#,
        ),
        (
            What::ThreadWait {
                thread: ThreadName::System(1),
                ddi: Some(Ddi::KeWaitForSingleObject),
                objects: vec![block],
            },
            r#"{"thread_wait":{"thread":{"system":1},"ddi":"KeWaitForSingleObject","objects":["block0+0x10"]}}"#,
        ),
        (What::ThreadEnd { thread: ThreadName::System(1) }, r#"{"thread_end":{"thread":{"system":1}}}"#),
        (
            What::WorkStart { item: block, routine: Name::Address(0x1234) },
            r#"{"work_start":{"item":"block0+0x10","routine":"0x1234"}}"#,
        ),
        (What::WorkEnd { item: block }, r#"{"work_end":{"item":"block0+0x10"}}"#),
        (
            What::Wait { ddi: Ddi::KeAcquireSpinLockRaiseToDpc, object: block },
            r#"{"wait":{"ddi":"KeAcquireSpinLockRaiseToDpc","object":"block0+0x10"}}"#,
        ),
        (
            What::Allocated { number: 1, size: 64, tag: TAG },
            r#"{"allocated":{"number":1,"size":64,"tag":1953719636}}"#,
        ),
        (What::Freed { number: 1, tag: TAG }, r#"{"freed":{"number":1,"tag":1953719636}}"#),
        (
            atomic,
            r#"{"atomic":{"operation":"failed_exchange","object":"object3","old":{"bits":1},"new":{"bits":1}}}"#,
        ),
        (What::Cell { object: block, mutable: true }, r#"{"cell":{"object":"block0+0x10","mutable":true}}"#),
        (
            What::CellEnd { object: block, mutable: false },
            r#"{"cell_end":{"object":"block0+0x10","mutable":false}}"#,
        ),
        (What::TimeSkipped { by: 5 }, r#"{"time_skipped":{"by":5}}"#),
        (What::Note("a\nb".into()), r#"{"note":"a\nb"}"#),
        (What::Mark(mark), r#"{"mark":{"kind":"poll_start","subject":"operation 3","detail":"first"}}"#),
        (
            What::Stop { stop: Stop::BugCheck(bug_check) },
            r#"{"stop":{"stop":{"bug_check":{"code":199,"parameters":[1,2,3,4],"processor":1,"irql":2,"rule":"a \"rule\""}}}}"#,
        ),
        (
            What::Stop { stop: Stop::failure("C8", "twice".into()) },
            r#"{"stop":{"stop":{"failure":{"oracle":"C8","message":"twice"}}}}"#,
        ),
        (
            What::Stop {
                stop: Stop::StepLimit {
                    steps: 9,
                    processor: 0,
                    irql: 0,
                    in_dpc: false,
                    backtrace: Vec::new(),
                },
            },
            r#"{"stop":{"stop":{"step_limit":{"steps":9,"processor":0,"irql":0,"in_dpc":false}}}}"#,
        ),
        (
            What::Stop { stop: Stop::Deadlock { waits: vec![wait] } },
            r#"{"stop":{"stop":{"deadlock":{"waits":[{"processor":0,"thread":{"system":1},"lock":"block1","holder":1,"holding_thread":null}]}}}}"#,
        ),
    ]
}

#[test]
fn every_kind_of_event_has_its_line_and_reads_back() {
    for (what, line) in every_kind() {
        let trace = Trace::new(vec![event(what)]);
        let text = written(&trace);
        let expected = format!(
            "{{\"format\":\"ntsim trace\",\"version\":1,\"events\":1}}\n{{\"step\":7,\"time\":70,\"processor\":1,\"irql\":2,\"what\":{line}}}\n"
        );
        assert_eq!(text, expected);
        assert_eq!(Trace::read_json_lines(&text), Ok(trace));
    }
}

fn a_run(seed: u64) -> (Result<(), Stop>, Trace) {
    let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
    let work = || {
        program(|| {
            let (lock, atomic, cell) = (Lock::new(), AtomicUsize::new(0), UnsafeCell::new(0));
            let dpc = Dpc::new(|| ntsim::note(|| "in the DPC".into())).target(1);
            let timer = Timer::new();
            dpc.insert();
            timer.set(-100, None);
            let before = lock.acquire();
            atomic.fetch_add(1, Ordering::SeqCst);
            cell.with_mut(|_| ntsim::mark(|| Mark::new(MarkKind::Wake, "task")));
            lock.release(before);
            ntsim::advance_time(2 * TICK);
            lock.free();
            timer.free();
            // The DPC's block is leaked, so the machine stops at unload.
        })
    };
    kernel.programs().on(0, work()).on(1, work()).run().unwrap();
    let stop = kernel.unload();
    (stop, kernel.trace().clone())
}

#[test]
fn the_trace_of_a_run_reads_back() {
    for seed in 0..10 {
        let (stop, trace) = a_run(seed);
        assert_eq!(stop.unwrap_err().bug_check().unwrap().code, 0xC4);
        let read = Trace::read_json_lines(&written(&trace)).unwrap();
        assert_eq!(read, trace);
        assert_eq!(read.to_string(), trace.to_string());
    }
}

#[test]
fn an_empty_trace_reads_back() {
    assert_eq!(Trace::read_json_lines(&written(&Trace::default())), Ok(Trace::default()));
}

/// Returns the error for a file of these lines.
fn complaint(lines: &[&str]) -> String {
    Trace::read_json_lines(&lines.join("\n")).unwrap_err().to_string()
}

const HEADER: &str = r#"{"format":"ntsim trace","version":1,"events":2}"#;
const EVENT: &str = r#"{"step":1,"time":5,"processor":0,"irql":0,"what":"program_start"}"#;

#[test]
fn a_corrupt_file_is_an_error_that_says_where() {
    assert_eq!(complaint(&[]), "trace, line 1: the trace is empty, without a header");
    assert_eq!(complaint(&["ntsim recording 1"]), "trace, line 1, column 2: expected ident");
    assert_eq!(
        complaint(&[r#"{"format":"x","version":1,"events":0}"#]),
        r#"trace, line 1: the format is "x", not "ntsim trace""#
    );
    assert_eq!(
        complaint(&[r#"{"format":"ntsim trace","version":2,"events":0}"#]),
        "trace, line 1: the version is 2, not 1"
    );
    assert_eq!(complaint(&[HEADER, EVENT]), "trace, line 3: the trace ends after 1 of 2 events");
    assert_eq!(
        complaint(&[HEADER, EVENT, EVENT, EVENT]),
        "trace, line 4: the trace has more events than the 2 of its header"
    );
    let cut = EVENT.get(..40).unwrap();
    assert!(complaint(&[HEADER, EVENT, cut]).starts_with("trace, line 3, column 40: EOF while parsing"));
    for (wrong, said) in [
        (EVENT.replace("program_start", "program_begin"), "unknown variant `program_begin`"),
        (EVENT.replace(r#""irql":0,"#, ""), "missing field `irql`"),
        (EVENT.replace(r#""irql":0,"#, r#""irql":0,"level":1,"#), "unknown field `level`"),
        (EVENT.replace(r#""irql":0"#, r#""irql":300"#), "invalid value: integer `300`"),
        (
            EVENT.replace(r#""program_start""#, r#"{"dpc_end":{"dpc":"block"}}"#),
            r#""block" is not an object's name"#,
        ),
        (
            EVENT.replace(r#""program_start""#, r#"{"wait":{"ddi":"KeFoo","object":"null"}}"#),
            "unknown variant `KeFoo`",
        ),
    ] {
        let complaint = complaint(&[HEADER, EVENT, &wrong]);
        assert!(complaint.starts_with("trace, line 3, column "), "{complaint}");
        assert!(complaint.contains(said), "{complaint}");
    }
    for (wrong, said) in [
        (EVENT.replace(r#""irql":0"#, r#""irql":16"#), "IRQL 16 does not exist; the highest is 15"),
        (
            EVENT.replace(r#""processor":0"#, r#""processor":64"#),
            "processor 64 does not exist; the highest is 63",
        ),
        (
            EVENT.replace(
                r#""program_start""#,
                r#"{"thread":{"processor":18446744073709551615,"thread":{"system":1}}}"#,
            ),
            "processor 18446744073709551615 does not exist; the highest is 63",
        ),
        (
            EVENT.replace(r#""program_start""#, r#"{"thread_ready":{"processor":64,"thread":{"system":1}}}"#),
            "processor 64 does not exist; the highest is 63",
        ),
        (
            EVENT.replace(r#""program_start""#, r#"{"switch":{"to":64}}"#),
            "processor 64 does not exist; the highest is 63",
        ),
        (EVENT.replace(r#""step":1"#, r#""step":0"#), "step 0 comes after step 1"),
        (EVENT.replace(r#""time":5"#, r#""time":4"#), "time 4 comes after time 5"),
    ] {
        assert_eq!(complaint(&[HEADER, EVENT, &wrong]), format!("trace, line 3: {said}"));
    }
}
