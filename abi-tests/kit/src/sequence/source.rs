//! The sources of sequences.

use ntcom_fuzz_model::{
    input::VtableInput,
    mutate::{Random, mutate},
};

/// A source of sequences.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Inputs of the target `vtable`.
    pub corpus: Vec<Vec<u8>>,
    /// The generator's seed.
    pub seed: u64,
}

impl Source {
    /// The bytes of a sequence. The corpus comes first, and then sequences made from the seed.
    #[must_use]
    pub fn bytes(&self, number: u64) -> Vec<u8> {
        if let Some(input) = self.corpus.get(number as usize) {
            return input.clone();
        }
        let mut random = Random(self.seed.wrapping_add(number));
        let mut data = vec![0; 400];
        let mut size = 0;
        // Every other sequence begins with an input of the corpus, which is known to reach far.
        if !self.corpus.is_empty() && number.is_multiple_of(2) {
            let from = &self.corpus[random.number() as usize % self.corpus.len()];
            size = from.len().min(data.len() / 4 * 4);
            data[..size].copy_from_slice(&from[..size]);
        }
        for _ in 0..8 + random.number() % 64 {
            let length = data.len();
            size =
                mutate::<VtableInput>(&mut data, size, length, random.number() as u32, |bytes, size, _| {
                    if let Some(byte) = bytes[..size].first_mut() {
                        *byte ^= 0x55;
                    }
                    size
                });
        }
        data.truncate(size);
        data
    }
}
