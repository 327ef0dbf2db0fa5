//! The first thread of a round. It makes the operation, lets its body run while the others use it,
//! and checks the result.

use core::{ffi::c_void, ptr, sync::atomic::Ordering::SeqCst};

use ntcom::{AsyncControlRaw, IUnknownVtbl, Interface, NTSTATUS, RawAsyncStatus};

use super::{
    client::Client,
    shared::{Begin, Shared},
};
use crate::{
    client::{slot, table},
    finding::{Check, Finding},
    rounds::CLIENTS,
    rule::Rule,
    table::Pause,
};

/// The operation, as its maker holds it.
struct Made {
    this: *mut c_void,
    add_ref: unsafe extern "system" fn(*mut c_void) -> u32,
    release: unsafe extern "system" fn(*mut c_void) -> u32,
}

pub(super) fn lead(shared: &Shared, pause: Pause) {
    shared.set_pause(pause);
    let check = round(shared);
    if let Err(finding) = check {
        shared.breach(finding.rule, finding.message);
    }
    // The other threads still wait if the operation was never made.
    shared.begin(Begin::Not);
    shared.ended.store(true, SeqCst);
}

fn round(shared: &Shared) -> Check {
    let made = make(shared)?;
    // The first poll gives each thread a waker.
    advance(shared);
    if shared.does.releases {
        for _ in 0..CLIENTS {
            shared.say("the first thread: AddRef");
            // SAFETY: the kit has references.
            if unsafe { (made.add_ref)(made.this) } == 0 {
                return Err(Finding::new(Rule::C3, "AddRef answers 0"));
            }
        }
    }
    shared.begin(Begin::Go);
    if shared.does.releases {
        release_both(shared, &made);
    }
    while shared.done.load(SeqCst) < CLIENTS {
        advance(shared);
        shared.pause();
    }
    // The last wake may have come since the last advance.
    advance(shared);
    shared.breach_so_far()?;
    if shared.does.releases {
        has_no_references(shared)?;
    } else {
        Client::new(shared, CLIENTS)?.ended_once()?;
        let left = release_both(shared, &made);
        if left != [false, true] {
            let why = "the last two Releases, after all threads have given up what they had, answer";
            let words = left.map(|zero| if zero { "0" } else { "not 0" }).join(" and ");
            return Err(Finding::new(Rule::C3, format!("{why} {words}")));
        }
    }
    // SAFETY: `live_operations` may be called at any time.
    let live = shared.table.live_operations.map_or(0, |live| unsafe { live() });
    if live != 0 {
        let why = format!("everything has been released, and there is memory for {live}");
        return Err(Finding::new(Rule::C3, why));
    }
    Ok(())
}

fn make(shared: &Shared) -> Result<Made, Finding> {
    let recipe = shared.recipe();
    let missing = || Finding::new(Rule::C11, "the library makes no operation");
    // SAFETY: the recipe is as the header declares it.
    let this = shared.table.spawn.map(|spawn| unsafe { spawn(&raw const recipe, ptr::null_mut()) });
    let this = this.filter(|this| !this.is_null()).ok_or_else(missing)?;
    shared.operation.store(this, SeqCst);
    // SAFETY: `this` is the first interface of a living operation.
    let unknown: IUnknownVtbl = unsafe { table(this, Rule::C1) }?;
    let query = slot(unknown.QueryInterface, Rule::C1, "QueryInterface")?;
    let add_ref = slot(unknown.AddRef, Rule::C3, "AddRef")?;
    let release = slot(unknown.Release, Rule::C3, "Release")?;
    if !shared.controls {
        // SAFETY: the kit has a reference.
        unsafe { add_ref(this) };
        return Ok(Made { this, add_ref, release });
    }
    let mut control = ptr::null_mut();
    // SAFETY: the kit has a reference. Both pointers are valid.
    let status = unsafe { query(this, &AsyncControlRaw::IID, &raw mut control) };
    if status != NTSTATUS::SUCCESS {
        return Err(Finding::new(Rule::C1, format!("QueryInterface for IAsyncControl answers {status}")));
    }
    shared.control.store(control, SeqCst);
    Ok(Made { this, add_ref, release })
}

/// Gives up the reference with which the operation was made, and the second one. Returns whether
/// each Release answers 0.
fn release_both(shared: &Shared, made: &Made) -> [bool; 2] {
    [(); 2].map(|()| {
        shared.say("the first thread: Release");
        // SAFETY: the reference is the kit's.
        let zero = unsafe { (made.release)(made.this) } == 0;
        shared.zeros.fetch_add(zero.into(), SeqCst);
        zero
    })
}

/// Checks that the operation has ended once. All threads have given up their references.
fn has_no_references(shared: &Shared) -> Check {
    let (drops, zeros) = (shared.drops.load(SeqCst), shared.zeros.load(SeqCst));
    if drops != 1 {
        let why =
            format!("no client has the operation any more, and its body has been dropped {drops} times");
        return Err(Finding::new(Rule::C9, why));
    }
    if zeros > 1 {
        return Err(Finding::new(Rule::C3, format!("{zeros} Releases answer 0: the operation is gone once")));
    }
    Ok(())
}

fn advance(shared: &Shared) {
    if let Some(advance) = shared.table.advance {
        // SAFETY: the header lets one thread at a time call `advance`.
        unsafe { advance() };
    }
}

impl Client<'_> {
    /// Checks at the end of a round that the operation has ended, that its body was dropped once,
    /// and that one handler ran once.
    fn ended_once(&mut self) -> Check {
        let status = self.status()?;
        let shared = self.shared;
        let does = shared.does;
        if status == 0 {
            let rule = if does.cancels { Rule::C10 } else { Rule::C8 };
            return Err(Finding::new(
                rule,
                "the operation was woken, and its body was not polled until it ended",
            ));
        }
        if !does.cancels && status != 1 {
            return Err(Finding::new(
                Rule::C10,
                format!("no client has cancelled it: {:?}", RawAsyncStatus(status)),
            ));
        }
        let (accepted, handled) = (shared.accepted.load(SeqCst), shared.handled.load(SeqCst));
        if does.sets && (accepted, handled) != (1, 1) {
            let why = format!(
                "{accepted} handlers were accepted, one of which should have been, and {handled} ran"
            );
            return Err(Finding::new(Rule::C14, why));
        }
        if does.sets && shared.told.load(SeqCst) != status {
            return Err(Finding::new(Rule::C14, "the handler was told another status"));
        }
        Ok(())
    }
}
