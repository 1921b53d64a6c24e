//! A heap profile as Go's own writer makes it, for `go tool pprof` and everything that reads its format.
//!
//! Source: `src/runtime/pprof/protomem.go` and `proto.go`, go1.18 to go1.27: types, order, period, label,
//! hidden runtime frames, inlined frames as lines of one location, addresses one before the return.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;

use super::pprof_proto::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use crate::go::frame::Frame;
pub use crate::go::profile::{HeapProfile, MappedFile, Record};

/// The frame of each return address.
pub type Names = HashMap<u64, Arc<Frame>>;

/// The addresses whose frames [`encode`] wants: each return address, and the one behind it.
///
/// Go hides leading runtime frames by `FuncForPC(pc)`, which looks at the return address itself and not, as
/// the names of frames do, before it; where code is inlined the two differ.
pub fn wanted_names(records: &[Record]) -> Vec<u64> {
    let pcs = records.iter().flat_map(|record| record.pcs.iter());
    let mut wanted: Vec<u64> = pcs.flat_map(|&pc| [pc, pc.wrapping_add(1)]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// Encodes and compresses a profile. `names` holds the frames of [`wanted_names`]; a return address without
/// one becomes a location without a function.
pub fn encode(profile: &HeapProfile, names: &Names) -> std::io::Result<Vec<u8>> {
    let mut builder = Builder::new(names, profile);
    let mut value_type = |r#type: &str, unit: &str| ValueType {
        r#type: builder.strings.index(r#type),
        unit: builder.strings.index(unit),
    };
    let period_type = Some(value_type("space", "bytes"));
    let sample_type = vec![
        value_type("alloc_objects", "count"),
        value_type("alloc_space", "bytes"),
        value_type("inuse_objects", "count"),
        value_type("inuse_space", "bytes"),
    ];
    let sample = profile
        .records
        .iter()
        .map(|record| builder.sample(record, profile.rate_bytes))
        .collect();
    let mapping = builder.mapping_messages();
    let message = Profile {
        sample_type,
        sample,
        mapping,
        location: builder.locations,
        function: builder.functions,
        string_table: builder.strings.table,
        time_nanos: profile.at_unix_ns,
        period_type,
        period: i64::try_from(profile.rate_bytes).unwrap_or(i64::MAX),
    };
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(&message.encode_to_vec())?;
    zip.finish()
}

struct Strings {
    table: Vec<String>,
    index: HashMap<String, i64>,
}

impl Strings {
    fn index(&mut self, text: &str) -> i64 {
        if let Some(&index) = self.index.get(text) {
            return index;
        }
        let index = i64::try_from(self.table.len()).unwrap_or(i64::MAX);
        self.table.push(text.to_owned());
        self.index.insert(text.to_owned(), index);
        index
    }
}

struct Builder<'a> {
    names: &'a Names,
    mappings: &'a [MappedFile],
    label_unused: bool,
    /// A mapping has functions only if every address in it has a name.
    mapping_failed: Vec<bool>,
    mapping_used: Vec<bool>,
    strings: Strings,
    /// By the address that the location begins with: its id and how many pcs of a stack it covers.
    by_address: HashMap<u64, (u64, usize)>,
    locations: Vec<Location>,
    by_symbol: HashMap<Arc<str>, u64>,
    functions: Vec<Function>,
}

impl<'a> Builder<'a> {
    fn new(names: &'a Names, profile: &'a HeapProfile) -> Self {
        let mut strings = Strings {
            table: Vec::new(),
            index: HashMap::new(),
        };
        strings.index(""); // pprof wants the empty string first.
        Self {
            names,
            mappings: &profile.mappings,
            label_unused: profile.label_unused,
            mapping_failed: Vec::new(),
            mapping_used: Vec::new(),
            strings,
            by_address: HashMap::new(),
            locations: Vec::new(),
            by_symbol: HashMap::new(),
            functions: Vec::new(),
        }
    }

    fn sample(&mut self, record: &Record, rate_bytes: u64) -> Sample {
        let scaled = |samples| scaled(record.object_bytes, rate_bytes, samples);
        let (alloc_objects, alloc_bytes) = scaled(record.counts.allocs);
        let (inuse_objects, inuse_bytes) = scaled(record.counts.live());
        let mut location_id = self.stack(self.without_runtime(&record.pcs));
        if location_id.is_empty() {
            location_id = self.stack(&record.pcs);
        }
        let mut label = Vec::new();
        let is_sized = record.counts.allocs > 0 || self.label_unused;
        if is_sized && record.object_bytes > 0 {
            let num = i64::try_from(record.object_bytes).unwrap_or(i64::MAX);
            label.push(Label {
                key: self.strings.index("bytes"),
                num,
            });
        }
        Sample {
            location_id,
            value: vec![alloc_objects, alloc_bytes, inuse_objects, inuse_bytes],
            label,
        }
    }

    /// A stack without its leading runtime frames; whole if it has no others.
    fn without_runtime<'s>(&self, pcs: &'s [u64]) -> &'s [u64] {
        let is_hidden = |pc: &u64| {
            // The process may have ended before the address behind was looked up.
            let behind = self.frame(pc.wrapping_add(1));
            behind.or_else(|| self.frame(*pc)).is_some_and(|frame| {
                // Narrower than a call site's rule: it is pprof's own.
                frame.function.starts_with("runtime.")
                    || frame.function.starts_with("internal/runtime/")
            })
        };
        pcs.iter()
            .position(|pc| !is_hidden(pc))
            .map_or(pcs, |first| &pcs[first..])
    }

    /// Locations of a stack. Logical frames of one piece of code, inlined into each other, share one.
    fn stack(&mut self, mut pcs: &[u64]) -> Vec<u64> {
        let mut ids = Vec::new();
        while let Some(&pc) = pcs.first() {
            if let Some(&(id, covers)) = self.by_address.get(&pc) {
                ids.push(id);
                pcs = &pcs[covers.min(pcs.len())..];
                continue;
            }
            if self
                .frame(pc)
                .is_some_and(|frame| &*frame.function == "runtime.goexit")
            {
                pcs = &pcs[1..];
                continue;
            }
            let n = self.inlined_run(pcs);
            ids.push(self.location(&pcs[..n]));
            pcs = &pcs[n..];
        }
        ids
    }

    fn frame(&self, pc: u64) -> Option<&'a Arc<Frame>> {
        self.names.get(&pc).filter(|frame| frame.is_named())
    }

    /// How many of the first pcs are one inlined run: each but the last inlined into the next, all in one
    /// function's code, and no name twice in a row (that is recursion).
    fn inlined_run(&self, pcs: &[u64]) -> usize {
        let frames: Vec<_> = pcs.iter().map_while(|&pc| self.frame(pc)).collect();
        let joins = |pair: &[&Arc<Frame>]| {
            pair[0].inlined && pair[0].entry == pair[1].entry && pair[0].symbol != pair[1].symbol
        };
        1 + frames.windows(2).take_while(|pair| joins(pair)).count()
    }

    fn location(&mut self, pcs: &[u64]) -> u64 {
        let id = self.locations.len() as u64 + 1;
        let address = pcs[0].wrapping_sub(1);
        let mut line = Vec::with_capacity(pcs.len());
        let mut failed = false;
        for &pc in pcs {
            match self.frame(pc) {
                Some(frame) => {
                    let function_id = self.function(frame);
                    failed |= frame.line == 0;
                    line.push(Line {
                        function_id,
                        line: i64::from(frame.line),
                    });
                }
                None => failed = true,
            }
        }
        let mapping = self
            .mappings
            .iter()
            .position(|map| (map.start..map.end).contains(&pcs[0]));
        if let Some(mapping) = mapping {
            self.mapping_failed.resize(self.mappings.len(), false);
            self.mapping_used.resize(self.mappings.len(), false);
            self.mapping_failed[mapping] |= failed;
            self.mapping_used[mapping] = true;
        }
        let mapping_id = mapping.map_or(0, |i| i as u64 + 1);
        self.locations.push(Location {
            id,
            mapping_id,
            address,
            line,
        });
        self.by_address.insert(pcs[0], (id, pcs.len()));
        id
    }

    fn function(&mut self, frame: &Arc<Frame>) -> u64 {
        if let Some(&id) = self.by_symbol.get(&frame.symbol) {
            return id;
        }
        let id = self.functions.len() as u64 + 1;
        // Escaped as in Go's own profiles, or `-diff_base` would take one function for two.
        let name = self.strings.index(&frame.symbol);
        let filename = self.strings.index(&frame.file);
        let start_line = i64::from(frame.start_line);
        self.functions.push(Function {
            id,
            name,
            system_name: name,
            filename,
            start_line,
        });
        self.by_symbol.insert(frame.symbol.clone(), id);
        id
    }

    fn mapping_messages(&mut self) -> Vec<Mapping> {
        let flag = |flags: &[bool], i: usize| flags.get(i).copied().unwrap_or(false);
        (0..self.mappings.len())
            .map(|i| {
                let map = &self.mappings[i];
                Mapping {
                    id: i as u64 + 1,
                    memory_start: map.start,
                    memory_limit: map.end,
                    file_offset: map.offset,
                    filename: self.strings.index(&map.path),
                    build_id: self.strings.index(&map.build_id),
                    has_functions: flag(&self.mapping_used, i) && !flag(&self.mapping_failed, i),
                }
            })
            .collect()
    }
}

/// Samples to objects and bytes, step by step as `scaleHeapSample` does it, so that the same bits are cut off.
#[allow(clippy::cast_possible_truncation, reason = "Go truncates here too")]
fn scaled(object_bytes: u64, rate_bytes: u64, samples: u64) -> (i64, i64) {
    let bytes = samples.saturating_mul(object_bytes);
    if samples == 0 || object_bytes == 0 {
        return (0, 0);
    }
    if rate_bytes <= 1 {
        return (samples.cast_signed(), bytes.cast_signed());
    }
    let scale = 1.0 / (1.0 - (-(object_bytes as f64) / rate_bytes as f64).exp());
    (
        (samples as f64 * scale) as i64,
        (bytes as f64 * scale) as i64,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::buckets::Counts;
    use std::io::Read as _;

    fn frame(symbol: &str, entry: u64, inlined: bool) -> Arc<Frame> {
        Arc::new(Frame {
            function: symbol.into(),
            symbol: symbol.into(),
            entry,
            inlined,
            line: 7,
            ..Frame::unnamed(0)
        })
    }

    fn decode(bytes: &[u8]) -> Profile {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes)
            .read_to_end(&mut plain)
            .unwrap();
        Profile::decode(plain.as_slice()).unwrap()
    }

    #[test]
    fn inlined_frames_share_a_location_and_leading_runtime_frames_are_hidden() {
        let names = HashMap::from([
            (11, frame("runtime.mallocgc", 10, false)),
            (12, frame("runtime.mallocgc", 10, false)),
            (21, frame("gopkg.in/yaml%2ev3.inner", 20, true)),
            (22, frame("main.outer", 20, false)),
            (31, frame("main.main", 30, false)),
            (41, frame("runtime.goexit", 40, false)),
        ]);
        let record = Record {
            pcs: [11, 21, 22, 31, 41].into(),
            object_bytes: 1024,
            counts: Counts {
                allocs: 5,
                frees: 2,
            },
        };
        let profile = HeapProfile {
            records: vec![record],
            rate_bytes: 1,
            at_unix_ns: 9,
            mappings: vec![MappedFile {
                start: 0,
                end: 100,
                offset: 0,
                path: "/p".into(),
                build_id: "ab".into(),
            }],
            label_unused: false,
        };
        let decoded = decode(&encode(&profile, &names).unwrap());
        assert_eq!(decoded.sample[0].value, [5, 5120, 3, 3072]);
        assert_eq!(decoded.location.len(), 2);
        assert_eq!(decoded.location[0].line.len(), 2);
        assert_eq!(decoded.location[0].address, 20);
        assert!(decoded.mapping[0].has_functions);
        let go_name = "gopkg.in/yaml%2ev3.inner";
        assert!(decoded.string_table.iter().any(|name| name == go_name));
        assert_eq!(decoded.string_table[0], "");
        assert_eq!(decoded.sample[0].label[0].num, 1024);
    }

    #[test]
    fn what_lies_at_the_return_address_decides_whether_a_leading_frame_is_hidden() {
        let names = HashMap::from([
            (21, frame("reflect.makemap", 20, false)),
            (22, frame("runtime.makemap", 20, true)), // inlined into it, right behind the call
            (31, frame("main.main", 30, false)),
        ]);
        let record = Record {
            pcs: [21, 31].into(),
            object_bytes: 48,
            counts: Counts::default(),
        };
        let profile = HeapProfile {
            records: vec![record],
            rate_bytes: 1,
            at_unix_ns: 0,
            mappings: Vec::new(),
            label_unused: true,
        };
        assert_eq!(wanted_names(&profile.records), [21, 22, 31, 32]);
        let decoded = decode(&encode(&profile, &names).unwrap());
        assert_eq!(decoded.location.len(), 1);
        assert_eq!(decoded.sample[0].label[0].num, 48);
    }

    #[test]
    fn a_stack_of_runtime_frames_alone_is_kept_and_an_unknown_pc_has_no_function() {
        let names = HashMap::from([(11, frame("runtime.malg", 10, false))]);
        let record = |pcs: &[u64]| Record {
            pcs: pcs.into(),
            object_bytes: 8,
            counts: Counts {
                allocs: 1,
                frees: 0,
            },
        };
        let profile = HeapProfile {
            records: vec![record(&[11]), record(&[99])],
            rate_bytes: 524_288,
            at_unix_ns: 0,
            mappings: Vec::new(),
            label_unused: false,
        };
        let decoded = decode(&encode(&profile, &names).unwrap());
        assert_eq!(decoded.sample[0].location_id.len(), 1);
        assert!(decoded.location[1].line.is_empty());
        assert_eq!(
            decoded.sample[0].value[0], 65_536,
            "1/(1−exp(−8/524288)), truncated"
        );
    }
}
