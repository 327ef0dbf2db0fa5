//! A client that gives up its operation in the completion handler, and makes another one there.

use core::{ffi::c_void, ptr};

use ntcom::{NTSTATUS, RawAsyncStatus};
use ntcom_fuzz_model::{
    answer::{Answer, OutValue},
    ops::Handler,
    script::{Script, Shape},
};

use crate::{
    client::{answered, control_table, releases, set_completed, slot},
    finding::Finding,
    kit::Kit,
    rule::Rule,
    world::{self, CaseWorld},
};

/// `set_completed`, with a handler that releases the client's own reference and then makes another
/// operation of the kind, with a handler.
///
/// If that reference was the last, the new operation is usually in the memory block of the old one.
pub(crate) fn set_replacing(world: &CaseWorld, operation: usize) -> Result<Answer, Finding> {
    let (this, table) = control_table(world, operation)?;
    let set_completed = slot(table.set_completed, Rule::C14, "set_completed")?;
    world.slot(operation, |slot| slot.lent = true);
    let context = ptr::without_provenance_mut(operation + 1);
    let what =
        format!("set_completed of operation {operation}, with a handler that releases and makes another");
    world.trail.add(what);
    // The handler makes an operation meanwhile, so allocations are not checked.
    //
    // SAFETY: the caller has a reference, which is the handler's from now on.
    let status = world.during("set_completed", || unsafe { set_completed(this, Some(replaces), context) });
    if status == NTSTATUS::SUCCESS {
        world.slot(operation, |slot| slot.handler = true);
    } else {
        world.slot(operation, |slot| slot.lent = false);
    }
    Ok(Answer { status: answered(world, status).to_u32(), out: OutValue::None })
}

/// A completion handler that releases its reference, and then makes another operation in its place.
unsafe extern "system" fn replaces(context: *mut c_void, status: RawAsyncStatus) {
    // SAFETY: the caller passes the context and status that the library passed.
    unsafe { releases(context, status) };
    world::with(|world| {
        let operation = context.addr().wrapping_sub(1);
        let Some(kind) = world.try_slot(operation, |slot| slot.kind) else { return };
        let made = Kit(world).spawn(kind, REPLACING);
        let set = made.and_then(|operation| set_completed(world, operation, Handler::Records));
        if let Err(finding) = set {
            world.find(finding);
        }
    });
}

/// The body of an operation that is made in the place of another. It waits for a waker that it
/// gives away.
const REPLACING: Script = Script { shape: Shape::Plain, steps: [4, 7, 0, 0, 0, 0] };
