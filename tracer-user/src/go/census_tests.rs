//! Spans of a made-up heap, counted.

use proptest::prelude::*;

use super::*;
use crate::go::memory::Slice;

const BASE: u64 = 0x5a_0000;
const MHEAP_BYTES: usize = 96 << 10;
const LIST: u64 = BASE + MHEAP_BYTES as u64;
const SPANS: u64 = LIST + 4096;
const ARENA: u64 = 0xc0_0000_0000;

/// Spans as (state, class, pages from the arena's start, pages, slot bytes, taken slots).
type Made = (u8, u8, u64, u64, u64, u16);

fn heap(spans: &[Made], facts: &Facts) -> Vec<u8> {
    let mut bytes = vec![0; MHEAP_BYTES + 4096 + 256 * spans.len()];
    let mut put = |addr: u64, value: &[u8]| {
        let at = usize::try_from(addr - BASE).expect("small");
        bytes[at..at + value.len()].copy_from_slice(value);
    };
    let mut word = |addr: u64, value: u64| put(addr, &value.to_le_bytes());
    // One arena, listed twice: at the end of the first page of the list.
    word(BASE + facts.mheap.heap_arenas, LIST + 4080);
    word(BASE + facts.mheap.heap_arenas + 8, 2);
    for i in 0..2 {
        word(LIST + 4080 + 8 * i, (ARENA + ARENA_BASE) / ARENA_BYTES);
    }
    word(BASE + facts.mheap.allspans, LIST);
    word(BASE + facts.mheap.allspans + 8, spans.len() as u64);
    for (i, &(_, _, page, n_pages, slot_bytes, _)) in (0..).zip(spans) {
        let span = SPANS + 256 * i;
        word(LIST + 8 * i, span);
        word(span + facts.mspan.start_addr, ARENA + page * PAGE_BYTES);
        word(span + facts.mspan.npages, n_pages);
        word(span + facts.mspan.elemsize, slot_bytes);
    }
    for (i, &(state, class, .., taken)) in (0..).zip(spans) {
        let span = SPANS + 256 * i;
        put(span + facts.mspan.alloc_count, &taken.to_le_bytes());
        put(span + facts.mspan.spanclass, &[class]);
        put(span + facts.mspan.state, &[state]);
    }
    bytes
}

fn census(spans: &[Made], resident_pages: u64) -> Census {
    let facts = Facts::of_minor(26).expect("a known release");
    let bytes = heap(spans, facts);
    let memory = Slice {
        base: BASE,
        bytes: &bytes,
    };
    let vars = Variables {
        mheap: BASE,
        ..Variables::default()
    };
    let arenas = arenas(&memory, facts, &vars).expect("readable");
    assert_eq!(arenas, [ARENA]);
    let mut pages = ResidentPages::new(&arenas);
    for page in 0..resident_pages {
        pages.set(ARENA + page * SMALL_PAGE_BYTES);
    }
    read(&memory, facts, &vars, pages).expect("readable")
}

#[test]
fn every_resident_page_is_counted_once() {
    let spans = [
        (IN_USE, 2 * 6, 0, 1, 64, 100),       // 6400 bytes of 8192.
        (IN_USE, 1, 1, 4, 4 * PAGE_BYTES, 1), // Large, without pointers.
        (MANUAL, 0, 5, 1, 2048, 2),           // Stacks.
        (MANUAL, 0, 6, 1, 0, 0),              // Work buffers.
        (0, 2 * 6, 7, 1, 64, 5),              // Dead.
        (IN_USE, 2 * 6, 0, 1, 64, 7),         // Pages of the first: they changed hands.
    ];
    let found = census(&spans, 18);
    assert_eq!(found.resident_bytes, 18 * 4096);
    assert_eq!(found.idle_bytes, 4 * 4096); // The dead one's, and those behind.
    let small = found.classes[6];
    assert_eq!((small.sum.spans, small.objects), (2, 107));
    assert_eq!(
        (small.object_resident_bytes, small.waste_bytes()),
        (6400, 8192 - 6400)
    );
    assert_eq!(found.classes[0].object_resident_bytes, 4 * PAGE_BYTES);
    assert_eq!(
        (found.stacks.spans, found.stacks.resident_bytes),
        (1, PAGE_BYTES)
    );
    assert_eq!(
        (found.work.spans, found.work.resident_bytes),
        (1, PAGE_BYTES)
    );
    let parts = found.object_resident_bytes()
        + found.waste_bytes()
        + found.stacks.resident_bytes
        + found.work.resident_bytes
        + found.idle_bytes;
    assert_eq!(parts, found.resident_bytes);
}

#[test]
fn what_is_not_there_is_taken_from_free_slots_first() {
    // One of two pages is there: 4096 bytes for 4 of 8 slots.
    let found = census(&[(IN_USE, 2 * 32, 0, 1, 1024, 4)], 1);
    let class = found.classes[32];
    assert_eq!(
        (class.object_bytes, class.object_resident_bytes),
        (4096, 4096)
    );
    assert_eq!(class.waste_bytes(), 0);
}

#[test]
fn spans_across_arenas_take_the_pages_of_both() {
    let mut pages = ResidentPages::new(&[ARENA, ARENA + ARENA_BYTES]);
    for page in 0..4 {
        pages.set(ARENA + ARENA_BYTES - 2 * SMALL_PAGE_BYTES + page * SMALL_PAGE_BYTES);
    }
    pages.set(ARENA - 1); // Of no arena.
    assert_eq!(pages.bytes(), 4 * SMALL_PAGE_BYTES);
    let start = ARENA + ARENA_BYTES - PAGE_BYTES;
    assert_eq!(pages.take(start, 2 * PAGE_BYTES), 4 * SMALL_PAGE_BYTES);
    assert_eq!(pages.take(start, 2 * PAGE_BYTES), 0);
    assert_eq!(pages.take(u64::MAX - 5, u64::MAX), 0);
}

proptest! {
    #[test]
    fn any_heap_never_panics_and_sums_up(
        spans in prop::collection::vec(
            (0_u8..4, any::<u8>(), 0_u64..9000, prop_oneof![0_u64..64, any::<u64>()], any::<u64>(), any::<u16>()),
            0..40,
        ),
        resident_pages in 0_u64..20_000,
    ) {
        let found = census(&spans, resident_pages);
        let parts = found.object_resident_bytes()
            + found.waste_bytes()
            + found.stacks.resident_bytes
            + found.work.resident_bytes
            + found.idle_bytes;
        prop_assert_eq!(parts, found.resident_bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), at in 0_u64..3000) {
        let mut facts = *Facts::of_minor(26).expect("a known release");
        facts.mheap.allspans = 8;
        facts.mheap.heap_arenas = 40;
        let memory = Slice { base: BASE, bytes: &bytes };
        let vars = Variables { mheap: BASE + at, memstats: BASE + at, gc_controller: BASE, ..Variables::default() };
        let _ = arenas(&memory, &facts, &vars);
        let _ = read(&memory, &facts, &vars, ResidentPages::new(&[ARENA]));
        let _ = crate::go::accounts::Accounts::read(&memory, &facts, &vars);
    }
}
