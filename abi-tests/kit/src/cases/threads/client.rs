//! One of the threads.

use core::{ffi::c_void, ptr, sync::atomic::Ordering::SeqCst};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationVtbl, AsyncStatus, IUnknownVtbl, Interface, NTSTATUS,
};
use ntcom_fuzz::value::{UNTOUCHED, bytes_of};

use super::{
    Does,
    shared::{KIND, NUMBER, Shared, completed, wait_until},
};
use crate::{
    client::{slot, table},
    finding::{Check, Finding},
    rule::Rule,
};

/// How often each thread does what it does.
const TIMES: usize = 60;

/// One thread's hold on the operation: it has a reference.
pub(super) struct Client<'a> {
    shared: &'a Shared,
    this: *mut c_void,
    operation: AsyncOperationVtbl<u8>,
    control: AsyncControlVtbl,
    ended: i32,
}

impl<'a> Client<'a> {
    pub(super) fn new(shared: &'a Shared) -> Result<Self, Finding> {
        let this = shared.operation.load(SeqCst);
        // SAFETY: a live operation's interfaces, which the program has references to.
        let operation = unsafe { table(this, Rule::C4) }?;
        // SAFETY: as above.
        let control = unsafe { table(shared.control.load(SeqCst), Rule::C10) }?;
        Ok(Self { shared, this, operation, control, ended: 0 })
    }

    fn unknown(&self) -> &IUnknownVtbl {
        &self.operation.base
    }

    /// More references, and fewer again.
    fn count(&self) -> Check {
        let add_ref = slot(self.unknown().AddRef, Rule::C3, "AddRef")?;
        let release = slot(self.unknown().Release, Rule::C3, "Release")?;
        let query = slot(self.unknown().QueryInterface, Rule::C1, "QueryInterface")?;
        let mut out = ptr::null_mut();
        // SAFETY: we have a reference.
        let mut zero = unsafe { add_ref(self.this) } == 0;
        // SAFETY: as above; both pointers are good.
        let status = unsafe { query(self.this, &AsyncControlRaw::IID, &raw mut out) };
        if status != NTSTATUS::SUCCESS || out != self.shared.control.load(SeqCst) {
            return Err(Finding::new(
                Rule::C1,
                format!("QueryInterface for IAsyncControl answers {status}, {out:?}"),
            ));
        }
        for _ in 0..2 {
            // SAFETY: the references that we have just been given.
            zero |= unsafe { release(self.this) } == 0;
        }
        if zero {
            return Err(Finding::new(Rule::C3, "AddRef or Release answers 0 while threads have references"));
        }
        Ok(())
    }

    /// The status, which never changes once it is terminal.
    fn status(&mut self) -> Result<i32, Finding> {
        let get_status = slot(self.operation.get_status, Rule::C4, "get_status")?;
        let mut status = AsyncStatus(-1);
        // SAFETY: we have a reference.
        let answer = unsafe { get_status(self.this, &raw mut status) };
        if answer != NTSTATUS::SUCCESS || !status.is_known() {
            return Err(Finding::new(Rule::C4, format!("get_status answers {answer} and writes {status:?}")));
        }
        if self.ended != 0 && self.ended != status.0 {
            let before = AsyncStatus(self.ended);
            return Err(Finding::new(
                Rule::C6,
                format!("a thread has seen {before:?}, and now sees {status:?}"),
            ));
        }
        if status.is_terminal() && self.shared.drops.load(SeqCst) == 0 {
            let why = "the operation has ended, and its body has not been dropped";
            return Err(Finding::new(Rule::C8, why));
        }
        self.ended = status.0;
        Ok(status.0)
    }

    /// The value, or zeros, and never a part of each.
    fn result(&mut self) -> Check {
        let before = self.status()?;
        let get_result = slot(self.operation.get_result, Rule::C5, "get_result")?;
        let mut place = vec![UNTOUCHED; KIND.size()];
        // SAFETY: we have a reference; there is room for the value.
        let answer = unsafe { get_result(self.this, place.as_mut_ptr()) };
        let expected = match answer {
            NTSTATUS::SUCCESS => place == bytes_of(KIND, NUMBER),
            _ => place.iter().all(|byte| *byte == 0),
        };
        if !expected {
            return Err(Finding::new(
                Rule::C5,
                format!("get_result answers {answer}, and leaves something else"),
            ));
        }
        let fits = match before {
            1 => answer == NTSTATUS::SUCCESS,
            2 => answer == NTSTATUS::CANCELLED,
            _ => matches!(answer, NTSTATUS::SUCCESS | NTSTATUS::CANCELLED | NTSTATUS::PENDING),
        };
        if !fits {
            let before = AsyncStatus(before);
            return Err(Finding::new(
                Rule::C6,
                format!("a thread has seen {before:?}, and get_result answers {answer}"),
            ));
        }
        Ok(())
    }

    fn wake(&self) {
        let kept = self.shared.waker();
        if *kept != 0
            && let Some(wake) = self.shared.table.waker_wake_by_ref
        {
            // SAFETY: the header: a waker that nobody has given up, because we hold its lock.
            unsafe { wake(ptr::with_exposed_provenance_mut(*kept)) };
        }
    }

    fn cancel(&self) -> Check {
        let cancel = slot(self.control.cancel, Rule::C10, "cancel")?;
        // SAFETY: the program has a reference.
        let answer = unsafe { cancel(self.shared.control.load(SeqCst)) };
        if answer != NTSTATUS::SUCCESS {
            return Err(Finding::new(Rule::C10, format!("cancel answers {answer}")));
        }
        Ok(())
    }

    /// One of all that are set is accepted.
    fn set(&self) -> Check {
        let set_completed = slot(self.control.set_completed, Rule::C14, "set_completed")?;
        let context = ptr::from_ref(self.shared).cast_mut().cast();
        // SAFETY: the program has a reference; the context lives until the round has ended.
        match unsafe { set_completed(self.shared.control.load(SeqCst), Some(completed), context) } {
            NTSTATUS::SUCCESS => {
                self.shared.accepted.fetch_add(1, SeqCst);
                Ok(())
            }
            NTSTATUS::INVALID_DEVICE_STATE => Ok(()),
            answer => Err(Finding::new(Rule::C14, format!("set_completed answers {answer}"))),
        }
    }

    pub(super) fn work(&mut self, number: usize, does: Does) -> Check {
        for time in 0..TIMES {
            if does.counts {
                self.count()?;
            }
            if does.reads {
                self.result()?;
            }
            if does.sets && time == TIMES / 2 {
                self.set()?;
            }
            if does.cancels && time == TIMES / 2 + number {
                self.cancel()?;
            }
            // The operation ends while the others are in the middle of it.
            if number == 0 && time == TIMES / 2 {
                if does.wakes {
                    wait_until(&self.shared.inside);
                }
                self.shared.open.store(true, SeqCst);
                // The one wake that it takes, whatever others do meanwhile.
                self.wake();
                self.shared.woken.store(true, SeqCst);
            }
            if does.wakes && number != 0 && !self.shared.open.load(SeqCst) {
                self.wake();
            }
            self.status()?;
        }
        Ok(())
    }
}

impl Client<'_> {
    /// The end of a round: it has ended, its body was dropped once, and one handler ran once.
    pub(super) fn ended_once(&mut self, does: Does) -> Check {
        let status = self.status()?;
        let shared = self.shared;
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
                format!("nobody has cancelled it: {:?}", AsyncStatus(status)),
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
