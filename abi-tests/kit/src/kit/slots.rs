//! The slots of an operation, for cases.

use ntcom::{GUID, NTSTATUS};
use ntcom_fuzz_model::{
    answer::Answer,
    ops::{Handler, Iid, Out, Via},
};

use super::Kit;
use crate::{
    check, client,
    finding::{Check, Finding},
    replacing,
};

impl Kit<'_> {
    /// `QueryInterface`.
    ///
    /// # Errors
    /// A slot is null, or the bodies have seen a breach.
    pub fn query(&self, operation: usize, via: Via, iid: Iid, out: Out) -> Result<Answer, Finding> {
        client::query(self.0, operation, via, iid, out).and_then(|answer| self.then(answer))
    }

    /// `QueryInterface` for any IID, with its name.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn query_for(
        &self,
        operation: usize,
        via: Via,
        iid: (Option<GUID>, &str),
        out: Out,
    ) -> Result<Answer, Finding> {
        client::query_for(self.0, operation, via, iid, out).and_then(|answer| self.then(answer))
    }

    /// `AddRef`. Returns whether it answers 0.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn add_ref(&self, operation: usize, via: Via) -> Result<bool, Finding> {
        client::add_ref(self.0, operation, via).and_then(|answer| self.then(answer.status != 0))
    }

    /// `Release`. Returns whether it answers 0.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn release(&self, operation: usize, via: Via) -> Result<bool, Finding> {
        client::release(self.0, operation, via).and_then(|answer| self.then(answer.status != 0))
    }

    /// `get_status`.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn get_status(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_status(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `get_result`.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn get_result(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_result(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `cancel`.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn cancel(&self, operation: usize) -> Check {
        let answer = client::cancel(self.0, operation).and_then(|answer| self.then(answer))?;
        check!(self, C10, answer.status == 0, "cancel answers {}", NTSTATUS::from_u32(answer.status));
        Ok(())
    }

    /// `get_error`.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn get_error(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_error(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `get_result_size`.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn get_result_size(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_result_size(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `wait`, with a timeout in units of 100 ns. `None` waits for ever.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn wait(&self, operation: usize, timeout: Option<i64>) -> Result<NTSTATUS, Finding> {
        let answer = client::wait(self.0, operation, timeout).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }

    /// `set_completed`.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn set_completed(&self, operation: usize, handler: Handler) -> Result<NTSTATUS, Finding> {
        let answer =
            client::set_completed(self.0, operation, handler).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }

    /// `set_completed`, with a handler that gives up the caller's reference and then makes another
    /// operation of the kind. The new operation has a handler of its own, and the number after the
    /// existing ones.
    ///
    /// # Errors
    /// The errors of [`Self::query`].
    pub fn set_replacing(&self, operation: usize) -> Result<NTSTATUS, Finding> {
        let answer = replacing::set_replacing(self.0, operation).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }
}
