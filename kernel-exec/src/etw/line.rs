//! A line of text on the stack, in the kernel's encoding.

use core::fmt;

/// The length in units of 16 bits, including the zero.
const LINE: usize = 384;

/// Text in UTF-16 that ends with a zero. Text that does not fit is left out, at a character's
/// border, and a null in the text becomes a space.
pub(super) struct Line {
    units: [u16; LINE],
    length: usize,
}

impl Line {
    /// Makes an empty line.
    pub(super) const fn new() -> Self {
        Self { units: [0; LINE], length: 0 }
    }

    /// Returns the text, which ends with a zero.
    pub(super) const fn as_ptr(&self) -> *const u16 {
        self.units.as_ptr()
    }

    /// Appends a character if it fits. After the first one that does not fit, none fits.
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
    /// Appends the text. A full line gives an error, which ends the formatting.
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
    fn a_line_has_the_text_that_was_written() {
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
