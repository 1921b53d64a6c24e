//! The runtime's heap profile: `runtime.mbuckets`, one bucket for each distinct stack and size.
//!
//! Buckets are pushed at the head of a list when they are complete, and never move or go away, so a
//! walk without a lock is safe. Their counters move under the reader: see [`read_records`].
//!
//! Source: `src/runtime/mprof.go`, go1.18 to go1.27.

use serde::{Deserialize, Serialize};

use std::sync::Arc;

use super::blocks::Blocks;
use super::facts::{Facts, ProfCycleFacts, RecordFacts};
use super::memory::{Memory, Unreadable};
use super::variables::Variables;

/// Most buckets that are followed: six times the 10 000 of the memory budget. More are counted.
pub const MAX_BUCKETS: usize = 65_536;
/// Most frames of a stack that are kept: what Go itself records by default (`profstackdepth`).
pub const MAX_FRAMES: usize = 128;
/// Most frames that the runtime can be told to record; a larger count is not a bucket.
const MAX_RUNTIME_FRAMES: u64 = 1024;
/// The one pc of a stack that is not known: it was lost, or found no room. No bucket of the runtime has it.
pub const UNKNOWN_STACK_PC: u64 = 0;
/// `memProfile` of `runtime.bucketType`.
const MEM_PROFILE: u64 = 1;

/// `mProfCycleWrap`: [`ProfCycle::number`] counts modulo this.
pub const PROF_CYCLE_WRAP: u32 = 3 * (2 << 24);

/// Offsets of `runtime.bucket`, the same in go1.18 to go1.27.
mod bucket {
    pub(super) const ALL_NEXT: usize = 8;
    pub(super) const TYP: usize = 16;
    pub(super) const SIZE: usize = 32;
    pub(super) const NSTK: usize = 40;
    pub(super) const BYTES: usize = 48;
}

/// What never changes in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBucket {
    /// Address of the `runtime.bucket`: its identity for the life of the process.
    pub addr: u64,
    /// Bytes of each object that it counts (the slot's size, rounded to its class).
    pub object_bytes: u64,
    /// Return addresses, leaf first, expanded for inlining; at most [`MAX_FRAMES`].
    pub pcs: Arc<[u64]>,
    /// Frames that the runtime recorded: more than `pcs` holds if the stack was cut.
    pub n_frames: u32,
    /// Go type of its objects, where the source tells types; the runtime's own buckets never do.
    pub go_type: Option<Arc<str>>,
}

impl NewBucket {
    fn record_addr(&self) -> u64 {
        self.addr
            .wrapping_add(bucket::BYTES as u64 + 8 * u64::from(self.n_frames))
    }
}

/// Allocations and frees, in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Samples born.
    pub allocs: u64,
    /// Samples freed.
    pub frees: u64,
}

impl std::ops::Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            allocs: self.allocs.wrapping_add(other.allocs),
            frees: self.frees.wrapping_add(other.frees),
        }
    }
}

impl std::ops::Sub for Counts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            allocs: self.allocs.wrapping_sub(other.allocs),
            frees: self.frees.wrapping_sub(other.frees),
        }
    }
}

impl Counts {
    /// Samples born and not freed; 0 where a torn read has more frees than births.
    pub fn live(self) -> u64 {
        self.allocs.saturating_sub(self.frees)
    }
}

/// `runtime.memRecord`: what is published, and three cycles that are not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemRecord {
    /// Published by a flush.
    pub active: Counts,
    /// Cycles to come, by cycle number modulo 3.
    pub future: [Counts; 3],
}

/// The number of the profile cycle, and whether it was flushed: twice the number, plus 1 when it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfCycle(pub u32);

impl ProfCycle {
    /// Reads it from `runtime.mProfCycle`, or `mProf` in 1.18.
    ///
    /// # Errors
    ///
    /// When the variable cannot be read: the process has ended.
    pub fn read(
        memory: &(impl Memory + ?Sized),
        facts: &Facts,
        vars: &Variables,
    ) -> Result<Self, Unreadable> {
        match facts.prof_cycle {
            ProfCycleFacts::InOne => memory.u32(vars.mprof_cycle).map(Self),
            ProfCycleFacts::Apart => {
                let mprof = memory.u64(vars.mprof_cycle)?.to_le_bytes();
                let [n0, n1, n2, n3, flushed, ..] = mprof;
                let number = u32::from_le_bytes([n0, n1, n2, n3]);
                Ok(Self(number.wrapping_shl(1) | u32::from(flushed & 1)))
            }
        }
    }

    /// The cycle: equal to the number of completed GC cycles until it wraps at 2^25 × 3.
    pub fn number(self) -> u32 {
        self.0 >> 1
    }

    /// Whether the cycle's counts are in `active` already.
    pub fn flushed(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A bucket's counters at one moment, as the model wants them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCounts {
    /// All samples up to now.
    pub total: Counts,
    /// Those of `total.allocs` that were born after the last mark termination.
    pub born_since_mark: u64,
}

impl MemRecord {
    /// Everything up to now, published or not.
    pub fn now(&self) -> Counts {
        self.future
            .iter()
            .fold(self.active, |sum, &cycle| sum + cycle)
    }

    /// Whether two readings within profile cycle `number` agree in what was born before its mark
    /// termination, and in all frees: births go on, the rest stands still once its sweep is done.
    pub fn agrees_after_gc(&self, other: &Self, number: u32) -> bool {
        let born_since = (number as usize + 2) % 3;
        let settled = |record: &Self| {
            let mut settled = *record;
            settled.future[born_since].allocs = 0;
            settled
        };
        settled(self) == settled(other)
    }

    /// What `runtime.MemProfile` reports: the published cycles, with the current one if its flush is due.
    pub fn reported(&self, cycle: ProfCycle) -> Counts {
        if cycle.flushed() {
            self.active
        } else {
            self.active + self.future[cycle.number() as usize % 3]
        }
    }

    /// Counts at profile cycle `number`. Births go two cycles ahead, frees one; so what lies two cycles
    /// ahead was born after the last mark termination.
    pub fn counts(&self, number: u32) -> BucketCounts {
        BucketCounts {
            total: self.now(),
            born_since_mark: self.future[(number as usize + 2) % 3].allocs,
        }
    }
}

/// Buckets in front of `known_head` (all of them for 0), oldest first, and how many were left out
/// because of [`MAX_BUCKETS`]: the oldest, at most as many again, counted no further.
pub fn walk(
    memory: &impl Memory,
    mbuckets: u64,
    known_head: u64,
) -> Result<(Vec<NewBucket>, u64), Unreadable> {
    let memory = Blocks::new(memory);
    let mut found = Vec::new();
    let mut omitted = 0;
    let mut at = memory.u64(mbuckets)?;
    while at != 0 && at != known_head {
        let mut header = [0; bucket::BYTES];
        memory.read(at, &mut header)?;
        let field = |offset: usize| {
            u64::from_le_bytes(header[offset..offset + 8].try_into().unwrap_or_default())
        };
        let n_frames = field(bucket::NSTK);
        if field(bucket::TYP) != MEM_PROFILE || n_frames > MAX_RUNTIME_FRAMES {
            return Err(Unreadable {
                addr: at,
                len: bucket::BYTES,
            });
        }
        if found.len() < MAX_BUCKETS {
            let kept = usize::try_from(n_frames)
                .unwrap_or(MAX_FRAMES)
                .min(MAX_FRAMES);
            let stack = memory.bytes(at.wrapping_add(bucket::BYTES as u64), 8 * kept)?;
            found.push(NewBucket {
                addr: at,
                object_bytes: field(bucket::SIZE),
                pcs: stack
                    .chunks_exact(8)
                    .map(|pc| u64::from_le_bytes(pc.try_into().unwrap_or_default()))
                    .collect(),
                n_frames: u32::try_from(n_frames).unwrap_or(u32::MAX),
                go_type: None,
            });
        } else {
            omitted += 1;
            // A list that a racing or hostile target closes to a ring must not hold us for ever.
            if omitted >= MAX_BUCKETS as u64 {
                break;
            }
        }
        at = field(bucket::ALL_NEXT);
    }
    found.reverse();
    Ok((found, omitted))
}

/// The counters of `buckets`, in their order, by one pass of block reads.
pub fn read_records<'a>(
    memory: &impl Memory,
    facts: RecordFacts,
    buckets: impl IntoIterator<Item = &'a NewBucket>,
) -> Result<Vec<MemRecord>, Unreadable> {
    let memory = Blocks::new(memory);
    buckets
        .into_iter()
        .map(|bucket| record_at(&memory, facts, bucket.record_addr()))
        .collect()
}

fn record_at(memory: &impl Memory, facts: RecordFacts, addr: u64) -> Result<MemRecord, Unreadable> {
    const LARGEST: usize = 4 * 32;
    let cycle_size = usize::try_from(facts.cycle_size).unwrap_or(LARGEST);
    let mut bytes = [0; LARGEST];
    let record = bytes.get_mut(..4 * cycle_size).ok_or(Unreadable {
        addr,
        len: 4 * cycle_size,
    })?;
    memory.read(addr, record)?;
    let word = |offset: usize| {
        record
            .get(offset..offset + 8)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    let cycle = |i: usize| Counts {
        allocs: word(i * cycle_size),
        frees: word(i * cycle_size + 8),
    };
    Ok(MemRecord {
        active: cycle(0),
        future: [cycle(1), cycle(2), cycle(3)],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::memory::Slice;
    use proptest::prelude::*;

    const BASE: u64 = 0xc000_0000;

    fn image(buckets: &[(u64, &[u64], [u64; 16])]) -> Vec<u8> {
        let mut words = vec![0u64];
        let mut head = 0;
        for (size, pcs, record) in buckets {
            let addr = BASE + 8 * words.len() as u64;
            words.extend([0, head, 1, 0, *size, pcs.len() as u64]);
            words.extend(*pcs);
            words.extend(record);
            head = addr;
        }
        words[0] = head;
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    #[test]
    fn walks_from_the_newest_to_the_last_known_and_reads_the_counters_behind_the_stack() {
        let mut record = [0; 16];
        (record[0], record[1]) = (10, 4); // active
        (record[4], record[5]) = (3, 1); // future[0]
        (record[12], record[13]) = (5, 0); // future[2]
        let bytes = image(&[
            (48, &[0x401_000, 0x402_000], record),
            (512, &[0x403_000], [0; 16]),
        ]);
        let memory = Slice {
            base: BASE,
            bytes: &bytes,
        };
        let (all, omitted) = walk(&memory, BASE, 0).unwrap();
        assert_eq!(omitted, 0);
        assert_eq!(
            all.iter().map(|b| b.object_bytes).collect::<Vec<_>>(),
            [48, 512]
        );
        assert_eq!(&*all[0].pcs, [0x401_000, 0x402_000]);
        let (newer, _) = walk(&memory, BASE, all[0].addr).unwrap();
        assert_eq!(newer, all[1..]);

        let records = read_records(&memory, RecordFacts { cycle_size: 32 }, &all).unwrap();
        assert_eq!(
            records[0].now(),
            Counts {
                allocs: 18,
                frees: 5
            }
        );
        assert_eq!(
            records[0].counts(3),
            BucketCounts {
                total: Counts {
                    allocs: 18,
                    frees: 5
                },
                born_since_mark: 5
            }
        );
        assert_eq!(
            records[0].reported(ProfCycle(3 << 1)),
            Counts {
                allocs: 13,
                frees: 5
            }
        );
        assert_eq!(
            records[0].reported(ProfCycle(3 << 1 | 1)),
            Counts {
                allocs: 10,
                frees: 4
            }
        );
    }

    proptest! {
        #[test]
        fn odd_memory_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let memory = Slice { base: BASE, bytes: &bytes };
            if let Ok((found, _)) = walk(&memory, BASE, 0) {
                let _ = read_records(&memory, RecordFacts { cycle_size: 16 }, &found);
            }
        }
    }

    #[test]
    fn a_list_that_bites_its_tail_ends() {
        let mut bytes = image(&[(8, &[1], [0; 16]), (8, &[2], [0; 16])]);
        bytes[16..24].copy_from_slice(&(BASE + 8).to_le_bytes());
        let memory = Slice {
            base: BASE,
            bytes: &bytes,
        };
        let (found, omitted) = walk(&memory, BASE, 0).unwrap();
        assert_eq!((found.len(), omitted), (MAX_BUCKETS, MAX_BUCKETS as u64));
    }

    #[test]
    fn the_profile_cycle_is_read_in_both_of_its_forms() {
        let read = |minor, bytes: &[u8]| {
            let facts = Facts::of_minor(minor).expect("a known series");
            let vars = Variables {
                mprof_cycle: 0x1000,
                ..Variables::default()
            };
            let memory = crate::go::memory::Slice {
                base: 0x1000,
                bytes,
            };
            let cycle = ProfCycle::read(&memory, facts, &vars).expect("readable");
            (cycle.number(), cycle.flushed())
        };
        assert_eq!(read(19, &[13, 0, 0, 0]), (6, true));
        assert_eq!(read(18, &[6, 0, 0, 0, 1, 0, 0, 0]), (6, true));
        assert_eq!(read(18, &[6, 0, 0, 0, 0, 0, 0, 0]), (6, false));
    }
}
