//! The decisions of a run, as data and as text: what replays it.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::{
    fmt::{self, Display, Formatter, Write},
    str::FromStr,
};

/// A decision that a schedule made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Of several runnable processors this one runs, for so many preemption points, before the schedule is asked again.
    Run {
        /// The processor.
        processor: u8,
        /// Its preemption points.
        points: u32,
    },
    /// Of so many possibilities, numbered from 0, this one was taken.
    Choice {
        /// How many there were.
        options: u8,
        /// Which one it was.
        taken: u8,
    },
}

/// All decisions of a simulation, in order.
///
/// As text it is a header line and words separated by blanks or line ends: `r1:5` runs processor 1 for 5 points, `c2:1` takes
/// possibility 1 of 2.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Recording {
    decisions: Vec<Decision>,
}

/// Why a text is no recording, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseRecordingError {
    /// The line, from 1.
    pub line: usize,
    /// The word in the line, from 1.
    pub word: usize,
    /// What is wrong there.
    pub message: String,
}

const HEADER: &str = "ntsim recording 1";
const WORDS_A_LINE: usize = 16;

/// How many decisions; which they are says the text.
impl core::fmt::Debug for Recording {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Recording({} decisions)", self.decisions.len())
    }
}

impl Recording {
    /// A recording of these decisions.
    pub fn new(decisions: Vec<Decision>) -> Self {
        Self { decisions }
    }

    /// The decisions.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// The text that [`Recording::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut text = String::from(HEADER);
        for (number, decision) in self.decisions.iter().enumerate() {
            text.push(if number % WORDS_A_LINE == 0 { '\n' } else { ' ' });
            // Writing to a string does not fail.
            let _ = match decision {
                Decision::Run { processor, points } => write!(text, "r{processor}:{points}"),
                Decision::Choice { options, taken } => write!(text, "c{options}:{taken}"),
            };
        }
        text.push('\n');
        text
    }

    /// Reads what [`Recording::to_text`] writes.
    ///
    /// # Errors
    /// The first line or word that is not as it should be.
    pub fn parse(text: &str) -> Result<Self, ParseRecordingError> {
        let mut lines = text.lines().enumerate();
        match lines.next() {
            Some((_, header)) if header.trim() == HEADER => {}
            _ => return Err(wrong(1, 1, alloc::format!("the first line is not {HEADER:?}"))),
        }
        let mut decisions = Vec::new();
        for (line, content) in lines {
            for (word, token) in content.split_whitespace().enumerate() {
                let decision = decision(token).map_err(|message| wrong(line + 1, word + 1, message))?;
                decisions.push(decision);
            }
        }
        Ok(Self { decisions })
    }
}

fn wrong(line: usize, word: usize, message: String) -> ParseRecordingError {
    ParseRecordingError { line, word, message }
}

fn decision(token: &str) -> Result<Decision, String> {
    let unknown = || alloc::format!("{token:?} is neither r<processor>:<points> nor c<options>:<taken>");
    let (left, right) = token.split_once(':').ok_or_else(unknown)?;
    let number = |text: &str, highest: u32| match text.parse::<u32>() {
        Ok(number) if number <= highest => Ok(number),
        _ => Err(alloc::format!("{text:?} in {token:?} is not a number from 0 to {highest}")),
    };
    if let Some(processor) = left.strip_prefix('r') {
        Ok(Decision::Run { processor: number(processor, 63)? as u8, points: number(right, u32::MAX)? })
    } else if let Some(options) = left.strip_prefix('c') {
        let options = number(options, 255)? as u8;
        let taken = number(right, 255)? as u8;
        if taken >= options {
            return Err(alloc::format!("{token:?} takes one that is not there"));
        }
        Ok(Decision::Choice { options, taken })
    } else {
        Err(unknown())
    }
}

impl Display for Recording {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl FromStr for Recording {
    type Err = ParseRecordingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Display for ParseRecordingError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "recording, line {}, word {}: {}", self.line, self.word, self.message)
    }
}

impl core::error::Error for ParseRecordingError {}

#[cfg(test)]
mod tests {
    use super::{Decision, Recording};

    #[test]
    fn text_reads_back() {
        let decisions = (0..40)
            .map(|n| match n % 3 {
                0 => Decision::Choice { options: 2, taken: 1 },
                _ => Decision::Run { processor: n, points: u32::from(n) * 7 },
            })
            .collect();
        let recording = Recording::new(decisions);
        assert_eq!(Recording::parse(&recording.to_text()), Ok(recording));
    }

    #[test]
    fn an_error_says_where() {
        let error = Recording::parse("ntsim recording 1\nr0:1 c2:0\nr1:2 c2:2\n").unwrap_err();
        assert_eq!((error.line, error.word), (3, 2));
        let error = Recording::parse("ntsim recording 1\nr0:1 x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"recording, line 2, word 2: "x" is neither r<processor>:<points> nor c<options>:<taken>"#
        );
        assert_eq!(Recording::parse("hello").unwrap_err().line, 1);
        assert!(Recording::parse("ntsim recording 1\nr64:0").is_err());
    }
}
