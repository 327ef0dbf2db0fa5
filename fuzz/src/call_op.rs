//! A call of a declared async method: which one, how its initialiser behaves, and what its body does.

use crate::{
    ops::STATUSES,
    script::{STEPS, Script, Shape},
    value::Kind,
};

/// The methods, as `declared` declares them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Of the base, with a named future.
    Inherited,
    /// With a named future.
    Named,
    /// With a future that has no name.
    Opaque,
    /// Likewise, with an over-aligned value.
    Aligned,
    /// Likewise, with a body that may fail by itself.
    Fallible,
    /// Likewise, with a body that reaches its object.
    Reaching,
}

impl Method {
    const ALL: [Self; 8] = [
        Self::Inherited,
        Self::Named,
        Self::Opaque,
        Self::Aligned,
        Self::Fallible,
        Self::Fallible,
        Self::Reaching,
        Self::Opaque,
    ];

    /// Its value's type.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Inherited | Self::Fallible => Kind::U64,
            Self::Named => Kind::Unit,
            Self::Opaque => Kind::U8,
            Self::Aligned => Kind::Aligned,
            Self::Reaching => Kind::Padded,
        }
    }

    /// Its body is a script in a row: such a future has a name.
    #[must_use]
    pub const fn is_named(self) -> bool {
        matches!(self, Self::Inherited | Self::Named)
    }
}

/// What an initialiser does before it makes the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Init {
    /// Nothing.
    Plain,
    /// Allocates memory of its own.
    Allocates,
    /// Fails with one of the [`STATUSES`].
    Fails(u8),
}

/// A call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Which method.
    pub method: Method,
    /// What its initialiser does.
    pub init: Init,
    /// What its body does.
    pub script: Script,
    selector: u8,
}

/// What a fallible body may fail with besides the [`STATUSES`]: the status that depends on a cancel request `[C20]`.
const CANCELLED: u32 = 0xC000_0120;

impl Call {
    /// The call that these bytes mean: `selector` is method (three bits) and initialiser (two).
    #[must_use]
    pub const fn decode(selector: u8, steps: [u8; STEPS]) -> Self {
        let method = Method::ALL[(selector & 7) as usize];
        // The last step's operand has nothing else to say where it says this.
        let free = steps[STEPS - 1] >> 4;
        let shape =
            if method.is_named() { Shape::Plain } else { Shape::ALL[free as usize % Shape::ALL.len()] };
        let init = match (method, selector >> 3 & 3) {
            // Its initialiser is its form's.
            (Method::Reaching, _) | (_, 0 | 1) => Init::Plain,
            (_, 2) => Init::Allocates,
            _ => Init::Fails(free % STATUSES.len() as u8),
        };
        Self { method, init, script: Script { shape, steps }, selector: selector & 31 }
    }

    /// The selector and the steps, as they cross the interface.
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.selector as u32
    }

    /// See [`pack`](Self::pack).
    #[must_use]
    pub const fn steps(self) -> u64 {
        let [a, b, c, d, e, f] = self.script.steps;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// From what crossed the interface.
    #[must_use]
    pub const fn unpack(selector: u32, steps: u64) -> Self {
        let [a, b, c, d, e, f, _, _] = steps.to_le_bytes();
        Self::decode(selector as u8, [a, b, c, d, e, f])
    }

    /// What its body fails with when its script has ended, if it does.
    #[must_use]
    pub const fn failure(self) -> Option<u32> {
        let which = (self.script.steps[0] >> 4) as usize;
        match self.method {
            Method::Fallible if which < STATUSES.len() => Some(STATUSES[which]),
            Method::Fallible if which < 10 => Some(CANCELLED),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Init, Method};

    #[test]
    fn a_call_crosses_the_interface_as_it_is() {
        for selector in 0..=255_u8 {
            for last in [0, 0x10, 0x57, 0xFF] {
                let call = Call::decode(selector, [1, 2, 3, selector, 0, last]);
                assert_eq!(Call::unpack(call.pack(), call.steps()), call);
            }
        }
    }

    #[test]
    fn every_method_and_initialiser_is_reached() {
        let calls: Vec<Call> = (0..32).map(|selector| Call::decode(selector, [0; 6])).collect();
        for method in Method::ALL {
            assert!(calls.iter().any(|call| call.method == method), "{method:?}");
        }
        for init in [Init::Plain, Init::Allocates, Init::Fails(0)] {
            assert!(calls.iter().any(|call| call.init == init), "{init:?}");
        }
    }
}
