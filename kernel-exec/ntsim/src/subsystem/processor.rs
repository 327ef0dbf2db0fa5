//! Numbers processors by groups.

use crate::{
    engine::machine::Machine,
    types::{ALL_PROCESSOR_GROUPS, PROCESSOR_NUMBER, USHORT},
};

/// Returns a processor's group and its number in that group.
pub(crate) fn number(machine: &Machine, index: usize) -> PROCESSOR_NUMBER {
    let size = machine.config.get().group_size;
    PROCESSOR_NUMBER { Group: (index / size) as USHORT, Number: (index % size) as u8, Reserved: 0 }
}

/// Returns the index of the processor with this group and number, if there is one.
pub(crate) fn index(machine: &Machine, number: PROCESSOR_NUMBER) -> Option<usize> {
    let size = machine.config.get().group_size;
    let index = usize::from(number.Group) * size + usize::from(number.Number);
    let fits = usize::from(number.Number) < size && number.Reserved == 0 && index < machine.count();
    fits.then_some(index)
}

/// Returns the number of groups.
pub(crate) fn groups(machine: &Machine) -> usize {
    machine.count().div_ceil(machine.config.get().group_size)
}

/// Returns the number of processors in a group, or in all groups.
pub(crate) fn count_in(machine: &Machine, group: USHORT) -> usize {
    let size = machine.config.get().group_size;
    match usize::from(group) {
        _ if group == ALL_PROCESSOR_GROUPS => machine.count(),
        group => machine.count().saturating_sub(group * size).min(size),
    }
}
