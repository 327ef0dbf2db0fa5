//! Mutation of inputs by whole records. It copies, moves and removes records, makes new ones, and
//! keeps the magic of the header.

use crate::{
    input::Input,
    limits::{LONGEST, RECORD},
};

/// A small generator (splitmix64), with its seed.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit.max(1) as u64) as usize
    }
}

/// Mutates `data[..size]` in place, up to `max_size`, and returns the new size. `bytewise` is
/// libFuzzer's own mutation.
pub fn mutate<I: Input>(
    data: &mut [u8],
    size: usize,
    max_size: usize,
    seed: u32,
    bytewise: impl Fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let max_size = max_size.min(data.len());
    if max_size < I::HEADER + RECORD {
        return bytewise(data, size, max_size);
    }
    // libFuzzer provides one seed for each mutation.
    let mut random = Random(seed.into());
    let mut input = data[..size].to_vec();
    if I::check(&input).is_err() {
        input.clear();
        input.extend_from_slice(I::MAGIC);
    }
    input.resize(input.len().max(I::HEADER), 0);
    let mut records = input.split_off(I::HEADER);
    let room = ((max_size - I::HEADER) / RECORD).min(2 * LONGEST);
    for _ in 0..=random.below(3) {
        change(&mut records, room, &mut random, &bytewise);
    }
    // The header's bytes after its magic. The first two of four have a meaning.
    let beside = (I::HEADER - I::MAGIC.len()).min(2);
    if beside > 0 && random.below(8) == 0 {
        input[I::MAGIC.len() + random.below(beside)] = random.number() as u8;
    }
    records.truncate(room * RECORD);
    let size = I::HEADER + records.len();
    data[..I::HEADER].copy_from_slice(&input);
    data[I::HEADER..size].copy_from_slice(&records);
    size
}

fn change(
    records: &mut Vec<u8>,
    room: usize,
    random: &mut Random,
    bytewise: &impl Fn(&mut [u8], usize, usize) -> usize,
) {
    let count = records.len() / RECORD;
    let fresh = random.number().to_le_bytes();
    let at = random.below(count + 1) * RECORD;
    match random.below(12) {
        // Insert one new record, or two for a spawn.
        0..=3 if count < room => {
            let length = if random.below(4) == 0 { 2 * RECORD } else { RECORD };
            records.splice(at..at, fresh.iter().copied().take(length));
        }
        4 if count > 1 => {
            let from = random.below(count) * RECORD;
            records.drain(from..from + RECORD);
        }
        5 if count > 1 => {
            let (one, other) = (random.below(count) * RECORD, random.below(count) * RECORD);
            for byte in 0..RECORD {
                records.swap(one + byte, other + byte);
            }
        }
        6 | 7 if count > 0 && count < room => {
            let from = random.below(count);
            let length = (1 + random.below(4)).min(count - from).min(room - count);
            let copied = records[from * RECORD..(from + length) * RECORD].to_vec();
            records.splice(at..at, copied);
        }
        8 | 9 if count > 0 => {
            let byte = random.below(records.len());
            records[byte] = fresh[0];
        }
        10 if count > 0 => {
            // Move the record to another processor.
            let record = random.below(count) * RECORD;
            records[record] = records[record] & 63 | fresh[0] & 0xC0;
        }
        _ => {
            let length = records.len().min(room * RECORD);
            records.resize(room * RECORD, 0);
            let length = bytewise(records, length, room * RECORD).min(room * RECORD);
            records.truncate(length / RECORD * RECORD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::mutate;
    use crate::input::{Input, SchedulesInput, VtableInput};

    fn check<I: Input>(start: &[u8]) {
        let mut data = vec![0; 512];
        data[..start.len()].copy_from_slice(start);
        let mut size = start.len();
        for seed in 0..10_000 {
            size = mutate::<I>(&mut data, size, 512, seed, |bytes, size, _| {
                if let Some(byte) = bytes[..size].first_mut() {
                    *byte ^= 0x55;
                }
                size
            });
            assert!(I::decode(&data[..size]).is_ok(), "seed {seed}");
        }
        assert!(size > I::HEADER, "it grows");
    }

    #[test]
    fn whatever_comes_out_is_an_input() {
        check::<VtableInput>(b"");
        check::<VtableInput>(b"garbage");
        check::<SchedulesInput>(b"NTS2");
    }
}
