//! Tests that the miniport example works, and leaves nothing.
#![allow(clippy::unwrap_used, reason = "tests say what they mean, helpers of tests too")]

mod common;
#[path = "../examples/miniport.rs"]
#[expect(dead_code, reason = "its main function is the example's")]
mod miniport;

#[test]
fn a_port_driver_uses_a_miniport_and_nothing_is_left() {
    common::in_kernel(|| {
        miniport::port_driver();
        assert_eq!(ntsim::counters().live_blocks, 0);
    });
}
