//! Laws over any memory, and what a list of made-up goroutines comes to.

use proptest::prelude::*;

use super::*;
use crate::go::memory::{Slice, Unreadable};
use crate::go::variables::AllGs;

const ALLGS: AllGs = AllGs { len: 0, ptr: 8 };
/// Where the list lies, and the structs: 512 bytes apart.
const LIST: u64 = 0x1000;
const STRUCTS: u64 = 0x10_0000;
const STRIDE: u64 = 512;

fn vars() -> Variables {
    Variables {
        allgs: Some(ALLGS),
        ..Variables::default()
    }
}

fn facts() -> &'static Facts {
    Facts::of_minor(26).expect("it is known")
}

/// Memory with a list of goroutines.
struct Made {
    bytes: Vec<u8>,
    n: u64,
}

impl Made {
    fn new() -> Self {
        Self {
            bytes: vec![0; 0x20_0000],
            n: 0,
        }
    }

    fn put(&mut self, at: u64, word: u64) {
        let at = usize::try_from(at).expect("small");
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// A goroutine that waits for a message.
    fn add(&mut self, goid: u64, status: u64, place: (u64, u64)) -> u64 {
        let at = STRUCTS + self.n * STRIDE;
        let facts = &facts().goroutine;
        self.put(LIST + self.n * 8, at);
        self.put(at + facts.stack_lo, 0xc000_0000);
        self.put(at + facts.stack_hi, 0xc000_0800);
        self.put(at + facts.status, status);
        self.put(at + facts.goid, goid);
        self.put(at + facts.waitreason, 19);
        self.put(at + facts.gopc, place.0);
        self.put(at + facts.startpc, place.1);
        self.n += 1;
        self.put(ALLGS.len, self.n);
        self.put(ALLGS.ptr, LIST);
        at
    }

    fn read(&self, shift: u32) -> Result<AllGoroutines, String> {
        super::read(&self.memory(), facts(), &vars(), Some(shift))
    }

    fn memory(&self) -> Slice<'_> {
        Slice {
            base: 0,
            bytes: &self.bytes,
        }
    }
}

#[test]
fn groups_hold_what_their_goroutines_do() {
    let mut made = Made::new();
    for goid in 1..=10 {
        made.add(goid, 4, (0x10, 0x20));
    }
    let younger = made.add(11, 0x1004, (0x10, 0x20));
    made.put(younger + facts().goroutine.waitsince, 77);
    made.add(12, 2, (0x10, 0x30));
    made.add(13, 3, (0x10, 0x30));
    made.add(14, 6, (0x10, 0x30));
    let found = made.read(0).expect("plausible");
    assert_eq!((found.total, found.dead, found.unreadable), (13, 1, 0));
    let [parked, other] = &found.groups[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (parked.count, parked.states.waiting, parked.stack_bytes),
        (11, 11, 11 * 2048)
    );
    assert_eq!(parked.waits, [("chan receive".into(), 11)]);
    assert_eq!(parked.waiting_since_ns, Some(77));
    assert_eq!((other.states.running, other.states.syscall), (1, 1));
    assert_eq!(found.tracked.goroutines.len(), 13);
}

#[test]
fn what_makes_no_sense_is_refused_and_the_odd_one_is_counted() {
    let mut made = Made::new();
    for goid in 1..=40 {
        made.add(goid, 4, (0x10, 0x20));
    }
    made.add(0, 4, (0x10, 0x20));
    made.add(50, 77, (0x10, 0x20));
    let found = made.read(0).expect("plausible");
    assert_eq!((found.total, found.unreadable), (40, 2));
    for goid in 0..20 {
        made.add(goid, 5, (0x10, 0x20));
    }
    let why = made.read(0).expect_err("too many");
    assert!(why.contains("make no sense"), "{why}");
    let nowhere = super::read(&made.memory(), facts(), &Variables::default(), None);
    assert!(nowhere.expect_err("no list").contains("allgs"));
}

/// Memory with a hole of one byte.
struct Holed<'a>(Slice<'a>, u64);
impl Memory for Holed<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let end = addr + buf.len() as u64;
        if addr <= self.1 && self.1 < end {
            return Err(Unreadable {
                addr,
                len: buf.len(),
            });
        }
        self.0.read(addr, buf)
    }
}

#[test]
fn a_struct_that_cannot_be_read_takes_none_of_its_neighbours_along() {
    let mut made = Made::new();
    for goid in 1..=200 {
        made.add(goid, 4, (0x10, 0x20));
    }
    let hole = Holed(made.memory(), STRUCTS + 77 * STRIDE + 16);
    let found = super::read(&hole, facts(), &vars(), None).expect("plausible");
    assert_eq!((found.total, found.unreadable), (199, 1));
}

#[test]
fn groups_and_the_followed_are_bounded() {
    let mut made = Made::new();
    made.bytes.resize(0x10_0000 + 5000 * 512, 0);
    for goid in 1..=5000 {
        made.add(goid, 4, (0x10, 0x20 + goid * 16));
    }
    let found = made.read(0).expect("plausible");
    assert_eq!(
        (found.groups.len(), found.others.count),
        (MAX_GROUPS, 5000 - MAX_GROUPS as u64)
    );
    let part = made.read(3).expect("plausible");
    let n = part.tracked.goroutines.len();
    assert!((400..600).contains(&n), "{n} of 4096");
    assert!(
        part.tracked
            .goroutines
            .iter()
            .all(|kept| is_tracked(kept.goid, 3))
    );
}

#[test]
fn a_part_of_a_part_is_nested_and_even() {
    for shift in 0..10 {
        let kept = (1..100_000u64)
            .filter(|&goid| is_tracked(goid, shift))
            .count();
        let due = 100_000 >> shift;
        assert!(kept.abs_diff(due) * 20 < due + 100, "{kept} of {due}");
        assert!((1..10_000u64).all(|goid| is_tracked(goid, shift) || !is_tracked(goid, shift + 1)));
    }
}

proptest! {
    #[test]
    fn any_memory_ends_with_a_result(
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
        words in prop::collection::vec((0u64..512, 0u64..5000), 0..200),
        len in prop_oneof![0u64..100, any::<u64>()],
        ptr in prop_oneof![0u64..4096, any::<u64>()],
        shift in 0u32..64,
        minor in prop_oneof![Just(19u16), Just(24), Just(27)],
    ) {
        let mut bytes = bytes;
        let mut put = |at: usize, word: u64| {
            if let Some(place) = bytes.get_mut(at..at + 8) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        };
        for (at, word) in words {
            put(usize::try_from(at).unwrap() * 8, word);
        }
        put(0, len);
        put(8, ptr);
        let facts = Facts::of_minor(minor).unwrap();
        let memory = Slice { base: 0, bytes: &bytes };
        if let Ok(found) = super::read(&memory, facts, &vars(), Some(shift)) {
            let in_groups: u64 = found.groups.iter().map(|group| group.count).sum();
            prop_assert_eq!(in_groups + found.others.count, found.total);
            prop_assert!(found.tracked.shift >= shift);
        }
    }

    #[test]
    fn any_stack_is_walked_to_an_end(
        stack in prop::collection::vec(0u64..0x300, 0..64),
        sp in 0u64..0x200,
        bp in any::<u64>(),
        small in any::<bool>(),
    ) {
        let mut made = Made::new();
        let at = made.add(1, 4, (0x10, 0x20));
        let facts = &facts().goroutine;
        // A stack in low memory, of small words: frame pointers that lead anywhere in it.
        for (i, word) in (0u64..).zip(&stack) {
            made.put(0x100 + i * 8, *word);
        }
        made.put(at + facts.stack_lo, 0x100);
        made.put(at + facts.stack_hi, 0x300);
        made.put(at + facts.sched_sp, sp);
        made.put(at + facts.sched_bp, if small { bp % 0x300 } else { bp });
        let found = made.read(0).unwrap();
        if let Some(oldest) = &found.groups[0].oldest {
            prop_assert!(oldest.pcs.len() <= MAX_FRAMES);
        }
    }
}
