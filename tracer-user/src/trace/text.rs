//! Reads the line format of an earlier tap: one event a line, its first character the kind.
//!
//! These files name neither the target nor its mappings and hold no anatomy, so that everything made of those is
//! unknown in their replay. Figures stand in Rust's debug form, which is RON but for its braces.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::Trace;
use crate::event::{
    Birth, BucketsRead, CallsRead, Event, Exit, GoroutinesRead, HeapRead, History, ProbeEvent,
    Source, Target,
};
use crate::go::buckets::{BucketCounts, Counts, NewBucket};
use crate::go::frame::{Frame, name_for_print};
use crate::go::goroutines::AllGoroutines;
use crate::go::memstats::HeapFigures;
use crate::go::symbol;

/// Interval of goroutine reads in these files.
const GOROUTINES_EVERY_NS: u64 = 5_000_000_000;

/// Reads a file of this format.
///
/// # Errors
/// If its first line is none of the format's, or nothing in it has a time.
pub(super) fn parse(lines: impl BufRead) -> Result<Trace, String> {
    let mut parser = Parser::default();
    for (number, line) in (1..).zip(lines.lines()) {
        let Ok(line) = line else {
            parser.cut_at(number, "it cannot be decompressed further");
            break;
        };
        if parser.line(&line).is_none() {
            if number == 1 {
                return Err("it is no trace".to_owned());
            }
            parser.cut_at(number, "the line is of no known kind");
            break;
        }
    }
    parser.finish().ok_or_else(|| "it is no trace".to_owned())
}

#[derive(Default)]
struct Parser {
    events: Vec<Event>,
    /// Time of the last event.
    at_ns: u64,
    /// Buckets read since the last other event.
    read: Option<BucketsRead>,
    names: Vec<(u64, Arc<Frame>)>,
    samples: Option<(u64, Vec<(u64, u64)>)>,
    sites: Vec<NewBucket>,
    births: Vec<Birth>,
    is_by_marks: bool,
    remarks: Vec<String>,
}

impl Parser {
    fn cut_at(&mut self, number: usize, why: &str) {
        self.remarks
            .push(format!("the trace is cut at line {number}: {why}"));
    }

    /// Reads one line; `None` for one that is not of the format.
    fn line(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        let mut words = Words(rest.split(' '));
        self.close(kind);
        match kind {
            "A" => {
                let pc = words.hex()?;
                self.names
                    .push((pc, Arc::new(frame(pc, rest.split_once(' ')?.1)?)));
            }
            "P" => self.samples = Some((words.time()?, Vec::new())),
            "p" => {
                let sample = (words.hex()?, words.hex()?);
                self.samples.as_mut()?.1.push(sample);
            }
            "B" => self.probe(ProbeEvent::Born {
                at_ns: words.time()?,
                object: words.hex()?,
                bucket: words.hex()?,
            }),
            "F" => self.probe(ProbeEvent::Freed {
                at_ns: words.time()?,
                object: words.hex()?,
                bucket: words.hex()?,
            }),
            "L" => self.probe(ProbeEvent::Flushed {
                at_ns: words.time()?,
            }),
            "S" => self.probe(ProbeEvent::GcStart {
                at_ns: words.time()?,
                heap_bytes: None,
            }),
            "M" => self.probe(ProbeEvent::GcMarked {
                at_ns: words.time()?,
                live_bytes: words.time()?,
                cycle: u32::try_from(words.time()?).ok(),
                heap_bytes: None,
            }),
            "R" => {
                self.read = Some(BucketsRead {
                    from_ns: words.time()?,
                    to_ns: words.time()?,
                    cycle: words.time().and_then(|cycle| u32::try_from(cycle).ok()),
                    swept: words.time()? == 1,
                    complete: words.time()? == 1,
                    ..BucketsRead::default()
                });
            }
            "N" => self.bucket(&mut words)?,
            "C" => {
                let (bucket, allocs, frees) = (words.hex()?, words.time()?, words.time()?);
                let counts = BucketCounts {
                    total: Counts { allocs, frees },
                    born_since_mark: words.time()?,
                };
                self.read.as_mut()?.counts.push((bucket, counts));
            }
            "H" => self.push(Event::Heap(heap(rest)?)),
            "K" => self.calls(rest)?,
            "G" => {
                let (at_ns, found) = rest.split_once(' ')?;
                let at_ns = at_ns.parse().ok()?;
                self.push(Event::Goroutines(GoroutinesRead {
                    at_ns,
                    took_ns: 0,
                    next_ns: at_ns + GOROUTINES_EVERY_NS,
                    found: Ok(debug_form::<AllGoroutines>(found)?),
                }));
            }
            "b" => {
                self.is_by_marks = true;
                self.births.push(Birth {
                    at_ns: words.time()?,
                    object: words.hex()?,
                    bucket: words.hex()?,
                    weight: words.0.next()?.parse().ok()?,
                });
            }
            "d" => {
                let at_ns = words.time()?;
                let objects = words.0.map_while(hex).collect();
                self.push(Event::Dead { at_ns, objects });
            }
            "m" => {
                let at_ns = words.time()?;
                let number = u32::try_from(words.time()?).ok()?;
                self.push(Event::MarksRead { at_ns, number });
            }
            "X" => {
                let at_ns = words.time()?;
                let (exit, how) = (Exit::default(), None);
                self.push(Event::Exited { at_ns, exit, how });
            }
            _ => return None,
        }
        Some(())
    }

    /// Emits what was gathered from lines of the kinds before, as the line of `kind` ends it.
    fn close(&mut self, kind: &str) {
        if kind != "A" && !self.names.is_empty() {
            let (at_ns, names) = (self.at_ns, std::mem::take(&mut self.names));
            self.push(Event::Named { at_ns, names });
        }
        if kind != "p"
            && let Some((from_ns, samples)) = self.samples.take()
        {
            self.push(Event::Specials {
                from_ns,
                samples,
                cut: false,
            });
        }
        if !matches!(kind, "N" | "C")
            && let Some(read) = self.read.take()
        {
            self.push(Event::Buckets(read));
        }
        if kind != "b" && !self.births.is_empty() {
            let births = std::mem::take(&mut self.births);
            self.push(Event::Births(births));
        }
        if kind != "N" && !self.sites.is_empty() {
            let (at_ns, sites) = (self.at_ns, std::mem::take(&mut self.sites));
            self.push(Event::Sites { at_ns, sites });
        }
    }

    fn push(&mut self, event: Event) {
        self.at_ns = self.at_ns.max(event.at_ns());
        self.events.push(event);
    }

    fn probe(&mut self, event: ProbeEvent) {
        self.push(Event::Probe(event));
    }

    /// A new bucket: of the read that is going on, else of a source whose stacks come from probes.
    fn bucket(&mut self, words: &mut Words<'_>) -> Option<()> {
        let (addr, object_bytes) = (words.hex()?, words.time()?);
        let pcs: Arc<[u64]> = words.0.by_ref().map_while(hex).collect();
        let bucket = NewBucket {
            addr,
            object_bytes,
            n_frames: u32::try_from(pcs.len()).ok()?,
            pcs,
            go_type: None,
        };
        match &mut self.read {
            Some(read) => read.new.push(bucket),
            None => self.sites.push(bucket),
        }
        Some(())
    }

    /// `K ns [("function", hits), …] counted_ns all_ns`.
    fn calls(&mut self, rest: &str) -> Option<()> {
        let (at_ns, rest) = rest.split_once(' ')?;
        let (functions, times) = rest.rsplit_once("] ")?;
        let functions: Vec<(String, u64)> = debug_form(&format!("{functions}]"))?;
        let mut times = Words(times.split(' '));
        self.push(Event::Calls(CallsRead {
            at_ns: at_ns.parse().ok()?,
            functions: functions
                .into_iter()
                .map(|(function, calls)| (function.into(), calls))
                .collect(),
            counted_ns: times.time()?,
            all_ns: times.time()?,
            is_on: true,
            is_windowed: false,
        }));
        Some(())
    }

    /// The trace, with the attach that these files do not state. `None` where nothing has a time.
    fn finish(mut self) -> Option<Trace> {
        self.close("");
        let attached_ns = self
            .events
            .iter()
            .map(Event::at_ns)
            .find(|&at_ns| at_ns > 0)?;
        let (source, history) = if self.is_by_marks {
            (Source::Spans, History::SinceAttach)
        } else {
            (Source::Sampler, History::SinceStart)
        };
        let target = Target {
            attached_ns,
            attached_unix_ns: self.unix_ns(attached_ns),
            main_module: self.main_module(),
            source,
            history,
            ..Target::default()
        };
        self.events.insert(0, Event::attached(target));
        self.remarks.push(
            "the trace has neither target, mappings nor anatomy: what depends on them is null"
                .into(),
        );
        Some(Trace {
            events: self.events,
            remarks: self.remarks,
        })
    }

    /// Module of the function that `main.main` calls on some stack: these files state none.
    fn main_module(&self) -> Option<String> {
        let mut functions: HashMap<u64, &str> = HashMap::new();
        let mut stacks: Vec<&NewBucket> = Vec::new();
        for event in &self.events {
            match event {
                Event::Named { names, .. } => {
                    functions.extend(names.iter().map(|(pc, frame)| (*pc, &*frame.function)));
                }
                Event::Buckets(read) => stacks.extend(&read.new),
                Event::Sites { sites, .. } => stacks.extend(sites),
                _ => {}
            }
        }
        stacks.iter().find_map(|stack| {
            let mut names = stack.pcs.iter().rev().map(|pc| functions.get(pc).copied());
            names.find(|name| *name == Some("main.main"))?;
            module_of(names.next()??)
        })
    }

    /// Unix time of a monotonic time, by the runtime's own time of a mark that a probe saw; 0 where none was seen.
    fn unix_ns(&self, at_ns: u64) -> i64 {
        let mut marked = None;
        for event in &self.events {
            match event {
                Event::Probe(ProbeEvent::GcMarked { at_ns, cycle, .. }) => {
                    marked = cycle.map(|cycle| (cycle, *at_ns));
                }
                Event::Heap(HeapRead {
                    runtime: Some(figures),
                    ..
                }) => {
                    if let Some((cycle, mark_ns)) = marked
                        && figures.gc_cycles == cycle
                    {
                        let unix_ns = i128::from(figures.last_gc_unix_ns) + i128::from(at_ns)
                            - i128::from(mark_ns);
                        return i64::try_from(unix_ns).unwrap_or(0);
                    }
                }
                _ => {}
            }
        }
        0
    }
}

/// Path of a module that is kept in a repository of its owner: the first three elements of a package's path.
fn module_of(function: &str) -> Option<String> {
    let package = symbol::package(function);
    let elements: Vec<&str> = package.split('/').take(3).collect();
    let is_path = elements.len() == 3 && elements[0].contains('.');
    is_path.then(|| elements.join("/"))
}

/// Words of a line.
struct Words<'a>(std::str::Split<'a, char>);

impl Words<'_> {
    fn hex(&mut self) -> Option<u64> {
        self.0.next().and_then(hex)
    }

    /// A decimal number.
    fn time(&mut self) -> Option<u64> {
        self.0.next()?.parse().ok()
    }
}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}

/// `function|file|line|inlined`.
fn frame(pc: u64, words: &str) -> Option<Frame> {
    let (function, place) = words.split_once('|')?;
    let mut place = place.rsplitn(3, '|');
    let (inlined, line, file) = (place.next()?, place.next()?, place.next()?);
    let symbol: Arc<str> = function.into();
    Some(Frame {
        function: name_for_print(&symbol),
        symbol,
        file: file.into(),
        line: line.parse().ok()?,
        entry: pc,
        inlined: inlined == "1",
        ..Frame::unnamed(pc)
    })
}

/// Reads Rust's debug form of a value, in which no text holds a brace.
fn debug_form<T: DeserializeOwned>(text: &str) -> Option<T> {
    ron::from_str(&text.replace('{', "(").replace('}', ")")).ok()
}

/// A line of figures behind its kind.
fn heap(line: &str) -> Option<HeapRead> {
    let (at_ns, rest) = line.split_once(' ')?;
    let (rss_bytes, figures) = rest.split_once(' ')?;
    Some(HeapRead {
        at_ns: at_ns.parse().ok()?,
        rss_bytes: debug_form(rss_bytes)?,
        runtime: debug_form::<Option<HeapFigures>>(figures)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "\
H 1000 Some(187129856) Some(HeapFigures { gc_cycles: 270, live_bytes: 67933968, goal_bytes: Some(136682472), rate_bytes: 524288, prof_cycle: ProfCycle(541), swept: true, heap_live_bytes: 113766872, triggered_bytes: None, gc_percent: Some(100), memory_limit_bytes: None, forced_cycles: 0, pause_total_ns: 82097984, last_pause_ns: 180756, last_gc_unix_ns: 1795963273045370910, total_alloc_bytes: 6545872248 })
R 1100 1200 270 1 1
N 7f0a 416 100f528 100f7de
C 7f0a 5 2 1
K 1300 [(\"net/http.serverHandler.ServeHTTP\", 12), (\"google.golang.org/grpc.(*Server).handleStream\", 0)] 82 90
A 100f528 runtime.makemap|runtime/map.go|312|0
A 100f7de main.(*cache[...]).put|/src/a|b.go|7|1
P 1400 2 0
p c000 7f0a
p c008 7f0a
B 1500 c010 7f0a
G 1600 AllGoroutines { groups: [Group { created_pc: 5, start_pc: 6, count: 28, stack_bytes: 2146304, states: States { runnable: 0, running: 0, syscall: 0, waiting: 28, other: 0 }, waits: [(\"IO wait\", 28)], waiting_since_ns: Some(8), oldest: Some(Oldest { goid: 9, waiting_since_ns: Some(8), pcs: [1, 2], truncated: false }) }], others: Others { count: 0, stack_bytes: 0 }, total: 28, stack_bytes: 2146304, dead: 1, unreadable: 0, omitted: 0, allocated_bytes: Some(5), tracked: Tracked { shift: 0, goroutines: [TrackedGoroutine { goid: 1, group: 0, stack_bytes: 65536 }] } }
S 1700
M 1800 60452192 271
F 1900 c000 7f0a
L 2000
X 2100
";

    #[test]
    fn reads_each_kind_of_line() {
        let trace = parse(TRACE.as_bytes()).unwrap();
        let Event::Attached(attached) = &trace.events[0] else {
            panic!("{:?}", trace.events[0]);
        };
        assert_eq!(attached.target.attached_ns, 1000);
        assert_eq!(attached.target.source, Source::Sampler);
        let kinds: Vec<String> = trace.events[1..]
            .iter()
            .map(|event| {
                let text = format!("{event:?}");
                text.split(['(', ' ']).next().unwrap_or_default().to_owned()
            })
            .collect();
        assert_eq!(
            kinds.join(" "),
            "Heap Buckets Calls Named Specials Probe Goroutines Probe Probe Probe Probe Exited"
        );
        let Event::Named { names, .. } = &trace.events[4] else {
            panic!("{:?}", trace.events[4]);
        };
        assert_eq!(&*names[1].1.function, "main.(*cache[...]).put");
        assert_eq!((&*names[1].1.file, names[1].1.line), ("/src/a|b.go", 7));
    }

    #[test]
    fn keeps_what_comes_before_an_odd_line() {
        let cut = TRACE.replace("S 1700", "? what");
        let trace = parse(cut.as_bytes()).unwrap();
        assert!(matches!(trace.events.last(), Some(Event::Goroutines(_))));
        assert!(trace.remarks[0].contains("line 13"), "{:?}", trace.remarks);
    }

    proptest! {
        #[test]
        fn never_panics(lines in prop::collection::vec("[A-Za-z] [0-9a-f .()\\[\\]{}|]{0,40}", 0..8)) {
            let _ = parse(lines.join("\n").as_bytes());
        }
    }
}
