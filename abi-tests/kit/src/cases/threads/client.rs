//! A thread that uses the operation.

use core::{ffi::c_void, ptr, sync::atomic::Ordering::SeqCst};

use ntcom::{
    AsyncControlRaw, AsyncControlVtbl, AsyncOperationRaw, AsyncOperationVtbl, AsyncStatus, IUnknownVtbl,
    Interface, NTSTATUS, RawAsyncStatus,
};
use ntcom_fuzz_model::value::{UNTOUCHED, bytes_of};

use super::shared::{Begin, KIND, NUMBER, Shared, completed};
use crate::{
    client::{slot, table},
    finding::{Check, Finding},
    rule::Rule,
    table::Pause,
};

/// The number of times a thread counts after it has met another one, which counts at the same time.
const BURST: usize = 50;

/// Does the work of a thread in a round.
pub(super) fn work(shared: &Shared, number: usize, pause: Pause) {
    let begins = loop {
        match shared.begins() {
            // SAFETY: the header lets a waiting thread call `pause`.
            Begin::NotYet => unsafe { pause() },
            begins => break begins,
        }
    };
    if begins == Begin::Go {
        let check = Client::new(shared, number).and_then(|mut client| client.work());
        if let Err(finding) = check {
            shared.breach(finding.rule, finding.message);
        }
    }
    shared.done.fetch_add(1, SeqCst);
}

/// A thread's access to the operation. A reference exists, and it is the thread's own if the thread
/// is to release one.
pub(super) struct Client<'a> {
    pub(super) shared: &'a Shared,
    number: usize,
    this: *mut c_void,
    operation: AsyncOperationVtbl<u8>,
    /// The control's table. `None` if the operation has no IAsyncControl.
    control: Option<AsyncControlVtbl>,
    ended: i32,
}

impl<'a> Client<'a> {
    pub(super) fn new(shared: &'a Shared, number: usize) -> Result<Self, Finding> {
        let this = shared.operation.load(SeqCst);
        // SAFETY: the operation is alive, because the program has references to it.
        let operation = unsafe { table(this, Rule::C4) }?;
        let control = shared.control.load(SeqCst);
        let control = if control.is_null() {
            None
        } else {
            // SAFETY: the second interface lives as long as the operation.
            Some(unsafe { table(control, Rule::C10) }?)
        };
        Ok(Self { shared, number, this, operation, control, ended: 0 })
    }

    fn unknown(&self) -> &IUnknownVtbl {
        &self.operation.base
    }

    /// Records the next action of this thread.
    fn say(&self, what: &str) {
        self.shared.say_of(self.number, what);
    }

    /// Adds references and gives them up again.
    fn count(&self) -> Check {
        let add_ref = slot(self.unknown().AddRef, Rule::C3, "AddRef")?;
        let release = slot(self.unknown().Release, Rule::C3, "Release")?;
        let query = slot(self.unknown().QueryInterface, Rule::C1, "QueryInterface")?;
        let mut out = ptr::null_mut();
        self.say("AddRef");
        // SAFETY: the kit has a reference.
        let mut zero = unsafe { add_ref(self.this) } == 0;
        let (iid, expected, name) = match self.shared.control.load(SeqCst) {
            control if control.is_null() => (AsyncOperationRaw::<()>::IID, self.this, "IAsyncOperation"),
            control => (AsyncControlRaw::IID, control, "IAsyncControl"),
        };
        self.say(&format!("QueryInterface for {name}"));
        // SAFETY: the kit has a reference. Both pointers are valid.
        let status = unsafe { query(self.this, &raw const iid, &raw mut out) };
        if status != NTSTATUS::SUCCESS || out != expected {
            let why = "and should answer STATUS_SUCCESS and leave the pointer that it left before";
            return Err(Finding::new(Rule::C1, format!("QueryInterface for {name} answers {status}, {why}")));
        }
        for _ in 0..2 {
            self.say("Release");
            // SAFETY: AddRef and QueryInterface have just given these references.
            zero |= unsafe { release(self.this) } == 0;
        }
        if zero {
            return Err(Finding::new(Rule::C3, "AddRef or Release answers 0 while threads have references"));
        }
        Ok(())
    }

    /// Gets the status. It never changes once it is terminal.
    pub(super) fn status(&mut self) -> Result<i32, Finding> {
        let get_status = slot(self.operation.get_status, Rule::C4, "get_status")?;
        let mut status = RawAsyncStatus(-1);
        self.say("get_status");
        // SAFETY: the kit has a reference.
        let answer = unsafe { get_status(self.this, &raw mut status) };
        let known = AsyncStatus::try_from(status);
        if answer != NTSTATUS::SUCCESS || known.is_err() {
            return Err(Finding::new(Rule::C4, format!("get_status answers {answer} and writes {status:?}")));
        }
        if self.ended != 0 && self.ended != status.0 {
            let before = RawAsyncStatus(self.ended);
            return Err(Finding::new(
                Rule::C6,
                format!("a thread has seen {before:?}, and now sees {status:?}"),
            ));
        }
        if known.is_ok_and(AsyncStatus::is_terminal) && self.shared.drops.load(SeqCst) == 0 {
            let why = "the operation has ended, and its body has not been dropped";
            return Err(Finding::new(Rule::C8, why));
        }
        self.ended = status.0;
        Ok(status.0)
    }

    /// Gets the result. It is the value or zeros, and never a part of each.
    fn result(&mut self) -> Check {
        let before = self.status()?;
        let get_result = slot(self.operation.get_result, Rule::C5, "get_result")?;
        let mut place = vec![UNTOUCHED; KIND.size()];
        self.say("get_result");
        // SAFETY: the kit has a reference. There is room for the value.
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
            let before = RawAsyncStatus(before);
            return Err(Finding::new(
                Rule::C6,
                format!("a thread has seen {before:?}, and get_result answers {answer}"),
            ));
        }
        Ok(())
    }

    /// Wakes with this thread's waker, if the body has given it one.
    fn wake(&self) {
        if let (Some(waker), Some(wake)) =
            (self.shared.waker(self.number), self.shared.table.waker_wake_by_ref)
        {
            self.say("wakes by reference");
            // SAFETY: the kit owns this waker.
            unsafe { wake(waker) };
        }
    }

    /// Gives up this thread's waker.
    fn drop_waker(&self) {
        if let (Some(waker), Some(drop_waker)) =
            (self.shared.take_waker(self.number), self.shared.table.waker_drop)
        {
            self.say("drops its waker");
            // SAFETY: the kit owns this waker, and gives it up.
            unsafe { drop_waker(waker) };
        }
    }

    /// Gives up this thread's reference.
    fn release(&self) -> Check {
        let release = slot(self.unknown().Release, Rule::C3, "Release")?;
        self.say("Release, of its own reference");
        // SAFETY: this gives up the thread's own reference.
        let zero = unsafe { release(self.this) } == 0;
        self.shared.zeros.fetch_add(zero.into(), SeqCst);
        Ok(())
    }

    fn cancel(&self) -> Check {
        let cancel = slot(self.control.as_ref().and_then(|table| table.cancel), Rule::C10, "cancel")?;
        self.say("cancel");
        // SAFETY: the program has a reference.
        let answer = unsafe { cancel(self.shared.control.load(SeqCst)) };
        if answer != NTSTATUS::SUCCESS {
            return Err(Finding::new(Rule::C10, format!("cancel answers {answer}")));
        }
        Ok(())
    }

    /// Sets a handler. The library accepts one of all that are set.
    fn set(&self) -> Check {
        let set_completed =
            slot(self.control.as_ref().and_then(|table| table.set_completed), Rule::C14, "set_completed")?;
        let context = ptr::from_ref(self.shared).cast_mut().cast();
        self.say("set_completed");
        // SAFETY: the program has a reference. The context lives until the round has ended.
        match unsafe { set_completed(self.shared.control.load(SeqCst), Some(completed), context) } {
            NTSTATUS::SUCCESS => {
                self.shared.accepted.fetch_add(1, SeqCst);
                Ok(())
            }
            NTSTATUS::INVALID_DEVICE_STATE => Ok(()),
            answer => Err(Finding::new(Rule::C14, format!("set_completed answers {answer}"))),
        }
    }

    fn work(&mut self) -> Check {
        let (does, number, times) = (self.shared.does, self.number, self.shared.times);
        for time in 0..times {
            let counts = if self.shared.meet(number) { BURST } else { 1 };
            if does.counts {
                (0..counts).try_for_each(|_| self.count())?;
            }
            if does.reads {
                self.result()?;
            }
            // Set handlers while the operation ends. The thread that lets it end has no time for
            // that.
            if does.sets && time == times / 2 && number != 0 {
                self.set()?;
            }
            if does.cancels && time == times / 2 + number {
                self.cancel()?;
            }
            // Let the operation end while the other threads use it.
            if number == 0 && time == times / 2 {
                self.shared.wait_for_the_poll();
                self.say("lets the body end");
                self.shared.open.store(true, SeqCst);
                // This is the one wake that the end needs, whatever other threads do.
                self.wake();
                self.shared.woken.store(true, SeqCst);
            }
            if does.wakes && number != 0 && !self.shared.open.load(SeqCst) {
                self.wake();
            }
            self.status()?;
        }
        self.drop_waker();
        if does.releases { self.release() } else { Ok(()) }
    }
}
