//! A line of text as the kernel has it, on the stack.

use core::fmt;

/// Units of 16 bits, with the zero.
const LINE: usize = 384;

/// Text in UTF-16 that ends with a zero. What does not fit is left out, at a character's border; a null in it is a space.
pub(super) struct Line {
    units: [u16; LINE],
    length: usize,
}

impl Line {
    /// An empty one.
    pub(super) const fn new() -> Self {
        Self { units: [0; LINE], length: 0 }
    }

    /// What is in it, up to a zero.
    pub(super) const fn as_ptr(&self) -> *const u16 {
        self.units.as_ptr()
    }

    /// The characters up to the first that does not fit: nothing goes behind that one.
    fn push(&mut self, character: char) -> fmt::Result {
        let character = if character == '\0' { ' ' } else { character };
        let end = self.length + character.len_utf16();
        // The last unit stays zero.
        let room = self.units.get_mut(self.length..end).filter(|_| end < LINE);
        let Some(room) = room else {
            self.length = LINE;
            return Err(fmt::Error);
        };
        character.encode_utf16(room);
        self.length = end;
        Ok(())
    }
}

impl fmt::Write for Line {
    /// An error where it is full, which ends the formatting.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.push(character))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use core::fmt::Write as _;

    use super::{LINE, Line};

    fn text(line: &Line) -> String {
        let units: Vec<u16> = line.units.iter().copied().take_while(|unit| *unit != 0).collect();
        String::from_utf16_lossy(&units)
    }

    #[test]
    fn a_line_is_what_was_written() {
        let mut line = Line::new();
        write!(line, "a\0b {} é𝄞", 42).unwrap();
        assert_eq!(text(&line), "a b 42 é𝄞");
    }

    #[test]
    fn a_line_is_cut_between_characters_and_nothing_follows_the_cut() {
        let mut line = Line::new();
        line.write_str(&"x".repeat(LINE - 2)).unwrap();
        assert!(line.write_str("𝄞").is_err());
        assert!(line.write_str("y").is_err());
        assert_eq!(text(&line), "x".repeat(LINE - 2));
        let mut full = Line::new();
        full.write_str(&"x".repeat(LINE - 1)).unwrap();
        assert!(full.write_str("y").is_err());
        assert_eq!(text(&full).len(), LINE - 1);
    }
}
