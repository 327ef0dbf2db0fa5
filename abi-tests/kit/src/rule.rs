//! The contract's rules.

use core::fmt;

use serde::{Deserialize, Serialize};

macro_rules! rules {
    ($($rule:ident $what:literal,)*) => {
        /// A rule of the contract, by its number.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "docs/abi-contract.md tells what each is")]
        pub enum Rule {
            $($rule,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$rule,)*];

            /// The contract's name for the rule.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$rule => $what,)*
                }
            }
        }
    };
}

rules! {
    C1 "QueryInterface",
    C2 "identity",
    C3 "counting",
    C4 "get_status",
    C5 "get_result",
    C6 "terminal states are final",
    C7 "stored statuses",
    C8 "quiescence",
    C9 "releasing is not cancelling",
    C10 "cancel",
    C11 "never null",
    C12 "no unwinding",
    C13 "IRQL",
    C14 "set_completed",
    C15 "wait",
    C16 "get_error, get_result_size",
    C17 "clients distrust",
    C18 "unloading",
    C19 "the object behind a method",
    C20 "fallible bodies",
    C21 "without an executor",
}

impl core::str::FromStr for Rule {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|rule| rule.to_string().eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| format!("{name} is no rule of the contract, C1 to C21"))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
