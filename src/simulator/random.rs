//! Chance that repeats: the same seed draws the same ids and the same failures.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::quirks::Ids;

/// A seeded source of numbers; good enough to annoy a client, and for nothing else.
#[derive(Clone, Debug)]
pub(super) struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        scatter(self.seed, self.drawn)
    }

    /// True in that many of a hundred draws.
    pub(super) fn happens(&mut self, percent: u64) -> bool {
        self.number() % 100 < percent
    }

    pub(super) fn hex(&mut self, digits: usize) -> String {
        format!("{:016x}{:016x}", self.number(), self.number()).chars().take(digits).collect()
    }

    pub(super) fn id(&mut self, form: Ids) -> String {
        match form {
            Ids::Auth0Pipe => format!("auth0|{}", self.hex(24)),
            Ids::Uuid => {
                let (a, b) = (self.number(), self.number());
                let (node, variant) = (b & 0xffff_ffff_ffff, (b >> 48) & 0xfff);
                format!(
                    "{:08x}-{:04x}-4{:03x}-8{variant:03x}-{node:012x}",
                    a >> 32,
                    (a >> 16) & 0xffff,
                    a & 0xfff
                )
            }
            Ids::Nasty => format!("n|a/s?t#y%2F +{}", self.hex(12)),
        }
    }
}

/// A number that depends on both and looks like neither.
pub(super) fn scatter(seed: u64, item: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, item).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let ids = |seed| {
            let mut random = Random::new(seed);
            [Ids::Auth0Pipe, Ids::Uuid, Ids::Nasty].map(|form| random.id(form))
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
    }

    #[test]
    fn a_draw_is_as_likely_as_asked() {
        let mut random = Random::new(3);
        let hits = (0..10_000).filter(|_| random.happens(20)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| !random.happens(0) && random.happens(100)));
    }
}
