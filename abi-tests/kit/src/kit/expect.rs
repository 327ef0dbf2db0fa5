//! Expectations of cases.

use ntcom::NTSTATUS;
use ntcom_fuzz_model::{
    answer::{Answer, OutValue},
    ops::Out,
    value::Bytes,
};

use super::{Kit, UNKNOWN};
use crate::{
    check,
    finding::{Check, Finding},
    rule::Rule,
};

impl Kit<'_> {
    /// The status that get_status writes. If it writes none, the answer is [`UNKNOWN`] and a breach
    /// of C4.
    ///
    /// # Errors
    /// A slot is null.
    pub fn status(&self, operation: usize) -> Result<u32, Finding> {
        let Answer { status, out } = self.get_status(operation, Out::Given)?;
        let number = match out {
            OutValue::Number(number @ 0..=3) => number,
            _ => UNKNOWN,
        };
        check!(
            self,
            C4,
            status == 0 && number != UNKNOWN,
            "get_status answers {} and writes {out:?}, and should answer STATUS_SUCCESS and write 0, 1, 2 or 3",
            NTSTATUS::from_u32(status)
        );
        Ok(number)
    }

    /// Checks that the operation has this status. If not, records a breach of this rule.
    ///
    /// # Errors
    /// A slot is null.
    pub fn expect_status(&self, rule: Rule, operation: usize, expected: u32) -> Check {
        let found = self.status(operation)?;
        if found != expected && found != UNKNOWN {
            let name = |status| ["Started", "Completed", "Canceled", "Error"][status as usize % 4];
            let why = format!("operation {operation} is {}, and should be {}", name(found), name(expected));
            self.0.breach(rule, why);
        }
        Ok(())
    }

    /// Checks by all slots that the operation has this end. If not, records a breach of this rule.
    ///
    /// # Errors
    /// A slot is null.
    pub fn expect_end(&self, rule: Rule, operation: usize, status: u32, stored: NTSTATUS) -> Check {
        let found = self.status(operation)?;
        if found != status {
            return self.expect_status(rule, operation, status);
        }
        let result = self.get_result(operation, Out::Given)?;
        let bytes = if stored == NTSTATUS::SUCCESS { Bytes::Value } else { Bytes::Zeroed };
        let answered = NTSTATUS::from_u32(result.status);
        if answered != stored {
            let why =
                format!("operation {operation}: get_result answers {answered}, and should answer {stored}");
            self.0.breach(rule, why);
        } else {
            check!(
                self,
                C5,
                result.out == OutValue::Bytes(bytes),
                "operation {operation}: get_result leaves {:?}, and should leave {bytes:?}",
                result.out
            );
        }
        Ok(())
    }
}
