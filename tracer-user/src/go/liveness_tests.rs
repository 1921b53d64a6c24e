use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::go::memory::Slice;

const HEAP: u64 = 0x10_0000;

fn facts() -> &'static Facts {
    Facts::of_minor(27).expect("a known release")
}

/// Variables with the heap where a test has put it.
fn vars() -> Variables {
    Variables {
        mheap: HEAP.wrapping_sub(facts().mheap.sweepgen),
        ..Variables::default()
    }
}

/// One span of eight slots of 1 KiB on the heap's first page, with everything that leads to it.
struct Heap {
    bytes: Vec<u8>,
    /// Moves on with every reading.
    restless: bool,
    sweepgen: Cell<u32>,
}

impl Heap {
    const ARENAS: u64 = HEAP + 0x1000;
    const TABLE: u64 = HEAP + 0x2000;
    const MSPAN: u64 = HEAP + 0x3000;
    const ALLOC_BITS: u64 = HEAP + 0x4000;
    const MARK_BITS: u64 = HEAP + 0x4100;
    /// An address whose arena and page have index 0.
    const START: u64 = 0_u64.wrapping_sub(ARENA_BASE);

    fn new(sweepgen: u32, alloc_bits: u8, mark_bits: u8, free_index: u16) -> Self {
        let mut heap = Self {
            bytes: vec![0; 0x5000],
            restless: false,
            sweepgen: Cell::new(100),
        };
        let mspan = &facts().mspan;
        heap.set(
            HEAP + facts().mheap.arenas - facts().mheap.sweepgen,
            Self::ARENAS,
            8,
        );
        heap.set(Self::ARENAS, Self::TABLE - facts().heap_arena.spans, 8);
        heap.set(Self::TABLE, Self::MSPAN, 8);
        heap.set(Self::MSPAN + mspan.start_addr, Self::START, 8);
        heap.set(Self::MSPAN + mspan.elemsize, 1024, 8);
        heap.set(Self::MSPAN + mspan.spanclass, 2 * 32, 1);
        heap.set(Self::MSPAN + mspan.state, IN_USE.into(), 1);
        heap.set(Self::MSPAN + mspan.nelems, 8, mspan.index_size);
        heap.set(
            Self::MSPAN + mspan.freeindex,
            free_index.into(),
            mspan.index_size,
        );
        heap.set(Self::MSPAN + mspan.sweepgen, sweepgen.into(), 4);
        heap.set(Self::MSPAN + mspan.alloc_bits, Self::ALLOC_BITS, 8);
        heap.set(Self::MSPAN + mspan.gcmark_bits, Self::MARK_BITS, 8);
        heap.set(Self::ALLOC_BITS, alloc_bits.into(), 8);
        heap.set(Self::MARK_BITS, mark_bits.into(), 8);
        heap
    }

    fn set(&mut self, addr: u64, value: u64, len: u64) {
        let at = usize::try_from(addr - HEAP).expect("small");
        let len = usize::try_from(len).expect("small");
        self.bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }

    fn check(&self, followed: &[Followed]) -> Result<Checked, NotChecked> {
        check(self, facts(), &vars(), followed)
    }

    /// Numbers of the slots that are dead.
    fn dead(&self) -> Vec<u64> {
        let all: Vec<Followed> = (0..8).map(slot).collect();
        let checked = self.check(&all).expect("checked");
        assert_eq!(checked.unknown, 0);
        let dead = checked.dead.iter();
        dead.map(|object| (object - Self::START) / 1024).collect()
    }
}

impl Memory for Heap {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        if addr == HEAP && buf.len() == 4 {
            buf.copy_from_slice(&self.sweepgen.get().to_le_bytes());
            if self.restless {
                self.sweepgen.set(self.sweepgen.get() + 2);
            }
            return Ok(());
        }
        if buf.is_empty() {
            return Ok(());
        }
        let bytes = &self.bytes;
        Slice { base: HEAP, bytes }.read(addr, buf)
    }
}

/// The object in slot `i`, behind a malloc header.
fn slot(i: u64) -> Followed {
    Followed {
        object: Heap::START + 1024 * i + 8,
        span_start: Heap::START,
        slot_bytes: 1024,
        span_class: 2 * 32,
    }
}

#[test]
fn the_generation_of_the_span_says_which_bits_hold() {
    let alloc_bits = 0b1100_0001;
    let mark_bits = 0b0000_0110;
    for (sweepgen, expected) in [
        (100, vec![1, 2, 3, 4, 5]), // Swept; slot 1 was handed out since, to another object.
        (103, vec![1, 2, 3, 4, 5]), // Swept, then cached.
        (98, vec![0, 3, 4, 5, 6, 7]), // To be swept.
        (101, vec![0, 3, 4, 5, 6, 7]), // Cached, to be swept.
    ] {
        let heap = Heap::new(sweepgen, alloc_bits, mark_bits, 2);
        assert_eq!(heap.dead(), expected, "sweepgen {sweepgen} of 100");
    }
    let odd = Heap::new(90, 0, 0, 0).check(&[slot(0)]).expect("checked");
    assert_eq!((odd.dead.len(), odd.unknown, odd.gc_cycles), (0, 1, 50));
    let swept = Heap::new(99, 0, 0, 0).check(&[slot(0)]).expect("checked");
    assert_eq!(
        (swept.dead.len(), swept.unknown, swept.being_swept),
        (0, 0, 1),
        "its bits are about to change places, or have"
    );
}

#[test]
fn objects_of_another_span_than_the_one_that_is_there_are_dead() {
    let heap = Heap::new(100, 0xff, 0xff, 8);
    assert_eq!(heap.dead(), [0_u64; 0]);
    let other_class = Followed {
        span_class: 3,
        ..slot(1)
    };
    let other_size = Followed {
        slot_bytes: 512,
        ..slot(2)
    };
    let other_start = Followed {
        span_start: Heap::START + PAGE_BYTES,
        ..slot(3)
    };
    let checked = heap
        .check(&[slot(0), other_class, other_size, other_start])
        .expect("checked");
    assert_eq!(
        checked.dead,
        [other_start, other_class, other_size].map(|one| one.object)
    );

    let mut gone = Heap::new(100, 0xff, 0xff, 8);
    gone.set(Heap::MSPAN + facts().mspan.state, 0, 1);
    assert_eq!(gone.dead().len(), 8);
    gone.set(Heap::TABLE, 0, 8);
    assert_eq!(gone.dead().len(), 8);
}

#[test]
fn what_cannot_be_read_is_unknown_and_a_cycle_voids_the_check() {
    let mut heap = Heap::new(100, 0, 0, 0);
    heap.set(Heap::MSPAN + facts().mspan.alloc_bits, 0x10, 8);
    let checked = heap.check(&[slot(0), slot(1)]).expect("checked");
    assert_eq!((checked.dead.len(), checked.unknown), (0, 2));
    heap.set(Heap::TABLE, 0x10, 8);
    assert_eq!(heap.check(&[slot(0)]).expect("checked").unknown, 1);
    let nowhere = Followed {
        span_start: 1 << 60,
        ..slot(0)
    };
    assert_eq!(heap.check(&[nowhere]).expect("checked").unknown, 1);

    let mut restless = Heap::new(100, 0, 0, 0);
    restless.restless = true;
    assert_eq!(restless.check(&[slot(0)]), Err(NotChecked::Moved));
    let nothing = Slice {
        base: 0,
        bytes: &[],
    };
    assert!(matches!(
        check(&nothing, facts(), &vars(), &[slot(0)]),
        Err(NotChecked::Unreadable(_))
    ));
}

proptest! {
    #[test]
    fn any_heap_and_any_objects_never_panic(
        changes in prop::collection::vec((0..0x5000_usize, any::<u8>()), 0..60),
        objects in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u8>(), any::<bool>()), 0..20),
    ) {
        let mut heap = Heap::new(98, 0x55, 0x33, 3);
        for (at, byte) in changes {
            heap.bytes[at] = byte;
        }
        let objects: Vec<Followed> = objects
            .into_iter()
            .map(|(object, span_start, slot_bytes, span_class, near)| {
                if near {
                    return Followed { object, ..slot(1) };
                }
                Followed { object, span_start, slot_bytes, span_class }
            })
            .collect();
        if let Ok(checked) = heap.check(&objects) {
            prop_assert!(checked.dead.len() + checked.unknown <= objects.len());
        }
        for one in objects {
            let _ = follow(&heap, facts(), &vars(), one.object);
        }
    }
}
