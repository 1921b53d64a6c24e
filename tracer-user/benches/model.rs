//! From the bytes of the ring buffer to the model: records per second on one core.
//!
//! The stream is that of a busy target: 10 000 buckets, births spread over them, each sample freed some thousand records later,
//! and a GC cycle every 20 000 records. The model also keeps every live sample. Prints the median of several runs.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is what it is for, and its input is made here"
)]

use std::collections::VecDeque;
use std::time::Instant;

use heaptop::decode;
use heaptop::event::{BucketsRead, Event, HeapRead, Record};
use heaptop::go::buckets::{BucketCounts, Counts, NewBucket, ProfCycle};
use heaptop::go::memstats::HeapFigures;
use heaptop::model::Model;
use heaptop::model::rows::Target;
use tracer_ebpf::wire::{
    HEAP_UNKNOWN, KIND_BORN, KIND_FLUSHED, KIND_FREED, KIND_GC_MARKED, KIND_GC_START,
};

const RECORDS: usize = 1_000_000;
const BUCKETS: u64 = 10_000;
const LIVE: usize = 5_000;
const CYCLE: usize = 20_000;
const RUNS: usize = 7;
/// The last cycle at the attach.
const FIRST_CYCLE: u32 = 1;
const FIRST_BUCKET: u64 = 0x7f00_0000_0000;
const FIRST_OBJECT: u64 = 0xc0_0000_0000;

fn main() {
    let stream = stream();
    let mut rates: Vec<f64> = (0..RUNS).map(|_| run(&stream)).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "{RECORDS} records of {BUCKETS} buckets, {RUNS} runs: {:.2} to {:.2} M/s",
        rates[0] / 1e6,
        rates[RUNS - 1] / 1e6
    );
    println!("median {:.0} events/s", rates[RUNS / 2]);
}

/// Records as the ring hands them out.
fn stream() -> Vec<Vec<u8>> {
    let mut live = VecDeque::with_capacity(LIVE);
    let mut records: Vec<Vec<u8>> = Vec::with_capacity(RECORDS);
    let mut random = 1u64;
    while records.len() < RECORDS {
        // 1 µs apart.
        let at_ns = 1_000 * records.len() as u64;
        match records.len() % CYCLE {
            0 => records.push(record(at_ns, KIND_GC_START, &[0, 0, 128 << 20])),
            1 => {
                let cycle = u64::from(FIRST_CYCLE) + 1 + (records.len() / CYCLE) as u64;
                records.push(record(at_ns, KIND_GC_MARKED, &[64 << 20, cycle, 128 << 20]));
            }
            2 => records.push(record(at_ns, KIND_FLUSHED, &[0, 0, HEAP_UNKNOWN])),
            _ if live.len() >= LIVE => {
                let (object, bucket) = live.pop_front().unwrap();
                records.push(record(at_ns, KIND_FREED, &[object, bucket]));
            }
            _ => {
                // Knuth's linear congruence: any spread will do, the same in every run.
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let bucket = FIRST_BUCKET + 256 * ((random >> 33) % BUCKETS);
                let object = FIRST_OBJECT + 64 * records.len() as u64;
                live.push_back((object, bucket));
                records.push(record(at_ns, KIND_BORN, &[object, bucket]));
            }
        }
    }
    records
}

fn record(at_ns: u64, kind: u32, words: &[u64]) -> Vec<u8> {
    let mut bytes = at_ns.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    bytes
}

/// Records per second.
fn run(stream: &[Vec<u8>]) -> f64 {
    let mut model = attached();
    let begin = Instant::now();
    for bytes in stream {
        if let Record::Event(event) = decode::record(bytes).unwrap() {
            model.apply(Event::Probe(event));
        }
    }
    stream.len() as f64 / begin.elapsed().as_secs_f64()
}

/// A model that knows all buckets.
fn attached() -> Model {
    let mut model = Model::replay([Event::attached(Target::default())]);
    model.apply(Event::Heap(HeapRead {
        at_ns: 0,
        runtime: Some(HeapFigures {
            gc_cycles: FIRST_CYCLE,
            live_bytes: 64 << 20,
            goal_bytes: None,
            rate_bytes: 512 << 10,
            prof_cycle: ProfCycle(2),
            swept: true,
            ..HeapFigures::default()
        }),
        rss_bytes: None,
    }));
    let addresses = (0..BUCKETS).map(|number| FIRST_BUCKET + 256 * number);
    let counts = BucketCounts {
        total: Counts {
            allocs: 8,
            frees: 4,
        },
        born_since_mark: 0,
    };
    model.apply(Event::Buckets(BucketsRead {
        cycle: Some(1),
        swept: true,
        new: addresses
            .clone()
            .map(|addr| NewBucket {
                addr,
                object_bytes: 1 << 10,
                pcs: [addr, addr + 1, addr + 2].into(),
                n_frames: 3,
                go_type: None,
            })
            .collect(),
        counts: addresses.map(|addr| (addr, counts)).collect(),
        complete: true,
        ..BucketsRead::default()
    }));
    model
}
