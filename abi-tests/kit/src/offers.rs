//! The features that a library offers. The table names most of them, and an operation tells whether
//! it has IAsyncControl.

use ntcom_fuzz_model::{ops::Via, script::STEPS, value::ValueKind};

use crate::{load::Loaded, need::Offers, program::run_program, world};

/// The features that a library offers. The first call asks an operation for IAsyncControl.
pub(crate) fn offers(library: &Loaded) -> Offers {
    let controls = *library.controls.get_or_init(|| has_control(library));
    world::with(|world| world.controls.set(controls));
    Offers { table: library.table, controls }
}

/// Whether a library's operations have IAsyncControl. Without a clear answer the kit assumes it,
/// and the cases judge it.
fn has_control(library: &Loaded) -> bool {
    let answer = core::cell::Cell::new(true);
    // The cases find the same breaches.
    let _ended = run_program(library, &|kit| {
        let operation = kit.spawn(ValueKind::U8, world::plain([0; STEPS]))?;
        answer.set(kit.asks_for_control(operation)?);
        kit.advance()?;
        kit.release(operation, Via::Operation)?;
        kit.advance()
    });
    answer.get()
}
