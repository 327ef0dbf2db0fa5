//! The conformance kit.
//!
//! It loads a shared library that exports the table of `include/ntcom_kit.h`, and judges it against
//! the contract (docs/abi-contract.md), rule by rule. docs/conformance.md tells implementers how to
//! use it.
//!
//! | module | contents |
//! |---|---|
//! | `table`, `load`, `need` | the table, its loading, and the members that a clause needs |
//! | `offers` | the features that a library offers |
//! | `rule`, `finding`, `verdict`, `trail`, `text` | the reports on a library |
//! | `world`, `body`, `client`, `kit` | a case's operations, their bodies, their clients, and the interface for writing cases |
//! | `case`, `rounds`, `cases` | cases as data, with the rounds of threads, and all cases, a file for a few rules |
//! | `replacing` | a client that gives up its operation in the completion handler |
//! | `freed` | memory that is used after it has been freed |
//! | `interposed`, `pages` | the program's own `malloc` and `free`, and blocks on pages of their own |
//! | `sequence` | sequences of the fuzz targets' generator, judged by their model |
//! | `program`, `run` | a program inside of the library, and one case, from its beginning to a verdict |
//! | `child`, `judge` | the process in which the library runs, and the one that starts it and draws conclusions |
//! | `report` | the table, the JSON and the JUnit file |
//! | `shipped` | the implementations that come with the kit, and the expected findings of each |
#![expect(
    clippy::indexing_slicing,
    reason = "a test harness: an index out of range is a bug of the harness, and is to stop it"
)]
#![expect(clippy::std_instead_of_core, reason = "a program of the host: there is always std")]

mod body;
pub mod case;
pub mod cases;
pub mod child;
mod client;
pub mod finding;
mod freed;
mod interposed;
pub mod judge;
pub mod kit;
pub mod load;
pub mod need;
mod offers;
pub mod output;
mod pages;
mod program;
mod replacing;
pub mod report;
pub mod rounds;
pub mod rule;
pub mod run;
pub mod sequence;
pub mod shipped;
pub mod table;
mod text;
mod trail;
pub mod verdict;
mod world;
