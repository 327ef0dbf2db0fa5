//! Calls of declared async methods. A call chooses the method, its initialiser's behaviour, and its
//! body's steps.

use crate::{
    script::{STEPS, Script, Shape},
    status::{CANCELLED, STATUSES},
    value::ValueKind,
};

/// The async methods of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// Inherited from the base, with a named future.
    Inherited,
    /// A named future.
    Named,
    /// A future that has no name.
    Opaque,
    /// A future without a name, with an over-aligned value.
    Aligned,
    /// A future without a name, with a body that may fail by itself.
    Fallible,
    /// A future without a name, with a body that reaches its object.
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

    /// The type of the method's value.
    #[must_use]
    pub const fn kind(self) -> ValueKind {
        match self {
            Self::Inherited | Self::Fallible => ValueKind::U64,
            Self::Named => ValueKind::Unit,
            Self::Opaque => ValueKind::U8,
            Self::Aligned => ValueKind::Aligned,
            Self::Reaching => ValueKind::Padded,
        }
    }

    /// Whether the method's future has a name. Its body is then a script in a row.
    #[must_use]
    pub const fn is_named(self) -> bool {
        matches!(self, Self::Inherited | Self::Named)
    }
}

/// The initialiser's behaviour before it makes the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Init {
    /// It does nothing.
    Plain,
    /// It allocates memory of its own.
    Allocates,
    /// It fails with one of the [`STATUSES`].
    Fails(u8),
}

/// A call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The initialiser's behaviour.
    pub init: Init,
    /// The body's script.
    pub script: Script,
    selector: u8,
}

impl Call {
    /// Decodes a call. The low three bits of `selector` are the method, and the next two are the
    /// initialiser.
    #[must_use]
    pub const fn decode(selector: u8, steps: [u8; STEPS]) -> Self {
        let method = Method::ALL[(selector & 7) as usize];
        // The operand of the last step selects the shape or the status, because it rarely matters
        // to the step.
        let free = steps[STEPS - 1] >> 4;
        let shape =
            if method.is_named() { Shape::Plain } else { Shape::ALL[free as usize % Shape::ALL.len()] };
        let init = match (method, selector >> 3 & 3) {
            // The initialiser of this form cannot be chosen.
            (Method::Reaching, _) | (_, 0 | 1) => Init::Plain,
            (_, 2) => Init::Allocates,
            _ => Init::Fails(free % STATUSES.len() as u8),
        };
        Self { method, init, script: Script { shape, steps }, selector: selector & 31 }
    }

    /// The selector, as it crosses the interface.
    #[must_use]
    pub const fn pack(self) -> u32 {
        self.selector as u32
    }

    /// The steps, as they cross the interface beside [`pack`](Self::pack).
    #[must_use]
    pub const fn steps(self) -> u64 {
        let [a, b, c, d, e, f] = self.script.steps;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// Decodes a call that has crossed the interface.
    #[must_use]
    pub const fn unpack(selector: u32, steps: u64) -> Self {
        let [a, b, c, d, e, f, _, _] = steps.to_le_bytes();
        Self::decode(selector as u8, [a, b, c, d, e, f])
    }

    /// The status with which the body fails at the end of its script, if it does.
    #[must_use]
    pub const fn failure(self) -> Option<u32> {
        let which = (self.script.steps[0] >> 4) as usize;
        match self.method {
            Method::Fallible if which < STATUSES.len() => Some(STATUSES[which]),
            // Its meaning depends on a cancel request [C20].
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
