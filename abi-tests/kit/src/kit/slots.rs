//! The slots of an operation, as cases call them.

use ntcom::{GUID, NTSTATUS};
use ntcom_fuzz::{
    call::Answer,
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
    /// A slot is null, or what the bodies have seen.
    pub fn query(&self, operation: usize, via: Via, iid: Iid, out: Out) -> Result<Answer, Finding> {
        client::query(self.0, operation, via, iid, out).and_then(|answer| self.then(answer))
    }

    /// `QueryInterface` for any IID, with its name.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn query_for(
        &self,
        operation: usize,
        via: Via,
        iid: (Option<GUID>, &str),
        out: Out,
    ) -> Result<Answer, Finding> {
        client::query_for(self.0, operation, via, iid, out).and_then(|answer| self.then(answer))
    }

    /// `AddRef`. Does it answer 0?
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn add_ref(&self, operation: usize, via: Via) -> Result<bool, Finding> {
        client::add_ref(self.0, operation, via).and_then(|answer| self.then(answer.status != 0))
    }

    /// `Release`. Does it answer 0?
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn release(&self, operation: usize, via: Via) -> Result<bool, Finding> {
        client::release(self.0, operation, via).and_then(|answer| self.then(answer.status != 0))
    }

    /// `get_status`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_status(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_status(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `get_result`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_result(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_result(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `cancel`.
    ///
    /// # Errors
    /// As for [`Self::query`], or it does not answer `STATUS_SUCCESS`.
    pub fn cancel(&self, operation: usize) -> Check {
        let answer = client::cancel(self.0, operation).and_then(|answer| self.then(answer))?;
        check!(self, C10, answer.status == 0, "cancel answers {}", NTSTATUS::from_u32(answer.status));
        Ok(())
    }

    /// `get_error`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_error(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_error(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `get_result_size`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn get_result_size(&self, operation: usize, out: Out) -> Result<Answer, Finding> {
        client::get_result_size(self.0, operation, out).and_then(|answer| self.then(answer))
    }

    /// `wait`, with a timeout in units of 100 ns; None: for ever.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn wait(&self, operation: usize, timeout: Option<i64>) -> Result<NTSTATUS, Finding> {
        let answer = client::wait(self.0, operation, timeout).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }

    /// `set_completed`.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn set_completed(&self, operation: usize, handler: Handler) -> Result<NTSTATUS, Finding> {
        let answer =
            client::set_completed(self.0, operation, handler).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }

    /// `set_completed`, with a handler that gives up the caller's reference, and then makes another
    /// operation of the kind with a handler of its own: the operation after all that there are.
    ///
    /// # Errors
    /// As for [`Self::query`].
    pub fn set_replacing(&self, operation: usize) -> Result<NTSTATUS, Finding> {
        let answer = replacing::set_replacing(self.0, operation).and_then(|answer| self.then(answer))?;
        Ok(NTSTATUS::from_u32(answer.status))
    }
}
