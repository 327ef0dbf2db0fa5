//! The events of a trace.

extern crate alloc;

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::{
    caller::Caller,
    mark::Mark,
    name::Name,
    value::{Tag, Value},
};
use crate::{
    etw::session::{Data, Event as EtwEvent, SessionId},
    kernel::thread::ThreadName,
    verifier::{irql::Ddi, stop::Stop},
};

/// An event, with its place and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// How many preemption points came before it.
    pub step: u64,
    /// Virtual time in 100-ns units.
    pub time: u64,
    /// The processor it happened on.
    pub processor: usize,
    /// The processor's IRQL.
    pub irql: u8,
    /// The kind of event, with its data.
    pub what: What,
    /// The code that it comes from, with [`Config::callers`](crate::Config::callers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
}

/// The kind of event, with its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum What {
    /// A DDI was called. The event is recorded when the call has taken effect.
    Call {
        /// The DDI.
        ddi: Ddi,
        /// The arguments.
        arguments: Vec<Value>,
        /// The result, if the DDI has one.
        result: Option<Value>,
    },
    /// Another processor goes on.
    Switch {
        /// Its number.
        to: usize,
    },
    /// A program began.
    ProgramStart,
    /// A program returned.
    ProgramEnd,
    /// A DPC has left its queue and its routine is called.
    DpcStart {
        /// The DPC.
        dpc: Name,
        /// Its routine.
        routine: Name,
    },
    /// A DPC routine has returned.
    DpcEnd {
        /// The DPC.
        dpc: Name,
    },
    /// A timer has expired.
    TimerExpired {
        /// The timer.
        object: Name,
    },
    /// A processor goes on with another thread than before.
    Thread {
        /// The processor.
        processor: usize,
        /// The thread.
        thread: ThreadName,
    },
    /// A thread can run, because it is new or its wait is over.
    ThreadReady {
        /// The processor that it will run on.
        processor: usize,
        /// The thread.
        thread: ThreadName,
    },
    /// A thread waits.
    ThreadWait {
        /// The thread.
        thread: ThreadName,
        /// The DDI that it is in. `None` for a worker thread that waits for work.
        ddi: Option<Ddi>,
        /// The objects that it waits for.
        objects: Vec<Name>,
    },
    /// A work item has left its queue and its routine is called.
    WorkStart {
        /// The work item.
        item: Name,
        /// Its routine.
        routine: Name,
    },
    /// A work item's routine has returned.
    WorkEnd {
        /// The work item.
        item: Name,
    },
    /// A thread has ended.
    ThreadEnd {
        /// The thread.
        thread: ThreadName,
    },
    /// The processor waits for a spin lock.
    Wait {
        /// The DDI that it is in.
        ddi: Ddi,
        /// The lock.
        object: Name,
    },
    /// Pool was allocated.
    Allocated {
        /// The block's number.
        number: u32,
        /// Its size in bytes.
        size: usize,
        /// Its tag.
        tag: u32,
    },
    /// Pool was freed.
    Freed {
        /// The block's number.
        number: u32,
        /// Its tag.
        tag: u32,
    },
    /// An atomic operation.
    Atomic {
        /// The kind of operation.
        operation: AtomicOp,
        /// The atomic.
        object: Name,
        /// Its value before.
        old: Value,
        /// Its value after.
        new: Value,
    },
    /// An access to an [`UnsafeCell`](crate::sync::UnsafeCell) begins.
    Cell {
        /// The cell.
        object: Name,
        /// Whether the access is by `with_mut`.
        mutable: bool,
    },
    /// An access to a cell ends.
    CellEnd {
        /// The cell.
        object: Name,
        /// Whether the access is by `with_mut`.
        mutable: bool,
    },
    /// The virtual clock was moved.
    TimeSkipped {
        /// By how many units of 100 ns.
        by: u64,
    },
    /// A message of DbgPrint or DbgPrintEx.
    Print {
        /// The component, a DPFLTR_… number.
        component: u32,
        /// The level, or a mask of levels.
        level: u32,
        /// The text.
        text: String,
    },
    /// An event of an ETW provider has reached sessions.
    Etw {
        /// The sessions.
        sessions: Vec<SessionId>,
        /// The event.
        event: EtwEvent,
    },
    /// A line of [`note`](crate::note).
    Note(String),
    /// An action that a program reports with [`mark`](crate::mark).
    Mark(Mark),
    /// The run ends early.
    Stop {
        /// The reason.
        stop: Stop,
    },
}

/// A kind of atomic operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AtomicOp {
    /// A load.
    Load,
    /// A store.
    Store,
    /// An unconditional exchange.
    Swap,
    /// A compare-exchange that succeeded.
    Exchange,
    /// A compare-exchange that failed and has written nothing.
    FailedExchange,
    /// A read-modify-write by arithmetic or logic.
    Modify,
    /// A fence, which has a null object.
    Fence,
}

impl AtomicOp {
    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Store => "store",
            Self::Swap => "swap",
            Self::Exchange => "exchange",
            Self::FailedExchange => "failed exchange",
            Self::Modify => "modify",
            Self::Fence => "fence",
        }
    }
}

impl What {
    /// Whether it is an action of the running code, rather than of the kernel or of the schedule.
    pub(crate) fn has_caller(&self) -> bool {
        matches!(
            self,
            Self::Call { .. }
                | Self::Wait { .. }
                | Self::ThreadWait { .. }
                | Self::Allocated { .. }
                | Self::Freed { .. }
                | Self::Atomic { .. }
                | Self::Cell { .. }
                | Self::CellEnd { .. }
                | Self::Print { .. }
                | Self::Etw { .. }
                | Self::Note(_)
                | Self::Mark(_)
        )
    }
}

impl Display for What {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { ddi, arguments, result } => {
                write!(f, "{}(", ddi.name())?;
                for (number, argument) in arguments.iter().enumerate() {
                    write!(f, "{}{argument}", if number == 0 { "" } else { ", " })?;
                }
                match result {
                    Some(result) => write!(f, ") = {result}"),
                    None => f.write_str(")"),
                }
            }
            Self::Switch { to } => write!(f, "switch to processor {to}"),
            Self::ProgramStart => f.write_str("program starts"),
            Self::ProgramEnd => f.write_str("program returns"),
            Self::DpcStart { dpc, routine } => write!(f, "DPC {dpc} starts, routine {routine}"),
            Self::DpcEnd { dpc } => write!(f, "DPC {dpc} ends"),
            Self::TimerExpired { object } => write!(f, "timer {object} expires"),
            Self::Thread { processor, thread } => write!(f, "processor {processor} goes on with {thread}"),
            Self::ThreadReady { processor, thread } => {
                write!(f, "{thread} is ready on processor {processor}")
            }
            Self::ThreadWait { thread, ddi, objects } => {
                match ddi {
                    Some(ddi) => write!(f, "{thread} waits in {}", ddi.name())?,
                    None => write!(f, "{thread} waits for work")?,
                }
                for (number, object) in objects.iter().enumerate() {
                    write!(f, "{} {object}", if number == 0 { " for" } else { "," })?;
                }
                Ok(())
            }
            Self::WorkStart { item, routine } => write!(f, "work item {item} starts, routine {routine}"),
            Self::WorkEnd { item } => write!(f, "work item {item} ends"),
            Self::ThreadEnd { thread } => write!(f, "{thread} ends"),
            Self::Wait { ddi, object } => write!(f, "{} waits for {object}", ddi.name()),
            Self::Allocated { number, size, tag } => {
                write!(f, "block{number}: {size} bytes, tag {}", Tag(*tag))
            }
            Self::Freed { number, tag } => write!(f, "block{number} freed, tag {}", Tag(*tag)),
            Self::Atomic { operation: AtomicOp::Fence, .. } => f.write_str("fence"),
            Self::Atomic { operation, object, old, new } => {
                write!(f, "{object}: {} ", operation.name())?;
                match operation {
                    AtomicOp::Load | AtomicOp::FailedExchange => write!(f, "{old}"),
                    _ => write!(f, "{old} -> {new}"),
                }
            }
            Self::Cell { object, mutable } => {
                write!(f, "{object}: {}", if *mutable { "with_mut" } else { "with" })
            }
            Self::CellEnd { object, mutable } => {
                write!(f, "{object}: {} ends", if *mutable { "with_mut" } else { "with" })
            }
            Self::TimeSkipped { by } => write!(f, "clock moves by {by}"),
            Self::Print { component, level, text } => {
                write!(
                    f,
                    "prints (component {component}, level {level:#x}): {}",
                    text.trim_end().escape_debug()
                )
            }
            Self::Etw { sessions, event } => {
                let (level, keyword) = (event.level, event.keyword);
                write!(f, "ETW event (level {level}, keyword {keyword:#x})")?;
                for (number, session) in sessions.iter().enumerate() {
                    let before = if number == 0 { " to session " } else { ", " };
                    write!(f, "{before}{}", session.0)?;
                }
                match &event.data {
                    Data::Text(text) => write!(f, ": {}", text.escape_debug()),
                    Data::Bytes(bytes) => write!(f, ": id {}, {} bytes", event.id, bytes.len()),
                }
            }
            Self::Note(line) => write!(f, "note: {line}"),
            Self::Mark(mark) => mark.fmt(f),
            Self::Stop { stop } => write!(f, "stop: {}", Brief(stop)),
        }
    }
}

/// A stop without the addresses that differ from process to process.
struct Brief<'a>(&'a Stop);

impl Display for Brief<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Stop::BugCheck(bug) => write!(f, "bug check {:#x} {}: {}", bug.code, bug.name(), bug.rule),
            Stop::Panic { message, place, .. } => {
                let place = place.as_deref().unwrap_or("an unknown place");
                write!(f, "panic at {place}: {message}")
            }
            Stop::Failure { oracle, message, .. } => write!(f, "{oracle}: {message}"),
            other => other.fmt(f),
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} {:>10}  p{:<2} irql {:<2} {}",
            self.step, self.time, self.processor, self.irql, self.what
        )?;
        self.caller.as_ref().map_or(Ok(()), |caller| write!(f, "  [{caller}]"))
    }
}
