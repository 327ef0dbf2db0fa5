//! The results that a client must derive from its answers `[C17]`. This implements the contract a
//! second time, over the talk of one call.

use core::{task::Poll, time::Duration};

use ntcom::{NTSTATUS, com::E_NOINTERFACE};

use super::{
    hostile::Hostile,
    input::Slot,
    kind::ForeignKind,
    reply::{Awaited, Gift, Reply, Way},
};

/// The talk of one call, read from its beginning.
pub(crate) struct Replies<'a> {
    said: &'a [Reply],
    object: &'a Hostile,
    /// Whether no other processor changes the object.
    alone: bool,
}

const BROKEN: NTSTATUS = NTSTATUS::DRIVER_INTERNAL_ERROR;

/// Reads an answer. Success is success, a failure is the object's own status, and any other code is
/// a breach.
fn answer(code: NTSTATUS) -> Result<(), NTSTATUS> {
    if code == NTSTATUS::SUCCESS {
        return Ok(());
    }
    Err(if code.is_success() { BROKEN } else { code })
}

fn is_failure(code: NTSTATUS) -> bool {
    !code.is_success()
}

impl<'a> Replies<'a> {
    pub(crate) const fn new(said: &'a [Reply], object: &'a Hostile, alone: bool) -> Self {
        Self { said, object, alone }
    }

    /// The next answer, which must be from this slot. Without such a slot it is a breach. If the
    /// slot exists, the client must have asked it.
    fn next<T>(&mut self, slot: Slot, is: impl FnOnce(Reply) -> Option<T>) -> Result<T, NTSTATUS> {
        if let Some((first, rest)) = self.said.split_first()
            && let Some(said) = is(*first)
        {
            self.said = rest;
            return Ok(said);
        }
        if self.alone && self.object.has(slot) {
            let next = self.said.first();
            ntsim::fail("talk", format!("the client must call {slot:?} here, but its next call is {next:?}"));
        }
        Err(BROKEN)
    }

    /// Whether there are no more answers.
    pub(crate) const fn is_over(&self) -> bool {
        self.said.is_empty()
    }

    /// Counts the references in the answers that are left as lost, but for one if the client has
    /// it.
    ///
    /// Such answers are left where the client may have seen the work of another processor earlier
    /// or later than this reader assumes.
    pub(crate) fn lose_the_rest(&mut self, client_has_one: bool) {
        let gifts =
            self.said.iter().filter(|said| matches!(said, Reply::Result(_, _, gift) if *gift != Gift::None));
        for _ in usize::from(client_has_one)..gifts.count() {
            self.object.thing.lose();
        }
        self.said = &[];
    }

    pub(crate) fn status(&mut self) -> Result<i32, NTSTATUS> {
        let (code, status) = self.next(Slot::Status, |said| match said {
            Reply::Status(code, status) => Some((code, status)),
            _ => None,
        })?;
        answer(code)?;
        status.filter(|status| (0..=3).contains(status)).ok_or(BROKEN)
    }

    pub(crate) fn value(&mut self) -> Result<u128, NTSTATUS> {
        let status = self.status()?;
        let (code, value, gift) = self.next(Slot::Result, |said| match said {
            Reply::Result(code, value, gift) => Some((code, value, gift)),
            _ => None,
        })?;
        let is_interface = self.object.kind == ForeignKind::Interface;
        let read = match (status, code) {
            (0 | 1, NTSTATUS::SUCCESS) if is_interface && gift != Gift::Whole => Err(BROKEN),
            // It may have ended between the two questions.
            (0 | 1, NTSTATUS::SUCCESS) => Ok(value.unwrap_or(0)),
            (0, NTSTATUS::PENDING) => Err(NTSTATUS::PENDING),
            (0 | 2 | 3, code) if is_failure(code) => Err(code),
            _ => Err(BROKEN),
        };
        if read.is_err() && gift != Gift::None {
            // The client does not touch an interface that comes with a breach.
            self.object.thing.lose();
        }
        read
    }

    /// Reads an answer of QueryInterface. `can_hold` says whether the client can hold the pointer.
    fn query(&mut self, can_hold: bool) -> Result<(), NTSTATUS> {
        let (code, gave) = self.next(Slot::Query, |said| match said {
            Reply::Query(code, gave) => Some((code, gave)),
            _ => None,
        })?;
        if code == E_NOINTERFACE {
            return Err(NTSTATUS::NOINTERFACE);
        }
        answer(code)?;
        if gave && can_hold { Ok(()) } else { Err(BROKEN) }
    }

    pub(crate) fn unknown(&mut self) -> Result<(), NTSTATUS> {
        self.query(true)
    }

    pub(crate) fn control(&mut self) -> Result<(), NTSTATUS> {
        // If the object may have changed since, the later answers tell. Without a control the
        // client has nothing to ask.
        self.query(!self.alone || self.object.has_control())
    }

    pub(crate) fn cancel(&mut self) -> Result<(), NTSTATUS> {
        self.control()?;
        let code = self.next(Slot::Cancel, |said| match said {
            Reply::Cancel(code) => Some(code),
            _ => None,
        })?;
        answer(code)
    }

    pub(crate) fn error(&mut self) -> Result<NTSTATUS, NTSTATUS> {
        self.control()?;
        let before = self.status()?;
        let (code, error) = self.next(Slot::Error, |said| match said {
            Reply::Error(code, error) => Some((code, error)),
            _ => None,
        })?;
        answer(code)?;
        let error = error.ok_or(BROKEN)?;
        if error.is_success() && error != NTSTATUS::SUCCESS && error != NTSTATUS::PENDING {
            return Err(BROKEN);
        }
        // It may have ended between the two questions.
        let status = if before == 0 && error != NTSTATUS::PENDING { self.status()? } else { before };
        let agrees = match status {
            0 => error == NTSTATUS::PENDING,
            1 => error == NTSTATUS::SUCCESS,
            _ => is_failure(error),
        };
        if agrees { Ok(error) } else { Err(BROKEN) }
    }

    pub(crate) fn wait(&mut self, limit: Option<Duration>) -> Result<(), NTSTATUS> {
        self.control()?;
        let (code, asked) = self.next(Slot::Wait, |said| match said {
            Reply::Wait(code, asked) => Some((code, asked)),
            _ => None,
        })?;
        // A negative timeout is relative, in units of 100 ns.
        let expected = limit.map(|limit| -(limit.as_nanos() as i64 / 100));
        if asked != expected {
            ntsim::fail(
                "talk",
                format!("the client calls wait with the timeout {asked:?}, expected {expected:?}"),
            );
        }
        if code == NTSTATUS::TIMEOUT {
            return Err(code);
        }
        answer(code)?;
        if self.status()? == 0 { Err(BROKEN) } else { Ok(()) }
    }

    pub(crate) fn size(&mut self) -> Result<u32, NTSTATUS> {
        self.control()?;
        let (code, size) = self.next(Slot::Size, |said| match said {
            Reply::Size(code, size) => Some((code, size)),
            _ => None,
        })?;
        answer(code)?;
        Ok(size.unwrap_or(0))
    }

    /// Reads a query for an operation with values of that size. The operation's own size must be
    /// the same.
    pub(crate) fn again(&mut self, kind: ForeignKind) -> Result<i32, NTSTATUS> {
        self.query(true)?;
        if usize::try_from(self.size()?) != Ok(kind.size()) {
            return Err(NTSTATUS::NOINTERFACE);
        }
        self.status()
    }

    /// Reads a query for IUnknown of the interface that the operation has yielded.
    pub(crate) fn unknown_of_thing(&mut self) -> Result<(), NTSTATUS> {
        if self.is_over() && !(self.alone && self.object.thing.can_be_asked()) {
            return Err(BROKEN);
        }
        self.query(self.object.thing.is_whole())
    }

    /// Reads a poll of a future. `called` says that its handler was called by the end of the poll.
    pub(crate) fn poll(
        &mut self,
        awaited: &mut Awaited,
        polls: bool,
        called: bool,
    ) -> Poll<Result<u128, NTSTATUS>> {
        self.poll_once(awaited, polls, called).unwrap_or_else(|failure| Poll::Ready(Err(failure)))
    }

    fn poll_once(
        &mut self,
        awaited: &mut Awaited,
        polls: bool,
        called: bool,
    ) -> Result<Poll<Result<u128, NTSTATUS>>, NTSTATUS> {
        let mut told = false;
        loop {
            if self.status()? != 0 {
                awaited.over = true;
                let value = self.value();
                // The operation had ended, so it has a value or a reason.
                return Ok(Poll::Ready(if value == Err(NTSTATUS::PENDING) { Err(BROKEN) } else { value }));
            }
            if told {
                return Err(BROKEN);
            }
            match awaited.way {
                Way::Unknown => awaited.way = self.way()?,
                Way::Told if called && (self.alone || !self.is_over()) => told = true,
                // Without a timer there are no more answers to read here.
                Way::Told if !polls => return Ok(Poll::Pending),
                Way::Told | Way::Looks if self.is_over() => return Ok(Poll::Pending),
                Way::Told | Way::Looks => {}
            }
        }
    }

    fn way(&mut self) -> Result<Way, NTSTATUS> {
        match self.control() {
            Ok(()) => {}
            Err(BROKEN) => return Err(BROKEN),
            Err(_) => return Ok(Way::Looks),
        }
        let code = self.next(Slot::SetCompleted, |said| match said {
            Reply::SetCompleted(code) => Some(code),
            _ => None,
        })?;
        match answer(code) {
            Ok(()) => Ok(Way::Told),
            Err(BROKEN) => Err(BROKEN),
            Err(_) => Ok(Way::Looks),
        }
    }
}
