//! C3, C5, C8, C10, C14 where several threads use an operation at once, while another one runs its body. These are races, which a run may
//! miss: so there are many rounds, and what one finds another may not.
//!
//! The world of the other cases is one thread's. Here what bodies and threads share is counted in atomics.

mod client;
mod shared;

use core::{ptr, sync::atomic::Ordering::SeqCst};
use std::thread;

use ntcom::{AsyncControlRaw, IUnknownVtbl, Interface, NTSTATUS};

use self::{client::Client, shared::Shared};
use super::{Case, case};
use crate::{
    client::slot,
    finding::{Check, Finding},
    kit::Kit,
    need::Need,
    rule::Rule,
    table::Table,
};

const THREADS: &[Need] = &[Need::Threads];

pub(super) const CASES: &[Case] = &[
    case(Rule::C3, "several_threads_count", |kit| rounds(kit, Rule::C3, Does { counts: true, ..NOTHING }))
        .needs(THREADS),
    case(Rule::C5, "several_threads_read_the_result", |kit| {
        rounds(kit, Rule::C5, Does { reads: true, ..NOTHING })
    })
    .needs(THREADS),
    case(Rule::C8, "several_threads_wake", |kit| rounds(kit, Rule::C8, Does { wakes: true, ..NOTHING }))
        .needs(THREADS),
    case(Rule::C10, "several_threads_cancel", |kit| {
        rounds(kit, Rule::C10, Does { cancels: true, reads: true, wakes: true, ..NOTHING })
    })
    .needs(THREADS),
    case(Rule::C14, "several_threads_set_a_handler", |kit| {
        rounds(kit, Rule::C14, Does { sets: true, ..NOTHING })
    })
    .needs(THREADS),
];

/// How many threads there are besides the one that runs bodies, and in how many rounds.
const CLIENTS: usize = 3;
const ROUNDS: usize = 40;

/// What the threads do.
#[derive(Clone, Copy)]
struct Does {
    counts: bool,
    reads: bool,
    wakes: bool,
    cancels: bool,
    sets: bool,
}

const NOTHING: Does = Does { counts: false, reads: false, wakes: false, cancels: false, sets: false };

fn rounds(kit: &Kit<'_>, rule: Rule, does: Does) -> Check {
    kit.0
        .trail
        .add(format!("{CLIENTS} threads use an operation at once, in {ROUNDS} rounds, against {rule}"));
    for round in 0..ROUNDS {
        kit.0.trail.add(format!("round {round}"));
        one_round(kit, does)?;
    }
    Ok(())
}

fn one_round(kit: &Kit<'_>, does: Does) -> Check {
    let table = kit.table();
    // Lost where something is found: then somebody may still have it.
    let shared: &'static Shared = Box::leak(Box::new(Shared::new(table, does.wakes)));
    let recipe = shared.recipe();
    let missing = || Finding::new(Rule::C11, "the library makes no operation");
    // SAFETY: the header: a recipe.
    let this = table.spawn.map(|spawn| unsafe { spawn(&raw const recipe, ptr::null_mut()) });
    let this = this.filter(|this| !this.is_null()).ok_or_else(missing)?;
    shared.operation.store(this, SeqCst);
    // SAFETY: a live operation's first interface.
    let unknown: IUnknownVtbl = unsafe { crate::client::table(this, Rule::C1) }?;
    let query = slot(unknown.QueryInterface, Rule::C1, "QueryInterface")?;
    let release = slot(unknown.Release, Rule::C3, "Release")?;
    let mut control = ptr::null_mut();
    // SAFETY: we have a reference; both pointers are good.
    let status = unsafe { query(this, &AsyncControlRaw::IID, &raw mut control) };
    if status != NTSTATUS::SUCCESS {
        return Err(Finding::new(Rule::C1, format!("QueryInterface for IAsyncControl answers {status}")));
    }
    shared.control.store(control, SeqCst);
    advance(&table);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                if let Err(finding) = Client::new(shared).and_then(|mut client| client.work(number, does)) {
                    shared.breach(finding.rule, finding.message);
                }
                shared.done.fetch_add(1, SeqCst);
            });
        }
        while shared.done.load(SeqCst) < CLIENTS {
            advance(&table);
            thread::yield_now();
        }
    });
    // The last wake may have come since.
    advance(&table);
    shared.breached()?;
    let waker = core::mem::take(&mut *shared.waker());
    if let Some(drop_waker) = table.waker_drop.filter(|_| waker != 0) {
        // SAFETY: the header: a waker, which is given up.
        unsafe { drop_waker(ptr::with_exposed_provenance_mut(waker)) };
    }
    advance(&table);
    Client::new(shared)?.ended_once(does)?;
    // SAFETY: the reference that the query has given.
    let first = unsafe { release(this) };
    // SAFETY: the reference that it was made with.
    let last = unsafe { release(this) };
    if first == 0 || last != 0 {
        let why = format!(
            "after all threads have given up what they had the last two Releases answer {first} and {last}"
        );
        return Err(Finding::new(Rule::C3, why));
    }
    let live = kit.live();
    if live.is_some_and(|live| live != 0) {
        return Err(Finding::new(
            Rule::C3,
            format!("everything has been released, and there is memory for {live:?}"),
        ));
    }
    shared.breached()
}

fn advance(table: &Table) {
    if let Some(advance) = table.advance {
        // SAFETY: the header: by one thread at a time.
        unsafe { advance() };
    }
}
