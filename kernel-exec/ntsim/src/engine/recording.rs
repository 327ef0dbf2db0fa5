//! The decisions of a run, as data and as text, from which the run can be replayed.

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
    /// This one of several runnable processors runs for so many preemption points, before the
    /// schedule is asked again.
    Run {
        /// The processor.
        processor: u8,
        /// Its preemption points.
        points: u32,
    },
    /// A processor runs, as in [`Decision::Run`]. The decision was made behind a call or at the
    /// beginning of a call-out, between the call's effect and the driver's code that follows. Other
    /// decisions are made before calls and returns, and where a processor cannot go on.
    After {
        /// The processor.
        processor: u8,
        /// Its preemption points.
        points: u32,
    },
    /// A processor runs, as in [`Decision::After`]. The decision was made behind the call that made
    /// another processor runnable where only one was.
    Woken {
        /// The processor.
        processor: u8,
        /// Its preemption points.
        points: u32,
    },
    /// One of several possibilities, which are numbered from 0, was taken.
    Choice {
        /// The number of possibilities.
        options: u8,
        /// The possibility that was taken.
        taken: u8,
    },
}

impl Decision {
    /// Adds the next decision, for the same processor, if the sum of the points fits.
    pub(super) fn join(&mut self, next: usize, more: u32) -> bool {
        let (Self::Run { processor, points }
        | Self::After { processor, points }
        | Self::Woken { processor, points }) = self
        else {
            return false;
        };
        let together = points.checked_add(more).and_then(|sum| sum.checked_add(1));
        match together {
            Some(together) if usize::from(*processor) == next => *points = together,
            _ => return false,
        }
        true
    }
}

/// All decisions of a simulation, in order, and the places where its runs ended. Each has a hash of
/// the program's actions before it.
///
/// The text has a header line, and words separated by blanks or line ends. `r1:5` runs processor 1
/// for 5 points; `a1:5` and `w1:5` do so behind a call ([`Decision::After`], [`Decision::Woken`]).
/// `c2:1` takes possibility 1 of 2. Each word is followed by `/` and the hash in hexadecimal
/// digits. `e/` and a hash is the end of a run. The hashes of
/// version 2 do not say which atomics were used. Texts of version 1 have neither hashes nor ends.
///
/// Two recordings are equal if their decisions are, whatever the programs did between them.
#[derive(Default, Clone)]
pub struct Recording {
    decisions: Vec<Decision>,
    /// A hash for each decision. 0 means unknown.
    hashes: Vec<u32>,
    ends: Vec<End>,
    /// The hashes do not say which atomics were used.
    of_version_2: bool,
}

/// The end of a run that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// How many decisions had been made.
    pub(super) decisions: usize,
    pub(super) hash: u32,
}

/// The reason why a text is not a recording, and the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseRecordingError {
    /// The line, from 1.
    pub line: usize,
    /// The word in the line, from 1.
    pub word: usize,
    /// The error at that place.
    pub message: String,
}

const HEADER: &str = "ntsim recording 3";
const SECOND_HEADER: &str = "ntsim recording 2";
const FIRST_HEADER: &str = "ntsim recording 1";
const WORDS_A_LINE: usize = 16;

/// Writes the number of decisions; the text form lists them.
impl core::fmt::Debug for Recording {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Recording({} decisions)", self.decisions.len())
    }
}

impl PartialEq for Recording {
    fn eq(&self, other: &Self) -> bool {
        self.decisions == other.decisions
    }
}

impl Eq for Recording {}

impl Recording {
    /// A recording of these decisions. It knows neither the program's actions before them nor when
    /// its runs ended.
    pub fn new(decisions: Vec<Decision>) -> Self {
        let hashes = alloc::vec![0; decisions.len()];
        Self { decisions, hashes, ends: Vec::new(), of_version_2: false }
    }

    pub(super) fn push(&mut self, decision: Decision, hash: u32) {
        self.decisions.push(decision);
        self.hashes.push(hash);
    }

    /// Records that a run has ended well.
    pub(crate) fn end_run(&mut self, hash: u32) {
        self.ends.push(End { decisions: self.decisions.len(), hash });
    }

    pub(crate) fn clear(&mut self) {
        self.decisions.clear();
        self.hashes.clear();
        self.ends.clear();
        self.of_version_2 = false;
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Decision> {
        self.decisions.last_mut()
    }

    /// The hash of the program's actions before this decision, if it is known.
    pub(super) fn hash(&self, decision: usize) -> Option<u32> {
        self.hashes.get(decision).copied().filter(|hash| *hash != 0)
    }

    /// Whether the hashes do not say which atomics were used.
    pub(super) fn is_of_version_2(&self) -> bool {
        self.of_version_2
    }

    pub(super) fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The decisions.
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// The text that [`Recording::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut text = String::from(if self.of_version_2 { SECOND_HEADER } else { HEADER });
        let mut ends = self.ends.iter().peekable();
        let mut words = 0;
        let mut word = |text: &mut String, word: fmt::Arguments<'_>, hash: u32| {
            text.push(if words % WORDS_A_LINE == 0 { '\n' } else { ' ' });
            words += 1;
            // Writing to a string does not fail.
            let _ = text.write_fmt(word);
            if hash != 0 {
                let _ = write!(text, "/{hash:x}");
            }
        };
        for number in 0..=self.decisions.len() {
            while let Some(end) = ends.next_if(|end| end.decisions == number) {
                word(&mut text, format_args!("e"), end.hash);
            }
            let hash = self.hash(number).unwrap_or(0);
            match self.decisions.get(number) {
                Some(Decision::Run { processor, points }) => {
                    word(&mut text, format_args!("r{processor}:{points}"), hash);
                }
                Some(Decision::After { processor, points }) => {
                    word(&mut text, format_args!("a{processor}:{points}"), hash);
                }
                Some(Decision::Woken { processor, points }) => {
                    word(&mut text, format_args!("w{processor}:{points}"), hash);
                }
                Some(Decision::Choice { options, taken }) => {
                    word(&mut text, format_args!("c{options}:{taken}"), hash);
                }
                None => {}
            }
        }
        text.push('\n');
        text
    }

    /// Reads what [`Recording::to_text`] writes, and texts of versions 1 and 2.
    ///
    /// # Errors
    /// The first line or word that is not as it should be.
    pub fn parse(text: &str) -> Result<Self, ParseRecordingError> {
        let mut lines = text.lines().enumerate();
        let of_version_2 = match lines.next().map(|(_, header)| header.trim()) {
            Some(HEADER | FIRST_HEADER) => false,
            Some(SECOND_HEADER) => true,
            _ => return Err(wrong(1, 1, alloc::format!("the first line is not {HEADER:?}"))),
        };
        let mut recording = Self { of_version_2, ..Self::default() };
        for (line, content) in lines {
            for (word, token) in content.split_whitespace().enumerate() {
                recording.add(token).map_err(|message| wrong(line + 1, word + 1, message))?;
            }
        }
        Ok(recording)
    }

    fn add(&mut self, token: &str) -> Result<(), String> {
        let (word, hash) = match token.split_once('/') {
            Some((word, digits)) => match u32::from_str_radix(digits, 16) {
                Ok(hash) => (word, hash),
                Err(_) => return Err(alloc::format!("{digits:?} in {token:?} is not a hash of 32 bits")),
            },
            None => (token, 0),
        };
        if word == "e" {
            self.end_run(hash);
        } else {
            self.push(decision(word)?, hash);
        }
        Ok(())
    }
}

fn wrong(line: usize, word: usize, message: String) -> ParseRecordingError {
    ParseRecordingError { line, word, message }
}

fn decision(token: &str) -> Result<Decision, String> {
    let unknown = || {
        alloc::format!(
            "{token:?} is not r<processor>:<points>, the same with a or w, c<options>:<taken>, or e"
        )
    };
    let (left, right) = token.split_once(':').ok_or_else(unknown)?;
    let number = |text: &str, highest: u32| match text.parse::<u32>() {
        Ok(number) if number <= highest => Ok(number),
        _ => Err(alloc::format!("{text:?} in {token:?} is not a number from 0 to {highest}")),
    };
    if let Some(processor) = left.strip_prefix('r') {
        Ok(Decision::Run { processor: number(processor, 63)? as u8, points: number(right, u32::MAX)? })
    } else if let Some(processor) = left.strip_prefix('a') {
        Ok(Decision::After { processor: number(processor, 63)? as u8, points: number(right, u32::MAX)? })
    } else if let Some(processor) = left.strip_prefix('w') {
        Ok(Decision::Woken { processor: number(processor, 63)? as u8, points: number(right, u32::MAX)? })
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
                1 if n % 2 == 0 => Decision::After { processor: n, points: 3 },
                1 => Decision::Woken { processor: n, points: 3 },
                _ => Decision::Run { processor: n, points: u32::from(n) * 7 },
            })
            .collect();
        let mut recording = Recording::new(decisions);
        assert_eq!(Recording::parse(&recording.to_text()), Ok(recording.clone()));
        recording.end_run(7);
        recording.push(Decision::Run { processor: 1, points: 2 }, 0xABCD_EF01);
        recording.end_run(8);
        recording.end_run(9);
        assert!(recording.to_text().ends_with(" e/7 r1:2/abcdef01 e/8 e/9\n"), "{recording}");
        let parsed = Recording::parse(&recording.to_text()).unwrap();
        assert_eq!((&parsed.ends, &parsed.hashes), (&recording.ends, &recording.hashes));
        assert_eq!(parsed, recording);
    }

    #[test]
    fn texts_of_version_1_are_read() {
        let recording = Recording::new(vec![Decision::Choice { options: 2, taken: 0 }]);
        assert_eq!(Recording::parse("ntsim recording 1\nc2:0\n"), Ok(recording));
    }

    #[test]
    fn texts_of_version_2_stay_so() {
        let text = "ntsim recording 2\nc2:0/7 e/9\n";
        assert_eq!(Recording::parse(text).unwrap().to_text(), text);
    }

    #[test]
    fn an_error_says_where() {
        let error = Recording::parse("ntsim recording 1\nr0:1 c2:0\nr1:2 c2:2\n").unwrap_err();
        assert_eq!((error.line, error.word), (3, 2));
        let error = Recording::parse("ntsim recording 1\nr0:1 x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"recording, line 2, word 2: "x" is not r<processor>:<points>, the same with a or w, c<options>:<taken>, or e"#
        );
        assert_eq!(Recording::parse("hello").unwrap_err().line, 1);
        assert!(Recording::parse("ntsim recording 1\nr64:0").is_err());
    }
}
