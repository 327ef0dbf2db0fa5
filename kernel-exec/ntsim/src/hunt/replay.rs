//! The text of the variable `NTSIM_REPLAY`, which names one run of one hunt.
//!
//! It has words, separated by blanks, and then those of a recording. `test=NAME` is the test's
//! thread and `hunt=2` the third hunt in it; without them the text is for every hunt. `case=7` is
//! the number of the run, `low` and `fail=3` say which allocations fail, and `seed=5` has that
//! random schedule run twice, and compares.

extern crate alloc;

use alloc::string::{String, ToString};
use core::cell::Cell;
use core::fmt::{self, Display, Formatter};

use super::runner::{Case, Memory};
use crate::engine::recording::Recording;

/// The variable's name.
pub(super) const VARIABLE: &str = "NTSIM_REPLAY";

/// The place of a hunt: its test, and how many hunts came before it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) test: Option<String>,
    pub(super) hunt: u32,
}

impl Place {
    /// The place of the next hunt in this thread.
    pub(super) fn next() -> Self {
        std::thread_local! {
            static HUNTS: Cell<u32> = const { Cell::new(0) };
        }
        let test = std::thread::current().name().map(String::from);
        Self { test, hunt: HUNTS.replace(HUNTS.get() + 1) }
    }
}

/// A run to make again.
#[derive(Debug, Clone)]
pub(super) struct Replay {
    /// `None` is every hunt.
    pub(super) place: Option<Place>,
    pub(super) case: Case,
    pub(super) how: How,
}

#[derive(Debug, Clone)]
pub(super) enum How {
    Recording(Recording),
    /// This seed is run twice.
    Twice(u64),
}

impl Replay {
    /// The value of the variable, if it is for this hunt.
    pub(super) fn of(place: &Place) -> Option<Result<Self, String>> {
        let text = std::env::var(VARIABLE).ok()?;
        match Self::parse(&text) {
            Ok(replay) if replay.place.as_ref().is_some_and(|named| named != place) => None,
            other => Some(other),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (mut place, mut case, mut twice) = (Place { test: None, hunt: 0 }, Case::default(), None);
        let mut words = text.split_whitespace().peekable();
        while let Some(word) = words.next_if(|word| word.contains('=') || *word == "low") {
            let number = |digits: &str| {
                let wrong = |_| alloc::format!("{digits:?} in {word:?} is not a number");
                digits.parse::<u64>().map_err(wrong)
            };
            match word.split_once('=') {
                None => case.memory = Memory::Low,
                Some(("test", name)) => place.test = Some(name.into()),
                Some(("hunt", digits)) => place.hunt = number(digits)? as u32,
                Some(("case", digits)) => case.number = number(digits)?,
                Some(("fail", digits)) => case.memory = Memory::Without(number(digits)? as u32),
                Some(("seed", digits)) => twice = Some(number(digits)?),
                Some(_) => return Err(alloc::format!("{word:?} is not test=, hunt=, case=, fail= or seed=")),
            }
        }
        // A recording's first line is three words.
        let mut recording = String::new();
        for (number, word) in words.enumerate() {
            recording.push_str(word);
            recording.push(if number == 2 { '\n' } else { ' ' });
        }
        let how = match twice {
            Some(seed) => How::Twice(seed),
            None => How::Recording(Recording::parse(&recording).map_err(|error| error.to_string())?),
        };
        let is_named = place.test.is_some() || place.hunt != 0;
        Ok(Self { place: is_named.then_some(place), case, how })
    }
}

impl Display for Replay {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(Place { test, hunt }) = &self.place {
            test.iter().try_for_each(|test| write!(f, "test={test} "))?;
            if *hunt != 0 {
                write!(f, "hunt={hunt} ")?;
            }
        }
        if self.case.number != 0 {
            write!(f, "case={} ", self.case.number)?;
        }
        match self.case.memory {
            Memory::AsConfigured => {}
            Memory::Low => write!(f, "low ")?,
            Memory::Without(allocation) => write!(f, "fail={allocation} ")?,
        }
        match &self.how {
            How::Twice(seed) => write!(f, "seed={seed}"),
            How::Recording(recording) => {
                write!(f, "{}", recording.to_text().trim_end().replace('\n', " "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Replay;

    #[test]
    fn a_text_reads_back() {
        let recording = "ntsim recording 3 r1:2/ab c2:1 e/7";
        for text in [
            recording.to_string(),
            format!("test=a::b case=7 fail=3 {recording}"),
            format!("test=a hunt=2 low {recording}"),
            "test=a case=5 seed=5".to_string(),
        ] {
            assert_eq!(Replay::parse(&text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_error_says_where() {
        assert!(Replay::parse("case=x").unwrap_err().contains("case=x"));
        assert!(Replay::parse("cases=1").unwrap_err().contains("cases=1"));
        assert!(Replay::parse("hello").unwrap_err().contains("the first line"));
    }
}
