//! Features that a clause needs and that a library may lack.

use crate::table::{Table, shape};

/// The features that a library offers.
#[derive(Clone, Copy, Debug)]
pub struct Offers {
    /// The library's table.
    pub table: Table,
    /// Whether the operations of the library have IAsyncControl.
    pub controls: bool,
}

/// A feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Operations with IAsyncControl.
    Control,
    /// Operations that a client can cancel.
    Cancel,
    /// Bodies of this shape.
    Shape(u32),
    /// Bodies that fail.
    Fails,
    /// Bodies that raise.
    Raises,
    /// Cancel handles.
    Handles,
    /// Memory that can be made to fail.
    NoMemory,
    /// The number of live operations.
    Live,
    /// The number of allocations.
    Allocations,
    /// The IRQL.
    Irql,
    /// A reference count that can be set to its maximum.
    Exhaust,
    /// Objects with methods.
    Objects,
    /// An unloading provider.
    Close,
    /// Cancelling all.
    CancelAll,
    /// Waiting for the end of all.
    Drain,
    /// A client that distrusts its provider.
    Client,
    /// That client's view of a status.
    ClientStatus,
    /// That client's view of an object.
    ClientQuery,
    /// Spawning without an executor.
    NoExecutor,
    /// PASSIVE_LEVEL.
    Passive,
    /// Bodies at PASSIVE_LEVEL.
    PassiveBodies,
    /// A drain by a body.
    DrainInBody,
    /// Several threads at once.
    Threads,
    /// Several threads, one at a time, in a repeatable order.
    Turns,
}

impl Need {
    /// Whether the library offers it.
    #[must_use]
    pub fn is_met(self, Offers { table, controls }: Offers) -> bool {
        match self {
            Self::Control => controls,
            Self::Cancel => controls || Self::Handles.is_met(Offers { table, controls }),
            Self::Shape(bits) => table.shapes & bits == bits,
            Self::Fails => table.fails != 0,
            Self::Raises => table.raises != 0,
            Self::Handles => {
                table.handle_cancel.is_some() && table.handle_clone.is_some() && table.handle_drop.is_some()
            }
            Self::NoMemory => table.fail_next_allocation.is_some(),
            Self::Live => table.live_operations.is_some(),
            Self::Allocations => table.allocations.is_some(),
            Self::Irql => table.irql.is_some(),
            Self::Exhaust => table.exhaust_references.is_some(),
            Self::Objects => table.object.is_some() && table.object_spawn.is_some(),
            Self::Close => table.close.is_some(),
            Self::CancelAll => table.cancel_all.is_some(),
            Self::Drain => table.drain.is_some(),
            Self::Client => table.client_result.is_some(),
            Self::ClientStatus => table.client_status.is_some(),
            Self::ClientQuery => table.client_query.is_some(),
            Self::NoExecutor => table.spawn_without_executor.is_some(),
            Self::Threads => table.threads != 0,
            Self::Turns => table.threads != 0 && (table.run_in_turn.is_some() || table.yield_with.is_some()),
            Self::Passive => table.at_passive_level.is_some(),
            Self::PassiveBodies => table.spawn_passive.is_some(),
            Self::DrainInBody => table.spawn_passive.is_some() && table.drain_in_body.is_some(),
        }
    }

    /// The member that the table would need.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Control => "IAsyncControl",
            Self::Cancel => "IAsyncControl or cancel handles",
            Self::Shape(shape::TRY_FINALLY) => "shapes: NTCOM_KIT_TRY_FINALLY",
            Self::Shape(shape::ON_CANCEL) => "shapes: NTCOM_KIT_ON_CANCEL",
            Self::Shape(shape::NESTED) => "shapes: NTCOM_KIT_NESTED",
            Self::Shape(shape::JOIN) => "shapes: NTCOM_KIT_JOIN",
            Self::Shape(_) => "shapes: NTCOM_KIT_PLAIN",
            Self::Fails => "fails",
            Self::Raises => "raises",
            Self::Handles => "handle_cancel, handle_clone, handle_drop",
            Self::NoMemory => "fail_next_allocation",
            Self::Live => "live_operations",
            Self::Allocations => "allocations",
            Self::Irql => "irql",
            Self::Exhaust => "exhaust_references",
            Self::Objects => "object, object_spawn",
            Self::Close => "close",
            Self::CancelAll => "cancel_all",
            Self::Drain => "drain",
            Self::Client => "client_result",
            Self::ClientStatus => "client_status",
            Self::ClientQuery => "client_query",
            Self::NoExecutor => "spawn_without_executor",
            Self::Threads => "threads",
            Self::Turns => "threads with run_in_turn or yield_with",
            Self::Passive => "at_passive_level",
            Self::PassiveBodies => "spawn_passive",
            Self::DrainInBody => "spawn_passive, drain_in_body",
        }
    }
}

/// The first of some needs that the library does not meet.
#[must_use]
pub fn first_missing(needs: &[Need], offers: Offers) -> Option<Need> {
    needs.iter().copied().find(|need| !need.is_met(offers))
}
