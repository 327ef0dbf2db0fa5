//! Texts of the library under test.

/// A text of the library for a terminal and for files. It has no control characters except the ends
/// of lines and tabs, and is cut to this number of characters.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let control = |char: char| char.is_control() && char != '\n' && char != '\t';
    let mut shown: String =
        text.chars().take(most).map(|char| if control(char) { '\u{FFFD}' } else { char }).collect();
    if text.chars().nth(most).is_some() {
        shown.push_str("...");
    }
    shown
}
