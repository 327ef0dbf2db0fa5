//! Checks whether an object may be at its address.

extern crate alloc;

use alloc::string::String;

use super::{
    Checked,
    bugcheck::{
        access,
        timer_or_dpc::{self, Object},
    },
};
use crate::{
    arena::Memory,
    engine::machine::Machine,
    fault::cause::Access,
    kernel::pool::Block,
    other_pools::owner,
    trace::{event::What, value::Tag},
    types::IO_WORKITEM,
};

/// The use of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Atomic,
    Cell,
    Dpc,
    Timer,
    Lock,
    Dispatcher,
    WaitBlocks,
    WorkItem,
    ExWorkItem,
    Rundown,
    FastMutex,
    RemoveLock,
    Lookaside,
    Text,
}

impl Use {
    fn name(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::Cell => "cell",
            Self::Dpc => "DPC",
            Self::Timer => "timer",
            Self::Lock => "spin lock",
            Self::Dispatcher => "dispatcher object",
            Self::WorkItem | Self::ExWorkItem => "work item",
            Self::Rundown => "rundown protection",
            Self::FastMutex => "fast mutex",
            Self::RemoveLock => "remove lock",
            Self::Lookaside => "lookaside list",
            Self::WaitBlocks => "array of wait blocks",
            Self::Text => "text",
        }
    }

    #[inline(always)]
    const fn size(self) -> usize {
        match self {
            Self::Dpc | Self::Timer => 64,
            Self::Dispatcher => 24,
            Self::WorkItem => size_of::<IO_WORKITEM>(),
            Self::ExWorkItem | Self::RemoveLock => 32,
            Self::FastMutex => 56,
            Self::Lookaside => 96,
            Self::Lock | Self::Rundown => 8,
            Self::Atomic | Self::Cell | Self::WaitBlocks | Self::Text => 1,
        }
    }
}

/// Describes a block for a rule's text.
pub(crate) fn describe(machine: &Machine, block: &Block) -> String {
    let (number, size, tag) = (block.number, block.size, Tag(block.tag));
    let made = machine
        .place_of(|event| matches!(event.what, What::Allocated { number: made, .. } if made == number));
    let made = if made.is_empty() { made } else { alloc::format!(", allocated{made}") };
    if block.live {
        alloc::format!("block{number} ({size} bytes, tag {tag}{made})")
    } else {
        let (by, at) = (block.freed_by, block.freed_at);
        let others = match block.merged {
            0 => String::new(),
            others => alloc::format!(", and {others} freed blocks behind it"),
        };
        let place = machine
            .place_of(|event| matches!(event.what, What::Freed { number: freed, .. } if freed == number));
        alloc::format!(
            "block{number} ({size} bytes, tag {tag}{made}, freed by processor {by} at step {at}{place}{others})"
        )
    }
}

impl Machine {
    /// A violation if an object is at a null pointer, in freed or paged pool memory, in pool memory
    /// outside of all blocks, or in another simulated kernel's pool. Other memory is not checked.
    #[inline(always)]
    pub(crate) fn check_memory(&self, address: usize, used: Use) -> Checked<()> {
        let fine = address != 0
            && !self.arena.suspicious(address)
            && (used.size() == 1 || !self.arena.suspicious(address.wrapping_add(used.size() - 1)))
            && (self.arena.offset(address).is_some() || owner(address).is_none());
        if fine { Ok(()) } else { self.find_memory_violation(address, used) }
    }

    #[cold]
    #[inline(never)]
    fn find_memory_violation(&self, address: usize, used: Use) -> Checked<()> {
        let irql = self.irql();
        let bad = |rule: String| access::bad_memory(address, irql, used != Use::Text, rule);
        let name = used.name();
        let Some(offset) = self.arena.offset(address) else {
            let access = if used == Use::Text { Access::Read } else { Access::Write };
            return match owner(address) {
                _ if address == 0 => Err(self.bad_access(0, access, false, 0)),
                Some(owner) => Err(bad(alloc::format!("{name} in {}", owner.describe()))),
                None => Ok(()),
            };
        };
        let kernel = self.kernel.borrow();
        let (state, block) = (self.arena.state(offset), kernel.pool.find(offset));
        let Some(block) = block else {
            return Err(bad(alloc::format!("{name} in pool memory outside of all blocks: pool+{offset:#x}")));
        };
        let (start, end) =
            (address - (offset - block.offset), address - (offset - block.offset) + block.size);
        let distance = offset - block.offset;
        let place = alloc::format!("block{}+{distance:#x} of {}", block.number, describe(self, block));
        match (state, used) {
            (Memory::Freed | Memory::Outside, Use::Dpc | Use::Timer) => {
                let kind = if used == Use::Dpc { Object::Dpc } else { Object::Timer };
                Err(timer_or_dpc::in_freed_memory(kind, address, &(start..end), name, place))
            }
            (Memory::Freed | Memory::Outside, _) => {
                Err(bad(alloc::format!("{name} in freed pool memory: {place}")))
            }
            (Memory::Paged, Use::Atomic | Use::Cell | Use::Rundown | Use::Text) if irql < 2 => Ok(()),
            (Memory::Paged, Use::Atomic | Use::Cell | Use::Rundown | Use::Text) => {
                Err(bad(alloc::format!("{name} in paged pool at DISPATCH_LEVEL or above: {place}")))
            }
            (Memory::Paged, _) => {
                Err(bad(alloc::format!("{name} in paged pool, not in non-paged memory: {place}")))
            }
            (Memory::Live, _) if distance + used.size() > block.size => {
                Err(bad(alloc::format!("{name} reaches beyond its block: {place}")))
            }
            _ => Ok(()),
        }
    }
}
