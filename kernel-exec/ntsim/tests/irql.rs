//! IRQL rules (learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keraiseirql,
//! `nf-wdm-kelowerirql`), and the highest IRQL of each DDI.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_imports,
    reason = "tests say what they mean, helpers too"
)]

mod common;

use common::*;

#[test]
fn raising_returns_the_level_before() {
    fine(|| {
        assert_eq!((current_irql(), ntsim::irql()), (0, 0));
        assert_eq!(raise(1), 0);
        assert_eq!(raise_to_dpc_level(), 1);
        assert_eq!(raise(2), 2, "to the same level");
        assert_eq!(raise(15), 2);
        lower(2);
        lower(2);
        lower(1);
        assert_eq!(current_irql(), 1);
        lower(0);
    });
}

#[test]
fn raising_to_a_lower_level_is_a_bug_check() {
    let bug = bug(|| {
        raise(5);
        raise(2);
    });
    assert_eq!((bug.code, bug.parameters, bug.irql), (0xC4, [0x30, 5, 2, 0], 5));
    assert_eq!(code(|| _ = (raise(15), raise_to_dpc_level())), (0xC4, 0x30));
    assert_eq!(code(|| _ = raise(16)), (0xC4, 0x30));
}

#[test]
fn lowering_to_a_higher_level_is_a_bug_check() {
    assert_eq!(bug(|| lower(1)).parameters, [0x31, 0, 1, 0]);
    assert_eq!(code(|| lower(1)), (0xC4, 0x31));
}

#[test]
fn a_program_that_returns_at_raised_irql_is_a_bug_check() {
    assert_eq!(code(|| _ = raise(2)), (0xC8, 2 << 16 | 2));
}

#[test]
fn timers_are_for_dispatch_level_and_below() {
    let at = |irql: u8| {
        move || {
            let timer = Timer::new();
            let before = raise(irql);
            timer.set(-1, None);
            timer.signalled();
            timer.cancel();
            lower(before);
            timer.free();
        }
    };
    fine(at(2));
    let bug = bug(at(3));
    assert_eq!((bug.code, bug.parameters), (0xC4, [0xE5, 3, 0, 0]));
    assert!(bug.rule.contains("KeSetTimer was called at IRQL 3, not ≤ DISPATCH_LEVEL"), "{}", bug.rule);
    let initialise = || {
        let timer = Timer(object());
        raise(3);
        timer.initialize();
    };
    assert_eq!(code(initialise), (0xC4, 0xE5));
    let cancel = || {
        let timer = Timer::new();
        raise(3);
        timer.cancel();
    };
    assert_eq!(code(cancel), (0xC4, 0xE5));
}

#[test]
fn dpcs_are_for_every_irql() {
    fine(|| {
        let storage = Dpc::new(|| ());
        let before = raise(15);
        storage.initialize();
        assert!(storage.insert());
        assert!(storage.remove());
        storage.importance(2).target(0);
        interrupt_time();
        processor_number();
        lower(before);
        storage.free();
    });
}

#[test]
fn processors_have_an_irql_each() {
    use ntsim::{Schedule, Simulation};
    for seed in 0..20 {
        let mut kernel = Simulation::new(processors(2), Schedule::seed(seed));
        let at = |level: u8| {
            program(move || {
                let before = raise(level);
                for _ in 0..10 {
                    assert_eq!(current_irql(), level);
                }
                lower(before);
            })
        };
        kernel.programs().on(0, at(2)).on(1, at(7)).run().unwrap();
    }
}
