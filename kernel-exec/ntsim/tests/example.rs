//! The example finds its race.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests say what they mean, helpers too")]

use ntsim::{Schedule, Simulation};

#[path = "../examples/planted_race.rs"]
#[expect(dead_code, reason = "its main function is the example's")]
mod planted_race;

#[test]
fn the_race_of_the_example_is_found_and_replays() {
    let finding = planted_race::hunt().unwrap();
    let bug_check = finding.stop.bug_check().unwrap();
    assert_eq!((bug_check.code, bug_check.parameters[0]), (0xC4, 0x62), "{}", finding.stop);
    let mut kernel = Simulation::new(planted_race::MACHINE, Schedule::replay(finding.recording));
    planted_race::client(&mut kernel).unwrap_err();
    assert_eq!(kernel.trace(), &finding.trace);
}
