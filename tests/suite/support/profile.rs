//! A reader of pprof profiles, whole: every field of `profile.proto`, so that two profiles that compare
//! equal say the same. Shares nothing with heaptop's writer.

use std::io::Read as _;

use prost::Message;

mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(super) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(super) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(super) mapping: Vec<Mapping>,
        #[prost(message, repeated, tag = "4")]
        pub(super) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(super) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(super) string_table: Vec<String>,
        #[prost(int64, tag = "7")]
        pub(super) drop_frames: i64,
        #[prost(int64, tag = "8")]
        pub(super) keep_frames: i64,
        #[prost(int64, tag = "9")]
        pub(super) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(super) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(super) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(super) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(super) comment: Vec<i64>,
        #[prost(int64, tag = "14")]
        pub(super) default_sample_type: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(super) r#type: i64,
        #[prost(int64, tag = "2")]
        pub(super) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(super) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(super) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) label: Vec<Label>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Label {
        #[prost(int64, tag = "1")]
        pub(super) key: i64,
        #[prost(int64, tag = "2")]
        pub(super) str: i64,
        #[prost(int64, tag = "3")]
        pub(super) num: i64,
        #[prost(int64, tag = "4")]
        pub(super) num_unit: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Mapping {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(uint64, tag = "2")]
        pub(super) memory_start: u64,
        #[prost(uint64, tag = "3")]
        pub(super) memory_limit: u64,
        #[prost(uint64, tag = "4")]
        pub(super) file_offset: u64,
        #[prost(int64, tag = "5")]
        pub(super) filename: i64,
        #[prost(int64, tag = "6")]
        pub(super) build_id: i64,
        #[prost(bool, tag = "7")]
        pub(super) has_functions: bool,
        #[prost(bool, tag = "8")]
        pub(super) has_filenames: bool,
        #[prost(bool, tag = "9")]
        pub(super) has_line_numbers: bool,
        #[prost(bool, tag = "10")]
        pub(super) has_inline_frames: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Location {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(uint64, tag = "2")]
        pub(super) mapping_id: u64,
        #[prost(uint64, tag = "3")]
        pub(super) address: u64,
        #[prost(message, repeated, tag = "4")]
        pub(super) line: Vec<Line>,
        #[prost(bool, tag = "5")]
        pub(super) is_folded: bool,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Line {
        #[prost(uint64, tag = "1")]
        pub(super) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(super) line: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(super) struct Function {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "2")]
        pub(super) name: i64,
        #[prost(int64, tag = "3")]
        pub(super) system_name: i64,
        #[prost(int64, tag = "4")]
        pub(super) filename: i64,
        #[prost(int64, tag = "5")]
        pub(super) start_line: i64,
    }
}

/// What a profile says of the whole, in plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sample_types: Vec<(String, String)>,
    pub(crate) period_type: Option<(String, String)>,
    pub(crate) period: i64,
    pub(crate) default_sample_type: String,
    pub(crate) drop_frames: String,
    pub(crate) keep_frames: String,
    pub(crate) comments: Vec<String>,
    pub(crate) duration_nanos: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) file: String,
    pub(crate) build_id: String,
    pub(crate) has_functions: bool,
    pub(crate) has_filenames: bool,
    pub(crate) has_line_numbers: bool,
    pub(crate) has_inline_frames: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) values: Vec<i64>,
    /// Key, text, number, unit.
    pub(crate) labels: Vec<(String, String, i64, String)>,
    pub(crate) locations: Vec<Location>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) address: u64,
    /// Start of its mapping; `None` without one.
    pub(crate) mapping: Option<u64>,
    /// Innermost first.
    pub(crate) lines: Vec<Line>,
    pub(crate) is_folded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) function: String,
    pub(crate) system_name: String,
    pub(crate) file: String,
    pub(crate) start_line: i64,
    pub(crate) line: i64,
}

/// A profile without ids and string indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) header: Header,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) time_nanos: i64,
}

impl Profile {
    /// Reads a compressed profile; panics on any reference that leads nowhere.
    #[track_caller]
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(bytes)
            .read_to_end(&mut plain)
            .expect("gzip");
        let raw = proto::Profile::decode(plain.as_slice()).expect("a pprof profile");
        let text = |index: i64| {
            let index = usize::try_from(index).expect("an index of a string");
            raw.string_table[index].clone()
        };
        let pair = |value: &proto::ValueType| (text(value.r#type), text(value.unit));
        let header = Header {
            sample_types: raw.sample_type.iter().map(pair).collect(),
            period_type: raw.period_type.as_ref().map(pair),
            period: raw.period,
            default_sample_type: text(raw.default_sample_type),
            drop_frames: text(raw.drop_frames),
            keep_frames: text(raw.keep_frames),
            comments: raw.comment.iter().map(|&index| text(index)).collect(),
            duration_nanos: raw.duration_nanos,
        };
        let line = |line: &proto::Line| {
            let mut functions = raw.function.iter();
            let function = functions
                .find(|function| function.id == line.function_id)
                .expect("a function");
            Line {
                function: text(function.name),
                system_name: text(function.system_name),
                file: text(function.filename),
                start_line: function.start_line,
                line: line.line,
            }
        };
        let location = |id: &u64| {
            let mut locations = raw.location.iter();
            let location = locations.find(|location| location.id == *id);
            let location = location.expect("a location");
            let mapping = raw.mapping.iter().find(|map| map.id == location.mapping_id);
            Location {
                address: location.address,
                mapping: mapping.map(|mapping| mapping.memory_start),
                lines: location.line.iter().map(line).collect(),
                is_folded: location.is_folded,
            }
        };
        let label = |label: &proto::Label| {
            let (key, str) = (text(label.key), text(label.str));
            (key, str, label.num, text(label.num_unit))
        };
        let sample = |sample: &proto::Sample| Sample {
            values: sample.value.clone(),
            labels: sample.label.iter().map(label).collect(),
            locations: sample.location_id.iter().map(location).collect(),
        };
        let mapping = |mapping: &proto::Mapping| Mapping {
            start: mapping.memory_start,
            limit: mapping.memory_limit,
            offset: mapping.file_offset,
            file: text(mapping.filename),
            build_id: text(mapping.build_id),
            has_functions: mapping.has_functions,
            has_filenames: mapping.has_filenames,
            has_line_numbers: mapping.has_line_numbers,
            has_inline_frames: mapping.has_inline_frames,
        };
        Self {
            header,
            mappings: raw.mapping.iter().map(mapping).collect(),
            samples: raw.sample.iter().map(sample).collect(),
            time_nanos: raw.time_nanos,
        }
    }
}
