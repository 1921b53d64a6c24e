//! Ring-buffer bytes to events. Total: any bytes give an event or a typed error, never a panic.

use std::fmt;
use std::mem::offset_of;

use tracer_ebpf::wire::{self, GcRecord, RecordHeader, SampleRecord};

use crate::event::ProbeEvent;

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
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader { len } => write!(f, "a record of {len} bytes has no header"),
            Self::UnknownKind(kind) => write!(f, "no record has kind {kind}"),
            Self::WrongLength { kind, len } => write!(f, "a record of kind {kind} has {len} bytes"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Decodes one record of the ring buffer.
pub fn record(bytes: &[u8]) -> Result<ProbeEvent, DecodeError> {
    let len = bytes.len();
    let no_header = DecodeError::NoHeader { len };
    let kind = u32_at(bytes, offset_of!(RecordHeader, kind)).ok_or(no_header)?;
    let at_ns = u64_at(bytes, offset_of!(RecordHeader, at_ns)).ok_or(no_header)?;
    let expected = wire::record_len(kind).ok_or(DecodeError::UnknownKind(kind))?;
    let wrong = DecodeError::WrongLength { kind, len };
    if len != expected {
        return Err(wrong);
    }
    let sample = || {
        let object = u64_at(bytes, offset_of!(SampleRecord, object))?;
        let bucket = u64_at(bytes, offset_of!(SampleRecord, bucket))?;
        Some((object, bucket))
    };
    Ok(match kind {
        wire::KIND_BORN => {
            let (object, bucket) = sample().ok_or(wrong)?;
            ProbeEvent::Born {
                at_ns,
                object,
                bucket,
            }
        }
        wire::KIND_FREED => {
            let (object, bucket) = sample().ok_or(wrong)?;
            ProbeEvent::Freed {
                at_ns,
                object,
                bucket,
            }
        }
        wire::KIND_GC_START => ProbeEvent::GcStart { at_ns },
        wire::KIND_GC_MARKED => {
            let live_bytes = u64_at(bytes, offset_of!(GcRecord, live_bytes)).ok_or(wrong)?;
            ProbeEvent::GcMarked { at_ns, live_bytes }
        }
        wire::KIND_FLUSHED => ProbeEvent::Flushed { at_ns },
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    })
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
            Ok(ProbeEvent::Born {
                at_ns: 7,
                object: 0xc000,
                bucket: 0x7f00
            })
        );
        let marked = record(&bytes(wire::KIND_GC_MARKED, &[42]));
        assert_eq!(
            marked,
            Ok(ProbeEvent::GcMarked {
                at_ns: 7,
                live_bytes: 42
            })
        );
        assert_eq!(
            record(&bytes(wire::KIND_FLUSHED, &[0])),
            Ok(ProbeEvent::Flushed { at_ns: 7 })
        );
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

    proptest! {
        #[test]
        fn decode_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = record(&bytes);
        }

        #[test]
        fn a_known_kind_of_any_other_length_is_an_error(
            kind in 0u32..=wire::KIND_FLUSHED, tail in prop::collection::vec(any::<u8>(), 0..64)
        ) {
            let mut all = bytes(kind, &[]);
            all.extend(&tail);
            prop_assert_eq!(record(&all).is_ok(), wire::record_len(kind) == Some(all.len()));
        }
    }
}
