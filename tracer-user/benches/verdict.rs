//! What a look costs: nanoseconds to judge one entity anew, and the share of a core that 5,000 of a kind would take.
//!
//! An hour and a quarter of looks, a collection each second; the median of the last quarter is printed, when the history
//! is full. Entities of one kind have the same flow: only how much of it there is and what the rules say make a cost.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::time::Instant;

use heaptop::verdict::{Clock, Flow, LOOK_NS, N_LEVELS, Track, Weight};

/// Few enough for a batch to be timed between two interruptions.
const TRACKS: u32 = 20;
const LOOKS: u64 = 300;
const TIMED_FROM: u64 = 240;
const SAMPLE: Weight = Weight {
    objects: 100.0,
    bytes: (512 << 10) as f64,
};

fn main() {
    println!("Track: {} bytes beside its history", size_of::<Track>());
    // Mean arrivals and departures a look.
    for (what, arrivals, departures) in [
        ("nothing happens", 0.0, 0.0),
        ("one comes and goes in a minute", 0.25, 0.25),
        ("100 come and go in a minute", 25.0, 25.0),
        ("15 stay in a minute", 4.0, 0.0),
        ("150 stay and 100 go in a minute", 62.0, 25.0),
    ] {
        let (ns, word) = run(arrivals, departures);
        let share = ns * 5_000.0 / LOOK_NS as f64;
        println!(
            "{what} ({word}): {ns:.0} ns, of 5,000 {:.2} % of a core",
            share * 100.0
        );
    }
}

/// Median nanoseconds for a look at one entity, and the word it ends with.
fn run(arrivals: f64, departures: f64) -> (f64, &'static str) {
    let mut clock = Clock::new(0, Some(250.0), None);
    let mut tracks = vec![Track::new(); TRACKS as usize];
    let mut random = Random(1);
    let (mut load, mut times) = (0.0, Vec::new());
    for look in 1..=LOOKS {
        let end_ns = look * LOOK_NS;
        for second in (0..15).rev() {
            clock.gc(end_ns - second * 1_000_000_000);
        }
        load += 200.0 + random.upto(100.0);
        clock.look(end_ns, load);
        let mut flow = Flow::default();
        for level in 0..N_LEVELS {
            let side = &mut flow.levels[level];
            (0..random.count(arrivals)).for_each(|_| side.arrived.add(SAMPLE));
            (0..random.count(departures)).for_each(|_| side.departed.add(SAMPLE));
            side.stand(if look == 1 { 3000 } else { 0 }, SAMPLE);
            flow.born += side.arrived.samples;
        }
        let begin = Instant::now();
        for track in &mut tracks {
            track.look(&clock, &flow);
        }
        if look > TIMED_FROM {
            times.push(begin.elapsed().as_nanos() as f64 / f64::from(TRACKS));
        }
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], tracks[0].word().word())
}

/// Knuth's linear congruence: any spread will do, the same in every run.
struct Random(u64);

impl Random {
    fn upto(&mut self, most: f64) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as f64 / f64::from(1_u32 << 31) * most
    }

    /// A number of this mean.
    fn count(&mut self, mean: f64) -> u32 {
        let upto = self.upto(2.0 * mean) + self.upto(1.0) - 0.5;
        (0..1000)
            .find(|&count| f64::from(count) + 0.5 >= upto)
            .unwrap_or(0)
    }
}
