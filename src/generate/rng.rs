//! The generator's own random numbers: the same on every machine and in every build.

/// A splitmix64 stream (S. Vigna, public domain algorithm): tiny, seedable, good enough for traffic.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

/// The odd constant by which splitmix64 moves on: 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// The stream numbered `stream` of a seed; streams of one seed have nothing in common.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut root = Self(seed);
        let mut rng = Self(root.next_u64() ^ stream.wrapping_mul(STEP));
        rng.next_u64();
        rng
    }

    /// A stream of its own that starts from here.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next_u64())
    }

    /// Any 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`; 0 for a count of 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        let wide = u128::from(self.next_u64()) * count as u128;
        // The upper half of a 64-bit number times a usize is below that usize.
        (wide >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let count = usize::try_from(high - low + 1).unwrap_or(0);
        low + i64::try_from(self.below(count)).unwrap_or(0)
    }

    /// A number below `count` that is more often small than large: the popular ones come first.
    pub(super) fn popular(&mut self, count: usize) -> usize {
        self.below(count).min(self.below(count))
    }

    /// True `per_mille` times in a thousand.
    pub(super) fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of a list that is not empty.
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// An index, as often as its weight says.
    pub(super) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut at = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if at < *weight {
                return index;
            }
            at -= weight;
        }
        weights.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_range_and_reach_both_ends() {
        let mut rng = Rng::new(1, 2);
        let drawn: Vec<i64> = (0..1_000).map(|_| rng.between(-2, 2)).collect();
        assert_eq!(drawn.iter().min(), Some(&-2));
        assert_eq!(drawn.iter().max(), Some(&2));
        assert_eq!(rng.below(0), 0);
        let heavy = (0..1_000).filter(|_| rng.weighted(&[1, 9]) == 1).count();
        assert!((850..950).contains(&heavy), "{heavy}");
    }

    #[test]
    fn the_stream_is_splitmix64() {
        // First outputs for seed 0 of the reference implementation.
        let mut rng = Rng(0);
        assert_eq!(rng.next_u64(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.next_u64(), 0x6e78_9e6a_a1b9_65f4);
    }
}
