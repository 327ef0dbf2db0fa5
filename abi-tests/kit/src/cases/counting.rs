//! Cases of C3, counting.

use ntcom_fuzz_model::{
    ops::{Out, Via},
    value::ValueKind,
};

use super::{
    states,
    steps::{END, PARK, PENDING, READY, plain},
};
use crate::{
    case::{Case, case},
    check, ensure,
    finding::Check,
    kit::Kit,
    need::Need,
    rule::Rule,
};

pub(super) const CASES: &[Case] = &[
    case(Rule::C3, "counts_say_zero_or_not", zero_or_not),
    case(Rule::C3, "counts_are_one_for_all_interfaces", one_for_all).needs(&[Need::Control]),
    case(Rule::C3, "the_last_release_answers_zero", last_release),
    case(Rule::C3, "the_last_release_frees", frees).needs(&[Need::Live]),
    case(Rule::C3, "overflow_fails_fast", overflow).needs(&[Need::Exhaust]).fails_fast(),
];

fn zero_or_not(kit: &Kit<'_>) -> Check {
    for (operation, ..) in states::every(kit, ValueKind::U8)? {
        for _ in 0..3 {
            check!(kit, C3, !kit.add_ref(operation, Via::Operation)?, "AddRef answers 0");
        }
        for _ in 0..3 {
            ensure!(
                C3,
                !kit.release(operation, Via::Operation)?,
                "Release answers 0 while the client has a reference"
            );
        }
    }
    Ok(())
}

fn one_for_all(kit: &Kit<'_>) -> Check {
    for (operation, ..) in states::every(kit, ValueKind::U8)? {
        check!(kit, C3, !kit.add_ref(operation, Via::Control)?, "AddRef answers 0");
        check!(kit, C3, !kit.add_ref(operation, Via::Operation)?, "AddRef answers 0");
        ensure!(
            C3,
            !kit.release(operation, Via::Operation)?,
            "Release answers 0 while the client has references"
        );
        ensure!(
            C3,
            !kit.release(operation, Via::Control)?,
            "Release answers 0 while the client has a reference"
        );
    }
    Ok(())
}

fn last_release(kit: &Kit<'_>) -> Check {
    for via in kit.vias().iter().copied() {
        // The second operation waits without a waker, because a waker would be a reference.
        let parked = kit.has_control().then_some(plain([PARK, END, END, END, END, END]));
        for script in parked.into_iter().chain([READY]) {
            let operation = kit.spawn(ValueKind::U64, script)?;
            kit.advance()?;
            if script != READY {
                kit.cancel(operation)?;
                kit.advance()?;
            }
            if kit.has_control() {
                // This makes the second interface known.
                kit.get_error(operation, Out::Given)?;
            }
            check!(
                kit,
                C3,
                kit.release(operation, via)?,
                "the last Release of an operation that has ended does not answer 0"
            );
        }
    }
    Ok(())
}

fn frees(kit: &Kit<'_>) -> Check {
    let first = kit.spawn(ValueKind::Aligned, READY)?;
    let second = kit.spawn(ValueKind::Page, READY)?;
    kit.advance()?;
    check!(kit, C3, kit.live() == Some(2), "two operations live, and there is memory for {:?}", kit.live());
    kit.release(first, Via::Operation)?;
    check!(kit, C3, kit.live() == Some(1), "one operation lives, and there is memory for {:?}", kit.live());
    kit.release(second, Via::Operation)?;
    check!(kit, C3, kit.live() == Some(0), "no operation lives, and there is memory for {:?}", kit.live());
    Ok(())
}

fn overflow(kit: &Kit<'_>) -> Check {
    let operation = kit.spawn(ValueKind::U8, PENDING)?;
    kit.advance()?;
    let this = kit.0.slot(operation, |slot| slot.operation);
    kit.0.trail.add("exhaust_references".to_owned());
    if let Some(exhaust) = kit.table().exhaust_references {
        // SAFETY: `this` is an operation, and the kit has a reference to it.
        unsafe { exhaust(this) };
    }
    kit.add_ref(operation, Via::Operation)?;
    Ok(())
}
