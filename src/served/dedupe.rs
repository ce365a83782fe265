//! Which requests were seen: 8 bytes for each place in a table of hashes, whatever the length of an ID.

use std::hash::{BuildHasher, RandomState};

use parking_lot::Mutex;

/// Tables, so that threads seldom wait for each other. The upper bits of a hash choose one.
const SHARDS: usize = 1 << SHARD_BITS;
const SHARD_BITS: u32 = 7;
/// Places of a table at first.
const PLACES: usize = 64;

const WITH_REGION: u64 = 1;
const WITH_TOKENS: u64 = 2;
const FLAGS: u64 = WITH_REGION | WITH_TOKENS;

/// Records of a batch. A batch is looked up in one table, so that its lookups share pages of memory and a lock, and the processor
/// waits for several of them at once: of 5 million requests that halves the time for duplicates.
const BATCH: usize = 16;

/// What is known of a request when a record of it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// This is its first record, or records are not remembered.
    First,
    /// There was a record of it.
    Again {
        /// Whether this record is the first one that says where the request was served.
        brings_region: bool,
        /// Whether it is the first one that counts tokens.
        brings_tokens: bool,
    },
    /// This is its first record, or one that was not remembered: no more are.
    NotRemembered,
}

/// The requests that were seen, by a hash of 62 bits of their IDs, keyed at random: nobody can make IDs that collide. Of 10 million
/// requests the chance that any two collide is 1 in 90,000.
#[derive(Debug)]
pub struct Seen {
    hasher: RandomState,
    tables: Box<[Mutex<Table>]>,
}

#[derive(Debug, Default)]
struct Table {
    /// A hash with two flags, or 0.
    places: Vec<u64>,
    used: usize,
    most: usize,
}

impl Seen {
    /// Returns a memory of at most `most` requests, or a few more.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let most = usize::try_from(most.div_ceil(SHARDS as u64)).unwrap_or(usize::MAX);
        let table = || Table {
            most,
            ..Table::default()
        };
        Self {
            hasher: RandomState::new(),
            tables: (0..SHARDS).map(|_| Mutex::new(table())).collect(),
        }
    }

    /// Notes a record of a request, which has a region and tokens, or not.
    pub(super) fn see(&self, id: &[u8], has: (bool, bool)) -> Sight {
        let hash = self.hash(id, has);
        self.tables[shard(hash)].lock().see(hash)
    }

    /// Returns the hash of an ID with its flags.
    fn hash(&self, id: &[u8], (has_region, has_tokens): (bool, bool)) -> u64 {
        let flags = u64::from(has_region) * WITH_REGION + u64::from(has_tokens) * WITH_TOKENS;
        // 0 stands for a free place.
        (self.hasher.hash_one(id) & !FLAGS).max(FLAGS + 1) | flags
    }
}

fn shard(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

/// Records that wait until a batch of them is looked up, each with what is to be counted of it.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    batches: Box<[Vec<(u64, T)>]>,
}

impl<T> Waiting<T> {
    pub(super) fn new() -> Self {
        Self {
            batches: (0..SHARDS).map(|_| Vec::new()).collect(),
        }
    }

    /// Adds a record. Where that fills a batch, hands each record of it to `settle`.
    pub(super) fn add(
        &mut self,
        seen: &Seen,
        id: &[u8],
        has: (bool, bool),
        value: T,
        settle: impl FnMut(Sight, &T),
    ) {
        let hash = seen.hash(id, has);
        let batch = &mut self.batches[shard(hash)];
        if batch.capacity() == 0 {
            batch.reserve_exact(BATCH);
        }
        batch.push((hash, value));
        if batch.len() == BATCH {
            Self::look_up(seen, shard(hash), batch, settle);
        }
    }

    /// Hands every record that waits to `settle`.
    pub(super) fn finish(&mut self, seen: &Seen, mut settle: impl FnMut(Sight, &T)) {
        for (shard, batch) in self.batches.iter_mut().enumerate() {
            Self::look_up(seen, shard, batch, &mut settle);
        }
    }

    fn look_up(
        seen: &Seen,
        shard: usize,
        batch: &mut Vec<(u64, T)>,
        mut settle: impl FnMut(Sight, &T),
    ) {
        let mut table = seen.tables[shard].lock();
        table.prefetch(batch.iter().map(|(hash, _)| *hash));
        for (hash, value) in &*batch {
            settle(table.see(*hash), value);
        }
        batch.clear();
    }
}

impl Table {
    /// Reads where the searches for hashes begin, none of which depends on another one.
    fn prefetch(&self, hashes: impl Iterator<Item = u64>) {
        if !self.places.is_empty() {
            let read = hashes.fold(0, |read, hash| read ^ self.places[self.home(hash)]);
            std::hint::black_box(read);
        }
    }

    fn see(&mut self, hash_and_flags: u64) -> Sight {
        let (hash, flags) = (hash_and_flags & !FLAGS, hash_and_flags & FLAGS);
        if self.places.is_empty() {
            self.places = vec![0; PLACES];
        }
        let mut at = self.home(hash);
        loop {
            let place = &mut self.places[at];
            if *place == 0 {
                break;
            }
            if *place & !FLAGS == hash {
                let brings = flags & !*place;
                *place |= flags;
                return Sight::Again {
                    brings_region: brings & WITH_REGION != 0,
                    brings_tokens: brings & WITH_TOKENS != 0,
                };
            }
            at = if at + 1 == self.places.len() {
                0
            } else {
                at + 1
            };
        }
        if self.used == self.most {
            return Sight::NotRemembered;
        }
        if self.used >= self.places.len() / 4 * 3 {
            self.grow();
            at = self.free(hash);
        }
        self.places[at] = hash | flags;
        self.used += 1;
        Sight::First
    }

    /// Returns where the search for a hash begins: the share of the table that the hash, less the bits that chose the table, has of
    /// all hashes. Any number of places will do.
    fn home(&self, hash: u64) -> usize {
        let share = u128::from(hash << SHARD_BITS) * self.places.len() as u128;
        // Less than the number of places.
        usize::try_from(share >> u64::BITS).unwrap_or_default()
    }

    fn free(&self, hash: u64) -> usize {
        let mut at = self.home(hash);
        while self.places[at] != 0 {
            at = if at + 1 == self.places.len() {
                0
            } else {
                at + 1
            };
        }
        at
    }

    /// Adds half of the places, so that from a half to three quarters of them are used: fuller tables take long to search.
    fn grow(&mut self) {
        let places = vec![0; self.places.len() / 2 * 3];
        for hash in std::mem::replace(&mut self.places, places) {
            if hash != 0 {
                let at = self.free(hash);
                self.places[at] = hash;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_new_once() {
        let seen = Seen::new(u64::MAX);
        let id = |n: u32| n.to_be_bytes();
        for n in 0..100_000 {
            assert_eq!(seen.see(&id(n), (n % 2 == 0, n % 3 == 0)), Sight::First);
        }
        for n in 0..100_000 {
            let again = Sight::Again {
                brings_region: n % 2 != 0,
                brings_tokens: n % 3 != 0,
            };
            assert_eq!(seen.see(&id(n), (true, true)), again, "{n}");
            let nothing = Sight::Again {
                brings_region: false,
                brings_tokens: false,
            };
            assert_eq!(seen.see(&id(n), (true, true)), nothing, "{n}");
        }
        let places: usize = seen.tables.iter().map(|it| it.lock().places.len()).sum();
        assert!(places <= 200_000, "{places} places of 8 bytes");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let seen = Seen::new(1000);
        let sights: Vec<Sight> = (0..100_000_u32)
            .map(|n| seen.see(&n.to_be_bytes(), (true, true)))
            .collect();
        let remembered = sights.iter().filter(|it| **it == Sight::First).count();
        assert!((1000..=1100).contains(&remembered), "{remembered}");
        let rest = sights.iter().filter(|it| **it == Sight::NotRemembered);
        assert_eq!(rest.count(), 100_000 - remembered);
    }
}
