//! Tests of the executor on processors that really run at once, with an OS thread of the host for
//! each.
//!
//! They cover two things that the schedules of the other tests cannot show. One is the host's
//! atomics with its memory model, and the other is code between two preemption points in parallel.
//! Nothing here depends on which processor is faster. Under ThreadSanitizer: `cargo xtask tsan`.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they mean, helpers of tests too")]

mod common;

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{
        AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};
use std::sync::Arc;

use common::Event;
use ntcom_exec::{
    CancelHandle, DpcOptions, EtwProvider, IrpOutcome, NTSTATUS, RequestStorage, Signal, TaskBuilder,
    default_tracker, oneshot, sleep, spawn_dpc_task, spawn_dpc_task_cancellable, spawn_request_task,
    try_finally, yield_now,
};
use ntsim::{Config, FreeProgram, Schedule, Simulation, etw, types::GUID};

const PROCESSORS: usize = 4;
const ROUNDS: u32 = 60;

/// The state that the processors share.
#[derive(Default)]
struct Shared {
    ended: AtomicU32,
    dropped: AtomicU32,
    cleaned: AtomicU32,
    done: AtomicU32,
    signals: [Signal; PROCESSORS],
    events: [Event; PROCESSORS],
}

struct OnDrop(Arc<Shared>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, SeqCst);
    }
}

/// Runs a program on each processor. The first processor drains when all have returned.
fn freely(seed: u64, work: fn(usize, &Arc<Shared>)) -> Arc<Shared> {
    let shared = Arc::new(Shared::default());
    let config = Config { processors: PROCESSORS, step_limit: u64::MAX / 2, ..Config::default() };
    let mut kernel = Simulation::new(config, Schedule::seed(seed));
    let program = |processor: usize| -> (usize, FreeProgram) {
        let shared = Arc::clone(&shared);
        let program = move || {
            work(processor, &shared);
            shared.done.fetch_add(1, SeqCst);
            if processor != 0 {
                return;
            }
            while shared.done.load(SeqCst) as usize != PROCESSORS {
                ntsim::preemption_point();
            }
            default_tracker(|tracker| {
                tracker.close();
                tracker.cancel_all();
                tracker.drain(None).unwrap();
                assert_eq!(tracker.unfinished(), 0);
            });
        };
        (processor, Box::new(program))
    };
    let run = kernel.run_freely((0..PROCESSORS).map(program).collect());
    run.and_then(|()| kernel.unload()).unwrap_or_else(|stop| panic!("{seed}: {stop}"));
    shared
}

fn task(shared: &Arc<Shared>, me: usize, round: u32) -> impl Future<Output = ()> + Send + 'static {
    let shared = Arc::clone(shared);
    async move {
        let _dropped = OnDrop(Arc::clone(&shared));
        yield_now().await;
        match round % 4 {
            0 => _ = shared.signals.get(me).unwrap().wait().await,
            1 => shared.events.get(me).unwrap().wait().await,
            2 => _ = sleep(Duration::from_micros(u64::from(round))).await,
            _ => {}
        }
        shared.ended.fetch_add(1, SeqCst);
    }
}

#[test]
fn every_task_ends_once_under_wakes_and_cancels_from_all_processors() {
    for seed in 0..4 {
        let shared = freely(seed, |me, shared| {
            let mut handles: Vec<CancelHandle> = Vec::new();
            for round in 0..ROUNDS {
                handles.push(spawn_dpc_task_cancellable(task(shared, me, round)).unwrap());
                let other = (me + round as usize) % PROCESSORS;
                shared.signals.get(other).unwrap().set();
                shared.events.get(other).unwrap().set();
                if round % 3 == 0 {
                    handles.swap_remove(handles.len() / 2).cancel();
                }
            }
        });
        let spawned = ROUNDS * PROCESSORS as u32;
        assert_eq!(shared.dropped.load(SeqCst), spawned);
        assert!(shared.ended.load(SeqCst) <= spawned);
    }
}

#[test]
fn every_cleanup_runs_once() {
    for seed in 0..4 {
        let shared = freely(seed, |_, shared| {
            for round in 0..ROUNDS {
                let (main, cleanup) = (Arc::clone(shared), Arc::clone(shared));
                let body = try_finally(
                    async move {
                        for _ in 0..round % 5 {
                            yield_now().await;
                        }
                        main.ended.fetch_add(1, SeqCst);
                    },
                    async move {
                        yield_now().await;
                        cleanup.cleaned.fetch_add(1, SeqCst);
                    },
                );
                let handle = spawn_dpc_task_cancellable(async move { _ = body.await }).unwrap();
                if round % 2 == 0 {
                    handle.cancel();
                }
            }
        });
        let (ended, cleaned) = (shared.ended.load(SeqCst), shared.cleaned.load(SeqCst));
        assert!(ended <= ROUNDS * PROCESSORS as u32 && cleaned <= ROUNDS * PROCESSORS as u32);
        assert_eq!(cleaned, ROUNDS * PROCESSORS as u32, "{ended} mains ended");
    }
}

#[test]
fn values_sent_between_processors_arrive() {
    for seed in 0..4 {
        let shared = freely(seed, |_, shared| {
            for round in 0..ROUNDS {
                let (sender, receiver) = oneshot::<u32>().unwrap();
                let arrived = Arc::clone(shared);
                spawn_dpc_task(async move {
                    assert_eq!(receiver.await, Ok(round));
                    arrived.ended.fetch_add(1, SeqCst);
                })
                .unwrap();
                spawn_dpc_task(async move {
                    yield_now().await;
                    sender.send(round).unwrap();
                })
                .unwrap();
            }
            while shared.ended.load(SeqCst) < ROUNDS * PROCESSORS as u32 {
                ntsim::preemption_point();
            }
        });
        assert_eq!(shared.ended.load(SeqCst), ROUNDS * PROCESSORS as u32);
    }
}

/// A message that takes time to be formatted and counts the beginning of it.
struct Slow<'a>(&'a AtomicU32);

impl core::fmt::Display for Slow<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fetch_add(1, SeqCst);
        for _ in 0..100 {
            ntsim::preemption_point();
        }
        f.write_str("slow")
    }
}

/// Each unregistration meets a processor in the middle of a write. A handle that is used after it
/// was unregistered is a bug check.
#[test]
fn a_provider_comes_and_goes_while_others_write() {
    const ID: u128 = 0x7c0f_2a51_9d2e_4b0c_a1f3_0a4f_8a1c_2e06;
    static PROVIDER: EtwProvider = EtwProvider::new(ID);
    freely(1, |me, shared| {
        let (last, begun) = (&shared.ended, &shared.cleaned);
        if me != 0 {
            while last.load(SeqCst) == 0 {
                PROVIDER.write(4, 0, format_args!("{me}: {}", Slow(begun)));
                // Time passes in kernel calls, and the processor that unregisters rests for a
                // while.
                ntsim::advance_time(1_000);
            }
            return;
        }
        etw::enable(etw::Session::new(GUID::from_u128(ID), 4));
        for _ in 0..ROUNDS {
            let registration = PROVIDER.register().unwrap();
            let before = begun.load(SeqCst);
            while begun.load(SeqCst) == before {
                ntsim::preemption_point();
            }
            drop(registration);
        }
        last.store(1, SeqCst);
    });
}

/// A framework's request that is never cancelled.
#[derive(Clone, Copy)]
struct Request(&'static (UnsafeCell<MaybeUninit<RequestStorage>>, UnsafeCell<Option<IrpOutcome>>));

// SAFETY: the storage is the task's; the drop of the last reference writes the outcome once.
unsafe impl Send for Request {}

// SAFETY: 1. the storage is in a block that is never freed; 2. and 3. the request is never
// cancellable; 4. no method needs a lower IRQL.
unsafe impl ntcom_exec::Request for Request {
    fn storage(self) -> *mut RequestStorage {
        self.0.0.get().cast()
    }
    unsafe fn begin(self) {}
    unsafe fn set_cancel_routine(self) -> bool {
        false
    }
    unsafe fn clear_cancel_routine(self) -> bool {
        false
    }
    unsafe fn complete(self, outcome: IrpOutcome) {
        // SAFETY: the drop of the last reference calls this, once.
        unsafe { *self.0.1.get() = Some(outcome) };
    }
}

/// The task runs on another processor, and the dispatch routine that has spawned it may report a
/// refusal all the same.
#[test]
fn a_request_has_one_outcome() {
    for seed in 0..4 {
        freely(seed, |me, _| {
            for round in 0..ROUNDS {
                let storage = UnsafeCell::new(MaybeUninit::uninit());
                let request = Request(Box::leak(Box::new((storage, UnsafeCell::new(None)))));
                let begun = Arc::new(AtomicU32::new(0));
                let begins = Arc::clone(&begun);
                let body = async move {
                    begins.store(1, Relaxed);
                    IrpOutcome { status: NTSTATUS::SUCCESS, information: 3 }
                };
                let elsewhere = DpcOptions::new().processor(0, ((me + 1) % PROCESSORS) as u8);
                let spawn = |task| {
                    let handle = TaskBuilder::new().on(elsewhere).spawn(task)?;
                    // Both are about to give the outcome. Relaxed, so that only the request orders
                    // them.
                    while begun.load(Relaxed) == 0 {
                        ntsim::preemption_point();
                    }
                    if round % 2 == 0 { Ok(handle) } else { Err(NTSTATUS::UNSUCCESSFUL) }
                };
                // SAFETY: the request is new.
                unsafe { spawn_request_task(request, body, spawn) };
            }
        });
    }
}
