//! The virtual clock and the countdown to the next preemption point that is more than a decrement.
//!
//! Time is not stored but computed: every step is worth `step_time`, and `base` holds what was skipped. The countdown `left` is
//! granted in portions; at 0 the engine looks at everything that may be due (schedule, timers, limits) and grants anew.

use core::cell::Cell;

/// What is between two clock interrupts where nothing else is asked for, in 100-ns units: 64 a
/// second.
pub(crate) const TICK: u64 = 156_250;
/// More points than are ever granted but without any limit, where a look finds nothing to do.
const NEVER: u64 = u64::MAX;
/// A millisecond, in 100-ns units.
pub(crate) const MILLISECOND: u64 = 10_000;

/// The clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// Points left until the engine is to look.
    left: Cell<u64>,
    /// What `left` was when it was granted.
    granted: Cell<u64>,
    /// Steps before the grant.
    steps: Cell<u64>,
    /// Points, from the grant on, that the current processor may run before the schedule is asked; `u64::MAX`: it is alone.
    slice: Cell<u64>,
    /// The slice may end behind a call, too: see [`Clock::step_after`].
    early: Cell<bool>,
    /// The slice has ended because the running processor is alone no more.
    woken: Cell<bool>,
    /// What `left` is where a point behind a call looks: 0, or [`NEVER`].
    watched: Cell<u64>,
    /// Virtual time skipped by jumps, in 100-ns units.
    base: Cell<u64>,
    step_time: Cell<u64>,
    /// What is between two clock interrupts, in 100-ns units.
    tick: Cell<u64>,
    /// Ticks are at this time and every `tick` from it; none: not chosen yet.
    phase: Cell<Option<u64>>,
    /// What the system clock showed when the simulation began; less than nothing where it was set back far enough.
    system_base: Cell<i128>,
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
    }

    /// Counts a point; false where the engine has to look first.
    #[inline(always)]
    pub(crate) fn step(&self) -> bool {
        let left = self.left.get();
        if left == 0 {
            return false;
        }
        self.left.set(left - 1);
        true
    }

    /// Passes a point behind a call, which counts no step; false where the engine has to look
    /// first: the slice is used up, and may end here.
    #[inline(always)]
    pub(crate) fn step_after(&self) -> bool {
        self.left.get() != self.watched.get()
    }

    /// Passes a point before the return of a call-out, which counts no step; false where the engine
    /// has to look first: the grant is used up.
    #[inline(always)]
    pub(crate) fn step_return(&self) -> bool {
        self.left.get() != 0
    }

    /// Steps so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.get() + (self.granted.get() - self.left.get())
    }

    /// The steps, as [`Clock::steps`] has them; in the middle of a change it is some other number.
    pub(crate) fn progress(&self) -> u64 {
        self.steps.get().wrapping_add(self.granted.get().wrapping_sub(self.left.get()))
    }

    /// Virtual time in 100-ns units.
    pub(crate) fn now(&self) -> u64 {
        self.base.get().saturating_add(self.steps().saturating_mul(self.step_time.get()))
    }

    /// What the system clock shows.
    pub(crate) fn system_time(&self) -> u64 {
        u64::try_from(self.system_base.get() + i128::from(self.now())).unwrap_or(0)
    }

    /// Sets the system clock, which from then on goes as this one.
    pub(crate) fn set_system_time(&self, time: u64) {
        self.system_base.set(i128::from(time) - i128::from(self.now()));
    }

    /// The time by this clock at which the system clock shows `system`.
    pub(crate) fn time_of(&self, system: u64) -> u64 {
        let time = i128::from(system) - self.system_base.get();
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }

    /// Moves the clock on without a step.
    pub(crate) fn skip(&self, time: u64) {
        self.base.set(self.base.get().saturating_add(time));
    }

    /// Books what was used of the grant; nothing is left of it.
    pub(crate) fn settle(&self) {
        let used = self.granted.get() - self.left.get();
        self.steps.set(self.steps.get() + used);
        if self.slice.get() != u64::MAX {
            self.slice.set(self.slice.get().saturating_sub(used));
        }
        self.left.set(0);
        self.granted.set(0);
    }

    /// Counts the point at which the engine looks, after [`Clock::settle`]; true where the slice was used up before it.
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

    /// Grants points up to the slice's end, the step limit, or the virtual time `deadline`, whichever is first. Settled before.
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

    /// Points until the clock shows `time`.
    fn points_until(&self, time: u64) -> u64 {
        match (time.saturating_sub(self.now()), self.step_time.get()) {
            (0, _) => 0,
            (_, 0) => u64::MAX,
            (distance, step) => distance.div_ceil(step),
        }
    }

    /// What is left of the current grant, as virtual time.
    pub(crate) fn granted_time(&self) -> u64 {
        self.left.get().saturating_mul(self.step_time.get())
    }

    /// The rest of the slice, as of the last settling.
    pub(crate) fn slice(&self) -> u64 {
        self.slice.get()
    }

    /// So many points, and whether the slice may end behind the last call of it, or before the next
    /// one only. Settled before, and nothing is granted until [`Clock::grant`].
    pub(crate) fn set_slice(&self, points: u64, early: bool) {
        self.slice.set(points);
        self.early.set(early);
        self.watched.set(if early && points == 0 { 0 } else { NEVER });
        self.woken.set(false);
    }

    /// The running processor is alone no more: its slice ends here, or before the next call.
    pub(crate) fn end_slice(&self, early: bool) {
        self.set_slice(0, early);
        self.woken.set(true);
    }

    /// Whether the slice has ended because the running processor is alone no more.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.get()
    }

    /// What is between two clock interrupts, in 100-ns units: never 0.
    pub(crate) fn tick(&self) -> u64 {
        self.tick.get().max(1)
    }

    pub(crate) fn phase(&self) -> Option<u64> {
        self.phase.get()
    }

    pub(crate) fn set_phase(&self, phase: u64) {
        self.phase.set(Some(phase % self.tick()));
    }

    /// The last tick at or before `time`; 0 where there was none yet: the kernel was booted then.
    pub(crate) fn tick_before(&self, time: u64) -> u64 {
        let phase = self.phase.get().unwrap_or(0);
        match time.checked_sub(phase) {
            Some(since) => time - since % self.tick(),
            None => 0,
        }
    }

    /// The first tick at or after `time`.
    pub(crate) fn tick_at_or_after(&self, time: u64) -> u64 {
        let phase = self.phase.get().unwrap_or(0);
        match time.checked_sub(phase) {
            Some(since) => time.saturating_add((self.tick() - since % self.tick()) % self.tick()),
            None => phase,
        }
    }

    /// The first tick after `time`.
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
