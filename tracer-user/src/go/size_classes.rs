//! Go's size classes: which slots small objects are put into.
//!
//! Source: `runtime/sizeclasses.go` (`internal/runtime/gc/sizeclasses.go` from 1.26), the same in go1.18 to go1.27.

/// Number of size classes; 0 stands for large objects, which have a span each.
pub const N_CLASSES: usize = 68;

/// Largest slot. Larger objects are rounded up to pages.
pub const MAX_SMALL_BYTES: u64 = 32 << 10;

/// Bytes of a page of the heap.
pub const PAGE_BYTES: u64 = 8 << 10;

/// Bytes of the slots of each class.
pub const CLASS_BYTES: [u64; N_CLASSES] = [
    0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320,
    352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792,
    2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728,
    10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672,
    32768,
];

/// The class whose slots are the smallest that hold `size` bytes; 0 for large objects, 1 for empty ones.
pub fn class_of(size: u64) -> usize {
    if size > MAX_SMALL_BYTES {
        return 0;
    }
    CLASS_BYTES.partition_point(|&bytes| bytes < size.max(1))
}

/// Bytes of the slots of a class; 0 for class 0 and for what is no class.
pub fn bytes_of(class: usize) -> u64 {
    CLASS_BYTES.get(class).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_slot_that_holds_it() {
        for class in 1..N_CLASSES {
            assert_eq!(class_of(bytes_of(class)), class);
            assert_eq!(class_of(bytes_of(class - 1) + 1), class);
        }
        assert_eq!((class_of(0), class_of(MAX_SMALL_BYTES + 1)), (1, 0));
        assert_eq!((bytes_of(0), bytes_of(N_CLASSES)), (0, 0));
    }
}
