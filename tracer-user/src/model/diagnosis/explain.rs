//! What the growth of the whole is made of: gathers the stacks for [`super::attribution`], and asks the life of the
//! process before the attach whether it agrees.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::attribution::{Attribution, Hold, LARGE_BYTES, Labels, Net, Path, attribute};
use super::process::known_rate;
use crate::model::Model;
use crate::model::bucket::Bucket;
use crate::model::estimate::{Scale, UNITS_PER_OBJECT};
use crate::model::gc::SECOND_NS;
use crate::model::rows::Liveness;
use crate::verdict::{Weight, Word};

/// Births since the start from which on the kept share of a bucket counts for the life before the attach.
const LIFE_LEAST_BIRTHS: u64 = 10;
/// A bucket that kept this share of its births has grown since the start.
const LIFE_LEAST_KEPT: f64 = 0.8;
/// Least net samples in such buckets.
const LIFE_LEAST_SAMPLES: f64 = 4.0;
/// Net samples below which names rest on what buckets kept since the start as well.
const FEW_SAMPLES: f64 = 10.0;
/// Births of a bucket from which on what it kept since the start counts for a name.
const NAME_LEAST_BIRTHS: u64 = 3;
/// Probability of a heap that does not rise at which growth is reported if the life before the attach agrees. The heap
/// alone has to be surer, because it wanders.
const LIFE_MOST_FLAT: f64 = 0.02;
/// Evaluations in a row that this takes.
const LIFE_IN_A_ROW: u32 = 2;
/// Least low end of a rate that is known well, relative to its value.
const LEAST_LOW: f64 = 0.5;
/// Time for which causes are kept while the rate is not known well: another growth would have its own by then.
const KEPT_NS: u64 = 300 * SECOND_NS;
/// Uptime from which on the life before the attach says something.
const LEAST_UPTIME_S: f64 = 300.0;

/// Growth of the whole by call, as of the last evaluation.
#[derive(Clone, Debug, Default)]
pub(super) struct Explained {
    /// Of objects below [`LARGE_BYTES`].
    pub(super) small: Attribution,
    /// Of larger ones: they are few, and each moves the heap by a step.
    pub(super) large: Attribution,
    /// By call site the bucket with the largest net growth.
    pub(super) largest: BTreeMap<u32, u32>,
    /// By call site samples born and freed since the records began.
    pub(super) turnover: BTreeMap<u32, (u64, u64)>,
    /// Seconds between the two marks whose difference is explained; 0 before there are two.
    pub(super) span_s: f64,
    /// True if large objects as a whole rose then, by their rate or, where that is unknown, by their net change: buffers of a
    /// pool come and go.
    pub(super) large_rises: bool,
    /// Time of the evaluation, if the whole grew at a rate that was known well then; see [`LEAST_LOW`].
    clear_ns: Option<u64>,
}

/// The life of the process before the attach, as far as its growing buckets tell.
#[derive(Clone, Copy, Debug, Default)]
struct LifeBefore {
    uptime_s: f64,
    watched_s: f64,
    /// Net change in this watch, bytes.
    net_bytes: f64,
    /// Of it, in buckets that kept nearly all since the start; and its samples.
    keeping_bytes: f64,
    keeping_samples: f64,
    /// Bytes that these buckets hold.
    held_bytes: f64,
    /// Their births since the start, and those before the attach.
    born: f64,
    born_before: f64,
}

impl LifeBefore {
    /// True if it agrees with a growth of `bytes_per_min`.
    fn agrees(&self, bytes_per_min: f64) -> bool {
        let life_s = self.uptime_s + self.watched_s;
        self.uptime_s >= LEAST_UPTIME_S
            && self.net_bytes > 0.0
            && self.keeping_bytes >= 0.5 * self.net_bytes
            && self.keeping_samples >= LIFE_LEAST_SAMPLES
            && self.held_bytes >= 0.5 * bytes_per_min * life_s / 60.0
            && self.born_before >= 0.5 * self.born * self.uptime_s / life_s
    }
}

/// Net change of so many samples of one unit each.
fn net_of_samples(samples: f64, unit: Weight) -> Net {
    Net {
        bytes: samples * unit.bytes,
        squares: samples.abs() * unit.bytes * unit.bytes,
        samples,
        objects: samples * unit.objects,
    }
}

impl Explained {
    /// Net change of a call site's small objects; of one that lost, 0.
    pub(super) fn small_net(&self, site: u32) -> Net {
        self.small.net_of(site)
    }

    /// Net change of a call site's large objects, where large objects as a whole rise.
    pub(super) fn rising_large_net(&self, site: u32) -> Net {
        if self.large_rises {
            self.large.net_of(site)
        } else {
            Net::default()
        }
    }

    /// Net change of large objects, where it is a rise.
    pub(super) fn rising_large(&self) -> Net {
        if self.large_rises {
            self.large.net
        } else {
            Net::default()
        }
    }

    /// Base of the stated shares: all objects, or small ones while large ones are not known to rise.
    pub(super) fn grown_net(&self) -> Net {
        let mut net = self.small.net;
        net += self.rising_large();
        net
    }

    /// The part of a call site in [`Self::grown_net`].
    pub(super) fn grown_net_of(&self, site: u32) -> Net {
        let mut net = self.small_net(site);
        net += self.rising_large_net(site);
        net
    }

    /// Net change of all objects.
    pub(super) fn total(&self) -> Net {
        let mut total = self.small.net;
        total += self.large.net;
        total
    }
}

impl Model {
    /// Judges the series of the whole, and attributes its growth.
    pub(super) fn judge_whole(&mut self, at_ns: u64) {
        let diagnosis = &mut *self.diagnosis;
        let before = diagnosis.whole.judged().heap.word;
        diagnosis.whole.evaluate(at_ns);
        let heap = &diagnosis.whole.judged().heap;
        if before.is_growth() && !heap.word.is_growth() {
            // What follows is another growth.
            diagnosis.retained.restart();
            diagnosis.hold = Hold::default();
            diagnosis.explained.clear_ns = None;
        }
        self.ask_life(at_ns);
        self.take_over();
        self.attribute_growth();
    }

    /// Raises the word of the whole where the life before the attach agrees, and gives one sooner.
    fn ask_life(&mut self, at_ns: u64) {
        let heap = &self.diagnosis.whole.judged().heap;
        let (word, rate) = (heap.word, heap.rate);
        let is_likely = rate.is_some_and(|rate| rate.p_flat.is_some_and(|p| p <= LIFE_MOST_FLAT))
            && word == Word::Collecting
            && heap.remark.is_none();
        let agrees =
            (is_likely || word == Word::ProbablyGrowing) && self.life_agrees(&self.nets(), at_ns);
        let diagnosis = &mut *self.diagnosis;
        if !agrees || !is_likely {
            diagnosis.recorded.agreed_in_a_row = 0;
        }
        if !agrees {
            return;
        }
        if word == Word::ProbablyGrowing {
            diagnosis.whole.raise();
            return;
        }
        diagnosis.recorded.agreed_in_a_row += 1;
        if let Some(rate) = rate.filter(|_| diagnosis.recorded.agreed_in_a_row >= LIFE_IN_A_ROW) {
            diagnosis.whole.take_over(rate.per_min, at_ns);
            diagnosis.recorded.is_by_life = true;
        }
    }

    /// Attributes the growth of the whole. Bursts of requests blur its rate for a while. Objects kept for the length of a burst
    /// are not growth: the causes that were found before it stay.
    pub(super) fn attribute_growth(&mut self) {
        self.diagnosis.retained.choose(&self.samples);
        let nets = self.nets();
        let mut hold = std::mem::take(&mut self.diagnosis.hold);
        let before = hold.clone();
        let new = self.explain(&nets, &mut hold);
        let heap = &self.diagnosis.whole.judged().heap;
        let is_growth = heap.word.is_growth();
        let is_clear =
            is_growth && known_rate(heap).is_some_and(|rate| rate.low >= LEAST_LOW * rate.value);
        let now_ns = self.now_ns;
        let diagnosis = &mut *self.diagnosis;
        let old = std::mem::take(&mut diagnosis.explained);
        let is_kept = is_growth
            && !is_clear
            && (old.clear_ns).is_some_and(|at_ns| now_ns.saturating_sub(at_ns) <= KEPT_NS);
        (diagnosis.explained, diagnosis.hold) = if is_kept {
            // The stacks of rows are those of now.
            let (largest, turnover) = (new.largest, new.turnover);
            let old = Explained {
                largest,
                turnover,
                ..old
            };
            (old, before)
        } else {
            let clear_ns = is_clear.then_some(now_ns);
            (Explained { clear_ns, ..new }, hold)
        };
    }

    /// Net change of each bucket since the first marks.
    fn nets(&self) -> Vec<Net> {
        let retained = &self.diagnosis.retained;
        if self.liveness() != Liveness::Counters {
            return retained.net(&self.samples, |idx| self.unit(idx));
        }
        // Counters alone: what came and went, garbage or not, is all that is known of samples.
        let net = |(idx, bucket): (u32, &Bucket)| {
            let unit = self.unit(idx);
            // Before the first final cycle those at the attach hold births that are not settled yet.
            let born = bucket
                .settled_cycle
                .allocs
                .saturating_sub(bucket.at_attach.allocs) as f64;
            let freed = bucket
                .settled_cycle
                .frees
                .saturating_sub(bucket.at_attach.frees) as f64;
            Net {
                squares: (born + freed) * unit.bytes * unit.bytes,
                ..net_of_samples(born - freed, unit)
            }
        };
        (0u32..).zip(&self.buckets).map(net).collect()
    }

    /// Bytes and objects that a unit of a bucket's samples stands for.
    pub(super) fn unit(&self, idx: u32) -> Weight {
        let object_bytes = (self.buckets.get(idx as usize)).map_or(0, |b| b.object_bytes);
        let objects = if self.liveness() == Liveness::Marks {
            1.0 / UNITS_PER_OBJECT
        } else {
            Scale::sampled(object_bytes, self.sampling_rate_bytes).objects_per_count()
        };
        Weight {
            objects,
            bytes: objects * object_bytes as f64,
        }
    }

    /// Samples of a bucket born and freed since its records began.
    pub(super) fn turnover(&self, idx: u32, bucket: &Bucket) -> (u64, u64) {
        if self.liveness() == Liveness::Marks {
            let weighted = self.marks.get(idx);
            return weighted.map_or((0, 0), |weighted| (weighted.born, weighted.died));
        }
        (bucket.total().allocs, bucket.total().frees)
    }

    fn explain(&self, nets: &[Net], hold: &mut Hold) -> Explained {
        let paths = &self.diagnosis.paths;
        let labels = Labels {
            of: &|label| paths.code(label),
            is_dispatcher: &|label| self.diagnosis.dispatchers.contains(label),
        };
        let by_stack = OnceCell::new();
        let attributed =
            |is_wanted: &dyn Fn(&Bucket) -> bool, net: &dyn Fn(u32) -> Net, hold: &mut Hold| {
                let path = |(idx, bucket): (u32, &Bucket)| {
                    let (born, freed) = self.turnover(idx, bucket);
                    Some(Path {
                        labels: paths.get(idx)?,
                        net: if is_wanted(bucket) {
                            net(idx)
                        } else {
                            Net::default()
                        },
                        born: born as f64,
                        freed: freed as f64,
                    })
                };
                let paths: Vec<Path<'_>> = (0u32..).zip(&self.buckets).filter_map(path).collect();
                attribute(&paths, labels, &by_stack, hold)
            };
        let is_large = |bucket: &Bucket| bucket.object_bytes >= LARGE_BYTES;
        let net_of = |idx: u32| nets.get(idx as usize).copied().unwrap_or_default();
        let is_small = |bucket: &Bucket| !is_large(bucket);
        let large = attributed(&is_large, &net_of, &mut Hold::default());
        let mut in_watch = hold.clone();
        let mut small = attributed(&is_small, &net_of, &mut in_watch);
        let by_history = small.net.samples < FEW_SAMPLES && self.has_life();
        if by_history {
            // Names alone: shares stay those of this watch.
            let kept = |idx: u32| {
                let bucket = &self.buckets[idx as usize];
                let mut net = net_of(idx);
                net += self.kept_since_start(idx, bucket);
                net
            };
            let by_life = attributed(&is_small, &kept, hold);
            (small.chain, small.causes) = (by_life.chain, by_life.causes);
        } else {
            *hold = in_watch;
        }
        let span_ns = self.diagnosis.retained.span_ns();
        let large_rate = self.diagnosis.whole.judged().heap.large_per_min;
        let large_rises = large_rate.map_or(large.net.bytes > 0.0, |rate| rate.low > 0.0);
        let (mut largest, mut turnover) = (BTreeMap::new(), BTreeMap::new());
        for (idx, bucket) in (0u32..).zip(&self.buckets) {
            let Some(&site) = paths.get(idx).and_then(<[u32]>::last) else {
                continue;
            };
            let bytes = net_of(idx).bytes;
            let most: &mut (u32, f64) = largest.entry(site).or_insert((idx, bytes));
            if bytes > most.1 {
                *most = (idx, bytes);
            }
            let (born, freed) = self.turnover(idx, bucket);
            let sum: &mut (u64, u64) = turnover.entry(site).or_default();
            *sum = (sum.0 + born, sum.1 + freed);
        }
        Explained {
            small,
            large,
            largest: (largest.into_iter())
                .map(|(site, (idx, _))| (site, idx))
                .collect(),
            turnover,
            span_s: span_ns.map_or(0.0, |(from, to)| (to - from) as f64 / 1e9),
            large_rises,
            clear_ns: None,
        }
    }

    /// True if the runtime has sampled since the start, for long enough.
    fn has_life(&self) -> bool {
        let uptime_ns = self.target.uptime_ns(self.target.attached_ns);
        self.target.has_records() && uptime_ns.is_some_and(|ns| ns as f64 / 1e9 >= LEAST_UPTIME_S)
    }

    /// What a bucket kept since the start, as if it had all come in this watch; nothing of one that frees.
    fn kept_since_start(&self, idx: u32, bucket: &Bucket) -> Net {
        let total = bucket.total();
        let kept = total.allocs.saturating_sub(total.frees) as f64;
        let freed = total.frees as f64;
        if total.allocs < NAME_LEAST_BIRTHS || freed > (1.0 - LIFE_LEAST_KEPT) * total.allocs as f64
        {
            return Net::default();
        }
        net_of_samples(kept, self.unit(idx))
    }

    /// True if the life before the attach agrees with the growth that is probable: the buckets that grow have kept nearly
    /// all they allocated, hold as much as that growth brings in half a life, and were at it before the attach.
    fn life_agrees(&self, nets: &[Net], at_ns: u64) -> bool {
        let attached_ns = self.target.attached_ns;
        let (true, Some(uptime_ns)) = (self.has_life(), self.target.uptime_ns(attached_ns)) else {
            return false;
        };
        let Some(rate) = self.diagnosis.whole.judged().heap.rate else {
            return false;
        };
        let mut life = LifeBefore {
            uptime_s: uptime_ns as f64 / 1e9,
            watched_s: at_ns.saturating_sub(attached_ns) as f64 / 1e9,
            ..LifeBefore::default()
        };
        for ((idx, bucket), net) in (0u32..).zip(&self.buckets).zip(nets) {
            if bucket.object_bytes >= LARGE_BYTES || net.samples == 0.0 {
                continue;
            }
            life.net_bytes += net.bytes;
            let total = bucket.total();
            let kept = total.allocs.saturating_sub(total.frees);
            if total.allocs >= LIFE_LEAST_BIRTHS
                && kept as f64 >= LIFE_LEAST_KEPT * total.allocs as f64
            {
                life.keeping_bytes += net.bytes;
                life.keeping_samples += net.samples;
                life.held_bytes += kept as f64 * self.unit(idx).bytes;
                life.born += total.allocs as f64;
                life.born_before += bucket.at_attach.allocs as f64;
            }
        }
        life.agrees(rate.per_min.value)
    }

    /// Net change of each call site that the last evaluation found, in bytes.
    pub(super) fn net_by_site(&self) -> BTreeMap<u32, Net> {
        let explained = &self.diagnosis.explained;
        let mut sites: BTreeMap<u32, Net> = BTreeMap::new();
        for (site, net) in explained.small.sites.iter().chain(&explained.large.sites) {
            *sites.entry(*site).or_default() += *net;
        }
        sites
    }
}
