//! The format strings of DbgPrint. They are printf's, with the kernel's own additions (`%wZ`, `%Z`,
//! `%I64x`, a `%ld` of 32 bits).

extern crate alloc;

use alloc::{format, string::String, vec::Vec};

/// A source of arguments and of the memory that they point to.
pub(crate) trait Source {
    /// The error of memory that cannot be read.
    type Error;
    /// Returns the next argument, from its register or its place on the stack.
    fn argument(&mut self) -> u64;
    /// Reads a byte of memory.
    fn byte(&mut self, address: u64) -> Result<u8, Self::Error>;
}

/// The reason that a message has no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal<T> {
    /// The memory cannot be read.
    Memory(T),
    /// The kernel does not format this directive, for the given reason.
    Directive(String, &'static str),
    /// The directive formats characters of 16 bits above PASSIVE_LEVEL.
    Wide(String),
}

/// The most bytes of a message.
pub(crate) const MAX_BYTES: usize = 512;

/// Returns the text of a message, at most [`MAX_BYTES`] bytes. `passive` says that IRQL is
/// PASSIVE_LEVEL.
pub(crate) fn message<S: Source>(
    format: u64,
    passive: bool,
    source: S,
) -> Result<Vec<u8>, Refusal<S::Error>> {
    let mut reader = Reader { at: format, start: format, passive, source };
    let mut text = Vec::new();
    loop {
        reader.start = reader.at;
        match reader.next()? {
            0 => break,
            b'%' => {
                let directive = reader.directive()?;
                reader.put(&directive, &mut text)?;
            }
            other => text.push(other),
        }
    }
    text.truncate(MAX_BYTES);
    Ok(text)
}

/// The size prefix of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Size {
    #[default]
    Usual,
    /// `h`, for 16 bits, or characters of 8.
    Half,
    /// `hh`.
    Quarter,
    /// `l`, for 32 bits, or characters of 16.
    Long,
    /// `w`, for characters of 16 bits.
    Wide,
    /// `ll`, `I64`, and `I`, `z`, `t`, `j` where pointers have 64 bits.
    Double,
    /// `I32`.
    Word,
}

/// The parsed text after a percent sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Directive {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    size: Size,
    conversion: u8,
}

impl Directive {
    /// Returns whether characters and strings have 16 bits a character.
    fn is_wide(&self) -> bool {
        match self.size {
            Size::Long | Size::Wide => true,
            Size::Half => false,
            _ => matches!(self.conversion, b'C' | b'S'),
        }
    }

    fn signed(&self, argument: u64) -> i64 {
        match self.size {
            Size::Double => argument.cast_signed(),
            Size::Half => i64::from(argument as i16),
            Size::Quarter => i64::from(argument as i8),
            _ => i64::from(argument as i32),
        }
    }

    fn unsigned(&self, argument: u64) -> u64 {
        match self.size {
            Size::Double => argument,
            Size::Half => u64::from(argument as u16),
            Size::Quarter => u64::from(argument as u8),
            _ => u64::from(argument as u32),
        }
    }

    /// Writes a number with its digits, sign or prefix, and padding.
    fn number(&self, prefix: &str, digits: &str, out: &mut Vec<u8>) {
        let zeros = self.precision.unwrap_or(0).saturating_sub(digits.len());
        let bare = prefix.len() + zeros + digits.len();
        let padded = self.zero && !self.left && self.precision.is_none();
        let zeros = if padded { zeros + self.width.saturating_sub(bare) } else { zeros };
        let mut number = Vec::from(prefix);
        number.resize(number.len() + zeros, b'0');
        number.extend_from_slice(digits.as_bytes());
        self.pad(&number, out);
    }

    /// Writes bytes, padded with spaces to the width.
    fn pad(&self, bytes: &[u8], out: &mut Vec<u8>) {
        let spaces = self.width.saturating_sub(bytes.len());
        if !self.left {
            out.resize(out.len() + spaces, b' ');
        }
        out.extend_from_slice(bytes);
        if self.left {
            out.resize(out.len() + spaces, b' ');
        }
    }
}

struct Reader<S> {
    at: u64,
    /// The address at which the directive begins.
    start: u64,
    passive: bool,
    source: S,
}

type Outcome<T, S> = Result<T, Refusal<<S as Source>::Error>>;

impl<S: Source> Reader<S> {
    fn byte(&mut self, address: u64) -> Outcome<u8, S> {
        self.source.byte(address).map_err(Refusal::Memory)
    }

    fn half(&mut self, address: u64) -> Outcome<u16, S> {
        Ok(u16::from_le_bytes([self.byte(address)?, self.byte(address + 1)?]))
    }

    fn peek(&mut self) -> Outcome<u8, S> {
        self.byte(self.at)
    }

    fn next(&mut self) -> Outcome<u8, S> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    /// Skips the next byte if it is `wanted`.
    fn take(&mut self, wanted: u8) -> Outcome<bool, S> {
        let found = self.peek()? == wanted;
        self.at += u64::from(found);
        Ok(found)
    }

    /// Returns the directive as it is written.
    fn written(&mut self) -> Outcome<String, S> {
        let bytes = (self.start..self.at).map(|address| self.byte(address)).collect::<Result<Vec<_>, _>>()?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn directive(&mut self) -> Outcome<Directive, S> {
        let mut directive = Directive::default();
        loop {
            let flag = match self.peek()? {
                b'-' => &mut directive.left,
                b'+' => &mut directive.plus,
                b' ' => &mut directive.space,
                b'#' => &mut directive.alternate,
                b'0' => &mut directive.zero,
                _ => break,
            };
            *flag = true;
            self.at += 1;
        }
        let width = self.count()?;
        directive.left |= width < 0;
        directive.width = width.unsigned_abs().min(MAX_BYTES as u32) as usize;
        if self.take(b'.')? {
            // A negative precision counts as none.
            directive.precision =
                u32::try_from(self.count()?).ok().map(|precision| precision.min(MAX_BYTES as u32) as usize);
        }
        directive.size = self.size()?;
        directive.conversion = self.next()?;
        Ok(directive)
    }

    /// Reads a number from the format, or from the arguments for `*`.
    fn count(&mut self) -> Outcome<i32, S> {
        if self.take(b'*')? {
            return Ok(self.source.argument() as i32);
        }
        let mut number = 0_i32;
        while let digit @ b'0'..=b'9' = self.peek()? {
            number = number.saturating_mul(10).saturating_add((digit - b'0').into());
            self.at += 1;
        }
        Ok(number)
    }

    fn size(&mut self) -> Outcome<Size, S> {
        let size = match self.peek()? {
            b'h' => Size::Half,
            b'l' => Size::Long,
            b'w' => Size::Wide,
            b'I' | b'z' | b't' | b'j' => Size::Double,
            _ => return Ok(Size::Usual),
        };
        let letter = self.next()?;
        Ok(match letter {
            b'h' if self.take(b'h')? => Size::Quarter,
            b'l' if self.take(b'l')? => Size::Double,
            b'I' => match self.peek()? {
                b'6' => self.digits(b"64", Size::Double)?,
                b'3' => self.digits(b"32", Size::Word)?,
                _ => size,
            },
            _ => size,
        })
    }

    fn digits(&mut self, digits: &[u8], size: Size) -> Outcome<Size, S> {
        for digit in digits {
            if !self.take(*digit)? {
                return Err(Refusal::Directive(self.written()?, "the size is not known"));
            }
        }
        Ok(size)
    }

    /// Writes the text of a directive.
    fn put(&mut self, directive: &Directive, out: &mut Vec<u8>) -> Outcome<(), S> {
        match directive.conversion {
            b'%' => out.push(b'%'),
            b'd' | b'i' => {
                let number = directive.signed(self.source.argument());
                let sign = match number {
                    ..0 => "-",
                    _ if directive.plus => "+",
                    _ if directive.space => " ",
                    _ => "",
                };
                directive.number(sign, &digits(directive, number.unsigned_abs(), b'u'), out);
            }
            conversion @ (b'u' | b'x' | b'X' | b'o') => {
                let number = directive.unsigned(self.source.argument());
                let digits = digits(directive, number, conversion);
                let prefix = match conversion {
                    b'x' if directive.alternate && number != 0 => "0x",
                    b'X' if directive.alternate && number != 0 => "0X",
                    b'o' if directive.alternate && !digits.starts_with('0') => "0",
                    _ => "",
                };
                // The zero prefix of an octal number is one of its digits.
                if conversion == b'o' {
                    directive.number("", &format!("{prefix}{digits}"), out);
                } else {
                    directive.number(prefix, &digits, out);
                }
            }
            b'p' => directive.pad(format!("{:016X}", self.source.argument()).as_bytes(), out),
            b'c' | b'C' => {
                let argument = self.source.argument();
                if directive.is_wide() {
                    self.allow_wide()?;
                    directive.pad(&narrow(&[argument as u16]), out);
                } else {
                    directive.pad(&[argument as u8], out);
                }
            }
            b's' | b'S' => {
                let text = self.string(directive)?;
                directive.pad(&text, out);
            }
            b'Z' => {
                let text = self.counted(directive)?;
                directive.pad(&text, out);
            }
            b'e' | b'E' | b'f' | b'F' | b'g' | b'G' | b'a' | b'A' => {
                return Err(Refusal::Directive(self.written()?, "the kernel does not format floating point"));
            }
            b'n' => return Err(Refusal::Directive(self.written()?, "the kernel does not write counts")),
            0 => {
                self.at -= 1;
                return Err(Refusal::Directive(self.written()?, "the format ends in the directive"));
            }
            _ => return Err(Refusal::Directive(self.written()?, "the conversion is not known")),
        }
        Ok(())
    }

    fn allow_wide(&mut self) -> Outcome<(), S> {
        if self.passive { Ok(()) } else { Err(Refusal::Wide(self.written()?)) }
    }

    /// Reads a string up to its zero or the precision.
    fn string(&mut self, directive: &Directive) -> Outcome<Vec<u8>, S> {
        if directive.is_wide() {
            self.allow_wide()?;
        }
        let (address, most) =
            (self.source.argument(), directive.precision.unwrap_or(MAX_BYTES).min(MAX_BYTES) as u64);
        if address == 0 {
            let null: &[u8] = b"(null)";
            return Ok(null.iter().take(most as usize).copied().collect());
        }
        let (mut bytes, mut halves) = (Vec::new(), Vec::new());
        for index in 0..most {
            if directive.is_wide() {
                match self.half(address + 2 * index)? {
                    0 => break,
                    half => halves.push(half),
                }
            } else {
                match self.byte(address + index)? {
                    0 => break,
                    byte => bytes.push(byte),
                }
            }
        }
        bytes.extend(narrow(&halves));
        Ok(bytes)
    }

    /// Reads a counted string, which consists of its length in bytes, its maximum length and its
    /// buffer.
    fn counted(&mut self, directive: &Directive) -> Outcome<Vec<u8>, S> {
        if directive.is_wide() {
            self.allow_wide()?;
        }
        let string = self.source.argument();
        if string == 0 {
            return Ok(b"(null)".to_vec());
        }
        let length = self.half(string)?;
        let mut buffer = 0;
        for index in (0..8).rev() {
            buffer = buffer << 8 | u64::from(self.byte(string + 8 + index)?);
        }
        let most = directive.precision.unwrap_or(MAX_BYTES).min(MAX_BYTES) as u64;
        if directive.is_wide() {
            let count = (u64::from(length) / 2).min(most);
            let halves =
                (0..count).map(|index| self.half(buffer + 2 * index)).collect::<Result<Vec<_>, _>>()?;
            return Ok(narrow(&halves));
        }
        (0..u64::from(length).min(most)).map(|index| self.byte(buffer + index)).collect()
    }
}

/// Returns a number's digits, or none if the precision and the number are zero.
fn digits(directive: &Directive, number: u64, conversion: u8) -> String {
    match conversion {
        _ if number == 0 && directive.precision == Some(0) => String::new(),
        b'x' => format!("{number:x}"),
        b'X' => format!("{number:X}"),
        b'o' => format!("{number:o}"),
        _ => format!("{number}"),
    }
}

/// Returns UTF-8 of characters of 16 bits, with the replacement character for an invalid one.
fn narrow(halves: &[u16]) -> Vec<u8> {
    String::from_utf16_lossy(halves).into_bytes()
}
