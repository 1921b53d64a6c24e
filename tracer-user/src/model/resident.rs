//! Makes parts of anatomy reads and keeps them: see [`super::anatomy`].

use super::Model;
use super::anatomy::{Anatomy, ClassWaste, Limit, LimitKind, Moment, Part, Parts};
use crate::event::{AnatomyRead, CgroupLimit};
use crate::go::census::Census;
use crate::go::size_classes::bytes_of;

/// Most moments kept: as many as GC cycles. A read comes every 5 seconds at most, so that the first 85 minutes are whole.
const MAX_MOMENTS: usize = super::gc::MAX_CYCLES;

/// What is kept of anatomy reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Resident {
    anatomy: Option<Box<Anatomy>>,
    /// For each baseline the moment that it is compared with; `None` until the first read behind it.
    baselines: Vec<Option<Moment>>,
    active: usize,
}

impl Resident {
    pub(super) fn mark_baseline(&mut self) {
        self.baselines
            .push(self.anatomy.as_ref().map(|anatomy| anatomy.now));
        self.use_baseline(self.baselines.len() - 1);
    }

    pub(super) fn forget_baseline(&mut self, index: usize) {
        if index < self.baselines.len() {
            self.baselines.remove(index);
        }
    }

    pub(super) fn use_baseline(&mut self, index: usize) {
        self.active = index;
        let moment = self.baselines.get(index).copied().flatten();
        if let Some(anatomy) = &mut self.anatomy {
            anatomy.baseline = moment;
        }
    }

    fn add(&mut self, moment: Moment, read: &AnatomyRead, go_limit_bytes: Option<u64>) {
        for baseline in &mut self.baselines {
            baseline.get_or_insert(moment);
        }
        let anatomy = self.anatomy.get_or_insert_default();
        anatomy.now = moment;
        anatomy.baseline = self.baselines.get(self.active).copied().flatten();
        if anatomy.reads == 0 || moment.rss_bytes > anatomy.peak.rss_bytes {
            anatomy.peak = moment;
        }
        anatomy.history.push(moment);
        if anatomy.history.len() > MAX_MOMENTS {
            // Every second moment of the older half goes: a watch of days keeps its shape.
            let mut i = 0;
            anatomy.history.retain(|_| {
                i += 1;
                i > MAX_MOMENTS / 2 || i % 2 == 1
            });
        }
        anatomy.classes = classes(&read.census);
        anatomy.accounts = read.accounts;
        anatomy.process_peak_rss_bytes = read.kernel.peak_rss_bytes;
        anatomy.swap_bytes = read.kernel.swap_bytes;
        anatomy.has_c = read.pages.has_c;
        anatomy.cgroup = read.cgroup;
        anatomy.limits = limits(read, go_limit_bytes);
        if read.calls_out.is_some() {
            anatomy.calls_out.clone_from(&read.calls_out);
        }
        anatomy.reads += 1;
        anatomy.read_cpu_ns = read.cpu_ns;
    }
}

impl Model {
    pub(super) fn apply_anatomy(&mut self, read: &AnatomyRead) {
        self.saw(read.at_ns.saturating_add(read.took_ns));
        let moment = Moment {
            at_ns: read.at_ns,
            rss_bytes: read.kernel.rss_bytes,
            parts: parts(read),
            live_bytes: read.accounts.live_bytes,
            stack_in_use_bytes: read.accounts.stacks_bytes,
            goroutines: self.goroutines.latest_count(),
            threads: read.kernel.threads,
            cgroup_usage_bytes: read.cgroup.as_ref().map(|cgroup| cgroup.usage_bytes),
            cgroup_file_bytes: read.cgroup.as_ref().and_then(|cgroup| cgroup.file_bytes),
        };
        let outside_bytes = moment.parts.get(Part::Anon);
        self.diagnosis.whole.outside(read.at_ns, outside_bytes);
        let go_limit_bytes = self.heap.runtime.and_then(|f| f.memory_limit_bytes);
        self.resident.add(moment, read, go_limit_bytes);
        self.see_peak();
    }

    /// What the resident set is made of; `None` until it was read, within a second of the attach.
    pub fn anatomy(&self) -> Option<&Anatomy> {
        self.resident.anatomy.as_deref()
    }
}

/// The parts of the resident set.
///
/// What is resident of the objects is live in the proportion in which the last cycle marked them: the page tables do not
/// tell a live object from a dead one. Where all of them is resident, as nearly always, that is what was marked.
///
/// Outside of the arenas page tables do not tell whose memory is whose. What the runtime accounts for there is its own,
/// the rest is not. Some of what it accounts for is never written (2 or 3 MiB; 8 MiB in go1.19): so much of the memory that
/// C or the program has by `mmap` counts as the runtime's. It does not change, so that growth is told right.
fn parts(read: &AnatomyRead) -> Parts {
    let census = &read.census;
    let resident = census.object_resident_bytes();
    let objects = census.object_bytes();
    let marked = read.accounts.live_bytes.min(objects);
    let live = proportion(resident, marked, objects);
    let pages = &read.pages;
    let perhaps = pages.other_anon_bytes.saturating_sub(pages.foreign_bytes);
    let metadata = read.accounts.metadata_bytes().min(perhaps);
    let mut parts = Parts::default();
    parts.set(Part::Live, live);
    parts.set(Part::Garbage, resident.saturating_sub(live));
    parts.set(Part::Waste, census.waste_bytes());
    parts.set(Part::Idle, census.idle_bytes);
    parts.set(Part::Stacks, census.stacks.resident_bytes);
    parts.set(
        Part::Metadata,
        census.work.resident_bytes.saturating_add(metadata),
    );
    parts.set(Part::Globals, pages.globals_bytes);
    parts.set(Part::Anon, pages.other_anon_bytes - metadata);
    let kernel = &read.kernel;
    parts.set(
        Part::File,
        kernel.file_bytes.saturating_add(kernel.shmem_bytes),
    );
    parts
}

/// `whole` × `part` / `of`; 0 where `of` is 0.
fn proportion(whole: u64, part: u64, of: u64) -> u64 {
    let product = u128::from(whole) * u128::from(part);
    let share = product.checked_div(u128::from(of)).unwrap_or(0);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Fragmentation by size class, the most wasteful first.
fn classes(census: &Census) -> Vec<ClassWaste> {
    let classes = census.classes.iter().enumerate();
    let mut wasted: Vec<ClassWaste> = classes
        .filter(|(_, class)| class.sum.spans > 0)
        .map(|(index, class)| ClassWaste {
            slot_bytes: bytes_of(index),
            spans: class.sum.spans,
            resident_bytes: class.sum.resident_bytes,
            waste_bytes: class.waste_bytes(),
            objects: class.objects,
        })
        .collect();
    wasted.sort_by_key(|class| (std::cmp::Reverse(class.waste_bytes), class.slot_bytes));
    wasted
}

/// The limits that are set, the one with least room first.
fn limits(read: &AnatomyRead, go_limit_bytes: Option<u64>) -> Vec<Limit> {
    let cgroup = read.cgroup.as_ref();
    let reclaimable_bytes = cgroup.and_then(|c| c.reclaimable_bytes).unwrap_or(0);
    let of_cgroup = |kind, limit: CgroupLimit| Limit {
        kind,
        bytes: limit.limit_bytes,
        used_bytes: limit.usage_bytes,
        reclaimable_bytes: reclaimable_bytes.min(limit.usage_bytes),
    };
    let max = cgroup.and_then(|c| c.max);
    let high = cgroup.and_then(|c| c.high);
    let mut limits: Vec<Limit> = [
        max.map(|limit| of_cgroup(LimitKind::MemoryMax, limit)),
        high.map(|limit| of_cgroup(LimitKind::MemoryHigh, limit)),
        go_limit_bytes.map(|bytes| Limit {
            kind: LimitKind::GoMemLimit,
            bytes,
            used_bytes: read.accounts.mapped_ready_bytes,
            reclaimable_bytes: 0,
        }),
        read.machine.map(|machine| Limit {
            kind: LimitKind::Machine,
            bytes: machine.total_bytes,
            used_bytes: machine.total_bytes.saturating_sub(machine.available_bytes),
            reclaimable_bytes: 0,
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    limits.sort_by_key(Limit::room_bytes);
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{CgroupRead, Event, KernelMemory, MachineRead, PageTables};
    use crate::go::accounts::Accounts;
    use crate::go::census::{ClassCensus, SpanSum};
    use crate::model::rows::Target;

    /// A heap of `idle` idle bytes over 100 of objects, of which 60 were marked.
    fn read(at_ns: u64, idle_bytes: u64) -> Event {
        let class = ClassCensus {
            sum: SpanSum {
                spans: 1,
                bytes: 128,
                resident_bytes: 120,
            },
            objects: 4,
            object_bytes: 100,
            object_resident_bytes: 100,
        };
        Event::Anatomy(Box::new(AnatomyRead {
            at_ns,
            kernel: KernelMemory {
                rss_bytes: 180 + idle_bytes,
                file_bytes: 10,
                ..KernelMemory::default()
            },
            pages: PageTables {
                globals_bytes: 5,
                other_anon_bytes: 40,
                foreign_bytes: 15,
                ..PageTables::default()
            },
            census: Census {
                classes: vec![ClassCensus::default(), class],
                idle_bytes,
                ..Census::default()
            },
            accounts: Accounts {
                live_bytes: 60,
                gc_misc_sys_bytes: 30,
                ..Accounts::default()
            },
            cgroup: Some(CgroupRead {
                usage_bytes: 500,
                reclaimable_bytes: Some(200),
                max: Some(CgroupLimit {
                    limit_bytes: 1000,
                    usage_bytes: 600,
                }),
                ..CgroupRead::default()
            }),
            machine: Some(MachineRead {
                total_bytes: 2000,
                available_bytes: 900,
            }),
            ..AnatomyRead::default()
        }))
    }

    #[test]
    fn parts_peak_baseline_and_limits_are_told() {
        let mut model = Model::replay([Event::attached(Target::default())]);
        model.apply(Event::MarkBaseline { at_ns: 1 });
        model.apply(read(2, 0));
        model.apply(read(3, 50));
        model.apply(Event::MarkBaseline { at_ns: 4 });
        model.apply(read(5, 20));
        let anatomy = model.anatomy().expect("read");
        let now = anatomy.now;
        let parts = Part::ALL.map(|part| now.parts.get(part));
        assert_eq!(parts, [60, 40, 20, 20, 0, 25, 5, 15, 10]);
        assert_eq!((now.parts.sum(), now.unexplained_bytes()), (195, 5));
        assert_eq!((anatomy.peak.at_ns, anatomy.history.len()), (3, 3));
        assert_eq!(anatomy.baseline.map(|moment| moment.at_ns), Some(3));
        assert_eq!(anatomy.classes.len(), 1);
        let limits = anatomy.limits.iter();
        let limits: Vec<_> = limits
            .map(|limit| (limit.kind, limit.room_bytes()))
            .collect();
        assert_eq!(
            limits,
            [(LimitKind::MemoryMax, 600), (LimitKind::Machine, 900)]
        );
        // The first baseline was marked before the first read, which stands for it.
        model.apply(Event::UseBaseline { at_ns: 0, index: 0 });
        let baseline = model.anatomy().and_then(|anatomy| anatomy.baseline);
        assert_eq!(baseline.map(|moment| moment.at_ns), Some(2));
    }

    #[test]
    fn the_history_is_bounded_and_keeps_its_ends() {
        let mut model = Model::replay([Event::attached(Target::default())]);
        for at_ns in 1..=5 * MAX_MOMENTS as u64 {
            model.apply(read(at_ns, 0));
        }
        let history = &model.anatomy().expect("read").history;
        assert!(history.len() <= MAX_MOMENTS && history.len() > MAX_MOMENTS / 2);
        assert_eq!(history.first().map(|moment| moment.at_ns), Some(1));
        assert!(history.is_sorted_by_key(|moment| moment.at_ns));
    }
}
