//! The virtual clock and the countdown to the next preemption point that needs the engine.
//!
//! Time is computed, not stored. Each step adds `step_time`, and `base` holds the skipped time.
//! The countdown `left` is granted in portions. At 0 the engine checks everything that may be due
//! (schedule, timers, limits) and grants a new portion.

use core::cell::Cell;

/// The default time between two clock interrupts, in 100-ns units: 64 interrupts a second.
pub(crate) const TICK: u64 = 156_250;
/// A number of points that is never granted, unless there is no limit at all, where the engine has
/// nothing to do.
const NEVER: u64 = u64::MAX;
/// A millisecond, in 100-ns units.
pub(crate) const MILLISECOND: u64 = 10_000;

/// The virtual clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Points left until the engine must check.
    left: Cell<u64>,
    /// The value of `left` when it was granted.
    granted: Cell<u64>,
    /// Steps before the grant.
    steps: Cell<u64>,
    /// Points, from the grant on, that the current processor may run before the schedule is asked;
    /// `u64::MAX` if it is the only one that can run.
    slice: Cell<u64>,
    /// Whether the slice may also end after a call; see [`Clock::step_after`].
    early: Cell<bool>,
    /// Whether the slice has ended because another processor can run.
    woken: Cell<bool>,
    /// The value of `left` at which a point after a call enters the engine: 0, or [`NEVER`].
    watched: Cell<u64>,
    /// Virtual time skipped by jumps, in 100-ns units.
    base: Cell<u64>,
    step_time: Cell<u64>,
    /// The time between two clock interrupts, in 100-ns units.
    tick: Cell<u64>,
    /// The time of the first tick; one follows every `tick`. None means that it is not chosen yet.
    phase: Cell<Option<u64>>,
    /// The system time when the simulation began. It is negative if the system clock was set back
    /// far enough.
    system_base: Cell<i128>,
    /// How often the clock has jumped to a timer so far.
    jumps: Cell<u64>,
    /// The time at which the clock first jumped after all programs of the run had ended.
    pub(crate) quiet_since: Cell<Option<u64>>,
}

impl Clock {
    pub(crate) fn reset(&self, step_time: u64, tick: u64) {
        self.system_base.set(0);
        self.left.set(0);
        self.granted.set(0);
        self.steps.set(0);
        self.slice.set(0);
        self.early.set(false);
        self.woken.set(false);
        self.watched.set(NEVER);
        self.base.set(0);
        self.step_time.set(step_time);
        self.tick.set(tick);
        self.phase.set(None);
        self.jumps.set(0);
        self.quiet_since.set(None);
    }

    /// Returns how often the clock has jumped to a timer so far.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps.get()
    }

    /// Counts a jump to a timer.
    pub(crate) fn count_jump(&self) {
        self.jumps.set(self.jumps.get() + 1);
    }

    /// Counts a point. Returns false if the engine must check first.
    #[inline(always)]
    pub(crate) fn step(&self) -> bool {
        let left = self.left.get();
        if left == 0 {
            return false;
        }
        self.left.set(left - 1);
        true
    }

    /// Passes a point after a call, which counts no step. Returns false if the engine must check
    /// first, because the slice is used up and may end here.
    #[inline(always)]
    pub(crate) fn step_after(&self) -> bool {
        self.left.get() != self.watched.get()
    }

    /// Passes a point before the return of a call-out, which counts no step. Returns false if the
    /// engine must check first, because the grant is used up.
    #[inline(always)]
    pub(crate) fn step_return(&self) -> bool {
        self.left.get() != 0
    }

    /// Returns the number of steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get() + (self.granted.get() - self.left.get())
    }

    /// Returns the steps like [`Clock::steps`]. In the middle of a change the number may be wrong.
    pub(crate) fn progress(&self) -> u64 {
        self.steps.get().wrapping_add(self.granted.get().wrapping_sub(self.left.get()))
    }

    /// Returns the virtual time in 100-ns units.
    pub(crate) fn now(&self) -> u64 {
        self.base.get().saturating_add(self.steps().saturating_mul(self.step_time.get()))
    }

    /// Returns the system time.
    pub(crate) fn system_time(&self) -> u64 {
        u64::try_from(self.system_base.get() + i128::from(self.now())).unwrap_or(0)
    }

    /// Sets the system clock, which from then on advances with this one.
    pub(crate) fn set_system_time(&self, time: u64) {
        self.system_base.set(i128::from(time) - i128::from(self.now()));
    }

    /// Returns the virtual time at which the system time is `system`.
    pub(crate) fn time_of(&self, system: u64) -> u64 {
        let time = i128::from(system) - self.system_base.get();
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }

    /// Advances the clock without a step.
    pub(crate) fn skip(&self, time: u64) {
        self.base.set(self.base.get().saturating_add(time));
    }

    /// Counts the used part of the grant as steps and ends the grant.
    pub(crate) fn settle(&self) {
        let used = self.granted.get() - self.left.get();
        self.steps.set(self.steps.get() + used);
        if self.slice.get() != u64::MAX {
            self.slice.set(self.slice.get().saturating_sub(used));
        }
        self.left.set(0);
        self.granted.set(0);
    }

    /// Counts the point at which the engine checks, after [`Clock::settle`]. Returns true if the
    /// slice was used up before it.
    pub(crate) fn step_slowly(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        match self.slice.get() {
            0 => true,
            u64::MAX => false,
            slice => {
                self.slice.set(slice - 1);
                false
            }
        }
    }

    /// Grants points up to the slice's end, the step limit, or the virtual time `deadline`,
    /// whichever is first. Requires [`Clock::settle`] before.
    pub(crate) fn grant(&self, step_limit: u64, deadline: Option<u64>) {
        let mut points = self.slice.get().min(step_limit.saturating_sub(self.steps.get()));
        if let Some(deadline) = deadline {
            points = points.min(self.points_until(deadline).saturating_sub(1));
        }
        self.left.set(points);
        self.granted.set(points);
        let may_end = self.early.get() && points == self.slice.get();
        self.watched.set(if may_end { 0 } else { NEVER });
    }

    /// Returns the number of points until the clock reaches `time`.
    fn points_until(&self, time: u64) -> u64 {
        match (time.saturating_sub(self.now()), self.step_time.get()) {
            (0, _) => 0,
            (_, 0) => u64::MAX,
            (distance, step) => distance.div_ceil(step),
        }
    }

    /// Returns the rest of the current grant as virtual time.
    pub(crate) fn granted_time(&self) -> u64 {
        self.left.get().saturating_mul(self.step_time.get())
    }

    /// Returns the rest of the slice, as of the last [`Clock::settle`].
    pub(crate) fn slice(&self) -> u64 {
        self.slice.get()
    }

    /// Sets a slice of `points`. With `early` it may end after its last call; otherwise it ends
    /// before the next one only. Requires [`Clock::settle`] before, and nothing is granted until
    /// [`Clock::grant`].
    pub(crate) fn set_slice(&self, points: u64, early: bool) {
        self.slice.set(points);
        self.early.set(early);
        self.watched.set(if early && points == 0 { 0 } else { NEVER });
        self.woken.set(false);
    }

    /// Ends the slice here, or before the next call, because another processor can run.
    pub(crate) fn end_slice(&self, early: bool) {
        self.set_slice(0, early);
        self.woken.set(true);
    }

    /// Returns whether the slice has ended because another processor can run.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.get()
    }

    /// Returns the time between two clock interrupts, in 100-ns units. It is never 0.
    pub(crate) fn tick(&self) -> u64 {
        self.tick.get().max(1)
    }

    pub(crate) fn phase(&self) -> Option<u64> {
        self.phase.get()
    }

    pub(crate) fn set_phase(&self, phase: u64) {
        self.phase.set(Some(phase % self.tick()));
    }

    /// Returns the last tick at or before `time`, or 0, the kernel's boot, if there was none yet.
    pub(crate) fn tick_before(&self, time: u64) -> u64 {
        let phase = self.phase.get().unwrap_or(0);
        match time.checked_sub(phase) {
            Some(since) => time - since % self.tick(),
            None => 0,
        }
    }

    /// Returns the first tick at or after `time`.
    pub(crate) fn tick_at_or_after(&self, time: u64) -> u64 {
        let phase = self.phase.get().unwrap_or(0);
        match time.checked_sub(phase) {
            Some(since) => time.saturating_add((self.tick() - since % self.tick()) % self.tick()),
            None => phase,
        }
    }

    /// Returns the first tick after `time`.
    pub(crate) fn tick_after(&self, time: u64) -> u64 {
        self.tick_at_or_after(time.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, TICK};

    #[test]
    fn ticks_are_a_period_apart_from_the_phase_on() {
        let clock = Clock::default();
        clock.reset(1, TICK);
        clock.set_phase(10);
        assert_eq!(clock.tick_before(9), 0);
        assert_eq!(clock.tick_before(10), 10);
        assert_eq!(clock.tick_before(TICK + 11), TICK + 10);
        assert_eq!(clock.tick_at_or_after(3), 10);
        assert_eq!(clock.tick_at_or_after(10), 10);
        assert_eq!(clock.tick_after(10), TICK + 10);
    }

    #[test]
    fn a_grant_ends_at_the_first_of_slice_limit_and_deadline() {
        let clock = Clock::default();
        clock.reset(10, TICK);
        clock.set_slice(100, false);
        clock.grant(1000, Some(55));
        assert_eq!(clock.granted_time(), 50, "five steps; the sixth shows 60");
        for _ in 0..5 {
            assert!(clock.step());
        }
        assert!(!clock.step());
        assert_eq!(clock.now(), 50);
        clock.settle();
        assert!(!clock.step_slowly());
        assert_eq!(clock.now(), 60);
        assert_eq!(clock.slice(), 94);
        clock.grant(8, None);
        assert_eq!(clock.granted_time(), 20);
    }

    #[test]
    fn a_slice_that_may_end_early_ends_behind_its_last_call() {
        let clock = Clock::default();
        clock.reset(1, TICK);
        for (early, passes) in [(false, true), (true, false)] {
            clock.set_slice(1, early);
            clock.grant(1000, None);
            assert!(clock.step_after() && clock.step_return(), "a point is left");
            assert!(clock.step());
            assert_eq!(clock.step_after(), passes);
            assert!(!clock.step_return() && !clock.step(), "the slice is used up");
            clock.settle();
        }
        clock.set_slice(9, true);
        clock.grant(1000, Some(clock.now()));
        assert!(clock.step_after(), "what has to be looked at is the time");
    }
}
