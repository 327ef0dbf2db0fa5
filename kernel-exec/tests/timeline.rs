//! The marks of the executor in the trace, from which timelines show the lives of tasks.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "tests")]

use core::{future::pending, task::Poll};

use ntcom_exec::{spawn_dpc_task, spawn_dpc_task_cancellable};
use ntsim::{
    Config, Schedule, Simulation,
    trace::{MarkKind, What},
};

/// Runs a task that wakes itself once, and a task that is cancelled.
fn run(trace: bool) -> Simulation {
    let config = Config { trace, callers: trace, processors: 2, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::seed(3));
    kernel
        .run_on(0, || {
            let mut polls = 0;
            let twice = core::future::poll_fn(move |context| {
                polls += 1;
                if polls == 2 {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            });
            spawn_dpc_task(twice).unwrap();
            let other = spawn_dpc_task_cancellable(pending()).unwrap();
            other.cancel();
        })
        .unwrap();
    kernel
}

/// Returns the actions on each task, in the order of their spawns.
fn lives(kernel: &Simulation) -> Vec<Vec<(MarkKind, String)>> {
    let mut lives: Vec<(String, Vec<(MarkKind, String)>)> = Vec::new();
    for event in kernel.trace().events() {
        if let What::Mark(mark) = &event.what {
            let step = (mark.kind, mark.detail.clone());
            match lives.iter_mut().find(|(subject, _)| *subject == mark.subject) {
                Some((_, steps)) => steps.push(step),
                None => lives.push((mark.subject.clone(), vec![step])),
            }
        }
    }
    assert!(lives.iter().all(|(subject, _)| subject.starts_with("task block")), "{lives:?}");
    lives.into_iter().map(|(_, steps)| steps).collect()
}

#[test]
fn each_step_of_a_task_is_marked() {
    let kernel = run(true);
    let lives = lives(&kernel);
    let [twice, cancelled] = &lives[..] else { panic!("{lives:?}") };
    let step = |kind, detail: &str| (kind, detail.to_owned());
    assert_eq!(
        *twice,
        [
            step(MarkKind::Spawn, ""),
            step(MarkKind::PollStart, ""),
            step(MarkKind::Wake, ""),
            step(MarkKind::PollEnd, "pending"),
            step(MarkKind::PollStart, ""),
            step(MarkKind::PollEnd, "ready"),
            step(MarkKind::End, "completed"),
        ]
    );
    assert_eq!(cancelled.first(), Some(&step(MarkKind::Spawn, "")));
    assert!(cancelled.contains(&step(MarkKind::Cancel, "")), "{cancelled:?}");
    assert_eq!(cancelled.last(), Some(&step(MarkKind::End, "canceled")));
}

#[test]
fn marks_change_no_decision_and_no_step() {
    let (traced, other) = (run(true), run_again());
    assert_eq!(traced.recording(), other.0);
    assert_eq!(traced.counters(), other.1);
}

/// Makes the run without a trace, in a thread of its own because a simulation belongs to one.
fn run_again() -> (ntsim::Recording, ntsim::Counters) {
    let other = std::thread::spawn(|| {
        let kernel = run(false);
        assert!(kernel.trace().events().is_empty());
        (kernel.recording(), kernel.counters())
    });
    other.join().unwrap()
}

#[test]
fn a_timeline_has_the_lives_of_tasks() {
    let page = run(true).trace().to_html("tasks");
    for state in [r#""state":"queued","label":"task block"#, r#""state":"running","label":"task block"#] {
        assert!(page.contains(state), "{state}");
    }
    assert!(page.contains(r#"{"kind":"task","bars":[{"#));
    assert!(page.contains(r#""library":true"#), "the executor's events are a library's");
}
