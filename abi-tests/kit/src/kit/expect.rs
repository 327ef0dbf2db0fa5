//! What cases expect of an operation.

use ntcom::NTSTATUS;
use ntcom_fuzz::{
    call::{Answer, OutValue},
    ops::Out,
    value::Bytes,
};

use super::Kit;
use crate::{
    finding::{Check, Finding},
    rule::Rule,
};

impl Kit<'_> {
    /// The status that get_status writes.
    ///
    /// # Errors
    /// A breach of C4.
    pub fn status(&self, operation: usize) -> Result<u32, Finding> {
        let answer = self.get_status(operation, Out::Given)?;
        match answer {
            Answer { status: 0, out: OutValue::Number(number @ 0..=3) } => Ok(number),
            Answer { status, out } => Err(Finding::new(
                Rule::C4,
                format!("get_status answers {} and writes {out:?}", NTSTATUS::from_u32(status)),
            )),
        }
    }

    /// The operation has this status.
    ///
    /// # Errors
    /// It has another one: a breach of this rule.
    pub fn expect_status(&self, rule: Rule, operation: usize, expected: u32) -> Check {
        let found = self.status(operation)?;
        if found == expected {
            return Ok(());
        }
        let name = |status| ["Started", "Completed", "Canceled", "Error"][status as usize % 4];
        Err(Finding::new(
            rule,
            format!("operation {operation} is {}, and should be {}", name(found), name(expected)),
        ))
    }

    /// The operation ended like this, by all that it answers.
    ///
    /// # Errors
    /// It did not: a breach of this rule.
    pub fn expect_end(&self, rule: Rule, operation: usize, status: u32, stored: NTSTATUS) -> Check {
        self.expect_status(rule, operation, status)?;
        let result = self.get_result(operation, Out::Given)?;
        let bytes = if stored == NTSTATUS::SUCCESS { Bytes::Value } else { Bytes::Zeroed };
        let wrong = |what: &str| Finding::new(rule, format!("operation {operation}: {what}"));
        if result.status != stored.to_u32() {
            let answered = NTSTATUS::from_u32(result.status);
            return Err(wrong(&format!("get_result answers {answered}, and should answer {stored}")));
        }
        if result.out != OutValue::Bytes(bytes) {
            return Err(Finding::new(
                Rule::C5,
                format!(
                    "operation {operation}: get_result leaves {:?}, and should leave {bytes:?}",
                    result.out
                ),
            ));
        }
        Ok(())
    }
}
