//! Ring-buffer bytes to events. Total: any bytes give an event or a typed error, never a panic.

use std::fmt;
use std::mem::offset_of;

use tracer_ebpf::wire::{
    self, ALLOC_BITS_WORDS, AllocRecord, GcRecord, MAX_STACK_PCS, RecordHeader, SampleRecord,
    SpanRecord, StackRecord,
};

use crate::event::{Allocated, ProbeEvent, Record, SpanTaken};

/// Why a record could not be decoded. Counted with the losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Shorter than the header that every record begins with.
    NoHeader {
        /// Bytes of the record.
        len: usize,
    },
    /// A kind that this version does not know.
    UnknownKind(u32),
    /// The length does not fit the kind.
    WrongLength {
        /// The record's kind.
        kind: u32,
        /// Bytes of the record.
        len: usize,
    },
    /// A number in it that no kernel side writes.
    OutOfRange {
        /// The record's kind.
        kind: u32,
        /// The number.
        value: u32,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader { len } => write!(f, "a record of {len} bytes has no header"),
            Self::UnknownKind(kind) => write!(f, "no record has kind {kind}"),
            Self::WrongLength { kind, len } => write!(f, "a record of kind {kind} has {len} bytes"),
            Self::OutOfRange { kind, value } => {
                write!(
                    f,
                    "a record of kind {kind} has the impossible number {value}"
                )
            }
        }
    }
}

impl std::error::Error for DecodeError {}

/// Decodes one record of the ring buffer.
pub fn record(bytes: &[u8]) -> Result<Record, DecodeError> {
    let len = bytes.len();
    let no_header = DecodeError::NoHeader { len };
    let kind = u32_at(bytes, offset_of!(RecordHeader, kind)).ok_or(no_header)?;
    let at_ns = u64_at(bytes, offset_of!(RecordHeader, at_ns)).ok_or(no_header)?;
    let expected = wire::record_len(kind).ok_or(DecodeError::UnknownKind(kind))?;
    let wrong = DecodeError::WrongLength { kind, len };
    if len != expected {
        return Err(wrong);
    }
    let word = |offset: usize| u64_at(bytes, offset).ok_or(wrong);
    let half = |offset: usize| u32_at(bytes, offset).ok_or(wrong);
    let span_class = |offset: usize| {
        let value = half(offset)?;
        u8::try_from(value).map_err(|_| DecodeError::OutOfRange { kind, value })
    };
    let heap_bytes = || {
        let bytes = word(offset_of!(GcRecord, heap_bytes))?;
        Ok((bytes != wire::HEAP_UNKNOWN).then_some(bytes))
    };
    let event = match kind {
        wire::KIND_BORN => ProbeEvent::Born {
            at_ns,
            object: word(offset_of!(SampleRecord, object))?,
            bucket: word(offset_of!(SampleRecord, bucket))?,
        },
        wire::KIND_FREED => ProbeEvent::Freed {
            at_ns,
            object: word(offset_of!(SampleRecord, object))?,
            bucket: word(offset_of!(SampleRecord, bucket))?,
        },
        wire::KIND_GC_START => ProbeEvent::GcStart {
            at_ns,
            heap_bytes: heap_bytes()?,
        },
        wire::KIND_GC_MARKED => ProbeEvent::GcMarked {
            at_ns,
            live_bytes: word(offset_of!(GcRecord, live_bytes))?,
            cycle: u32::try_from(word(offset_of!(GcRecord, cycle))?)
                .ok()
                .filter(|&cycle| cycle > 0),
            heap_bytes: heap_bytes()?,
        },
        wire::KIND_FLUSHED => ProbeEvent::Flushed { at_ns },
        wire::KIND_SPAN | wire::KIND_LARGE => {
            let mut alloc_bits = [0; ALLOC_BITS_WORDS];
            let at = offset_of!(SpanRecord, alloc_bits);
            for (i, bits) in alloc_bits.iter_mut().enumerate() {
                *bits = word(at + i * size_of::<u64>())?;
            }
            ProbeEvent::Span(SpanTaken {
                at_ns,
                stack: word(offset_of!(SpanRecord, stack))?,
                object: word(offset_of!(SpanRecord, object))?,
                start: word(offset_of!(SpanRecord, start))?,
                slot_bytes: word(offset_of!(SpanRecord, slot_bytes))?,
                n_slots: half(offset_of!(SpanRecord, n_slots))?,
                free_slots: half(offset_of!(SpanRecord, free_slots))?,
                free_index: half(offset_of!(SpanRecord, free_index))?,
                span_class: span_class(offset_of!(SpanRecord, span_class))?,
                alloc_bits,
            })
        }
        wire::KIND_ALLOC => ProbeEvent::Alloc(Allocated {
            at_ns,
            stack: word(offset_of!(AllocRecord, stack))?,
            object: word(offset_of!(AllocRecord, object))?,
            object_bytes: word(offset_of!(AllocRecord, object_bytes))?,
            go_type: word(offset_of!(AllocRecord, go_type))?,
            span_start: word(offset_of!(AllocRecord, span_start))?,
            slot_bytes: half(offset_of!(AllocRecord, slot_bytes))?.into(),
            span_class: span_class(offset_of!(AllocRecord, span_class))?,
        }),
        wire::KIND_STACK => {
            let value = half(offset_of!(StackRecord, n_pcs))?;
            let n_pcs = usize::try_from(value)
                .ok()
                .filter(|&n_pcs| n_pcs <= MAX_STACK_PCS)
                .ok_or(DecodeError::OutOfRange { kind, value })?;
            let at = offset_of!(StackRecord, pcs);
            let pcs: Result<Vec<u64>, DecodeError> = (0..n_pcs)
                .map(|i| word(at + i * size_of::<u64>()))
                .collect();
            return Ok(Record::Stack {
                id: word(offset_of!(StackRecord, id))?,
                pcs: pcs?,
                truncated: half(offset_of!(StackRecord, truncated))? != 0,
            });
        }
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    Ok(Record::Event(event))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(
        bytes.get(offset..offset + 8)?.try_into().ok()?,
    ))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(kind: u32, words: &[u64]) -> Vec<u8> {
        let header = [
            7u64.to_ne_bytes().to_vec(),
            kind.to_ne_bytes().to_vec(),
            vec![0; 4],
        ]
        .concat();
        words.iter().fold(header, |mut all, word| {
            all.extend(word.to_ne_bytes());
            all
        })
    }

    #[test]
    fn each_kind_is_decoded() {
        let born = record(&bytes(wire::KIND_BORN, &[0xc000, 0x7f00]));
        assert_eq!(
            born,
            Ok(Record::Event(ProbeEvent::Born {
                at_ns: 7,
                object: 0xc000,
                bucket: 0x7f00
            }))
        );
        for (word, cycle) in [(9, Some(9)), (0, None), (u64::MAX, None)] {
            let marked = record(&bytes(wire::KIND_GC_MARKED, &[42, word, 64]));
            assert_eq!(
                marked,
                Ok(Record::Event(ProbeEvent::GcMarked {
                    at_ns: 7,
                    live_bytes: 42,
                    cycle,
                    heap_bytes: Some(64),
                }))
            );
        }
        for (word, heap_bytes) in [(64, Some(64)), (0, Some(0)), (wire::HEAP_UNKNOWN, None)] {
            assert_eq!(
                record(&bytes(wire::KIND_GC_START, &[0, 0, word])),
                Ok(Record::Event(ProbeEvent::GcStart {
                    at_ns: 7,
                    heap_bytes
                }))
            );
        }
        assert_eq!(
            record(&bytes(wire::KIND_FLUSHED, &[0, 0, wire::HEAP_UNKNOWN])),
            Ok(Record::Event(ProbeEvent::Flushed { at_ns: 7 }))
        );
        let alloc = [1, 0xc010, 48, 0x50_0000, 0xc000, (11 << 32) + 48];
        assert_eq!(
            record(&bytes(wire::KIND_ALLOC, &alloc)),
            Ok(Record::Event(ProbeEvent::Alloc(Allocated {
                at_ns: 7,
                stack: 1,
                object: 0xc010,
                object_bytes: 48,
                go_type: 0x50_0000,
                span_start: 0xc000,
                slot_bytes: 48,
                span_class: 11,
            })))
        );
        let mut span = vec![1, 0xc010, 0xc000, 16, (500 << 32) + 512, (5 << 32) + 1];
        span.extend(2..18);
        let Ok(Record::Event(ProbeEvent::Span(taken))) = record(&bytes(wire::KIND_SPAN, &span))
        else {
            panic!("no span");
        };
        assert_eq!((taken.start, taken.object), (0xc000, 0xc010));
        assert_eq!(
            (taken.n_slots, taken.free_slots, taken.free_index),
            (512, 500, 1)
        );
        assert_eq!((taken.span_class, taken.slot_bytes), (5, 16));
        assert_eq!(taken.alloc_bits.to_vec(), (2..18).collect::<Vec<u64>>());
    }

    #[test]
    fn a_stack_has_as_many_addresses_as_it_says() {
        let stack = |n_pcs: u64| {
            let mut words = vec![0x1d, (1 << 32) + n_pcs];
            words.extend(100..100 + MAX_STACK_PCS as u64);
            record(&bytes(wire::KIND_STACK, &words))
        };
        assert_eq!(
            stack(2),
            Ok(Record::Stack {
                id: 0x1d,
                pcs: vec![100, 101],
                truncated: true
            })
        );
        let kind = wire::KIND_STACK;
        assert_eq!(stack(65), Err(DecodeError::OutOfRange { kind, value: 65 }));
    }

    #[test]
    fn no_record_is_misread() {
        assert_eq!(record(&bytes(99, &[0])), Err(DecodeError::UnknownKind(99)));
        let short = bytes(wire::KIND_BORN, &[1]);
        assert_eq!(
            record(&short),
            Err(DecodeError::WrongLength {
                kind: wire::KIND_BORN,
                len: 24
            })
        );
        assert_eq!(record(&[1, 2, 3]), Err(DecodeError::NoHeader { len: 3 }));
    }

    const KINDS: u32 = wire::KIND_STACK + 1;

    proptest! {
        #[test]
        fn decode_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = record(&bytes);
        }

        #[test]
        fn a_known_kind_of_any_other_length_is_an_error(
            kind in 0..KINDS, tail in prop::collection::vec(any::<u8>(), 0..600)
        ) {
            let mut all = bytes(kind, &[]);
            all.extend(&tail);
            let has_length = wire::record_len(kind) == Some(all.len());
            prop_assert!(has_length || record(&all).is_err());
        }

        #[test]
        fn a_known_kind_of_its_length_is_a_record_or_out_of_range(
            kind in 0..KINDS, seed in prop::collection::vec(any::<u8>(), 600)
        ) {
            let mut all = bytes(kind, &[]);
            let Some(len) = wire::record_len(kind) else {
                prop_assert!(record(&all).is_err());
                return Ok(());
            };
            all.extend(&seed[..len - all.len()]);
            let decoded = record(&all);
            let is_allowed = matches!(decoded, Ok(_) | Err(DecodeError::OutOfRange { .. }));
            prop_assert!(is_allowed, "{:?}", decoded);
        }
    }
}
