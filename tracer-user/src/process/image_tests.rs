//! Images from real and from damaged ELF files.

use std::io::Write as _;

use proptest::prelude::*;

use std::sync::LazyLock;

use super::*;

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("writing it");
    file
}

/// The first half mebibyte of the test program itself: a real ELF file.
fn own_elf() -> Vec<u8> {
    let mut bytes = std::fs::read("/proc/self/exe").expect("the test program");
    bytes.truncate(512 << 10);
    bytes
}

#[test]
fn reads_a_real_executable() {
    let file = File::open("/proc/self/exe").expect("the test program");
    let image = Image::open(file).expect("an ELF file");
    let text = image.section(".text").expect("a text section");
    let offset = image.file_offset(text.addr).expect("text lies in the file");
    let bytes = image.bytes(text.addr, 64).expect("text is readable");
    let whole = std::fs::read("/proc/self/exe").expect("the test program");
    let offset = usize::try_from(offset).expect("a small file");
    assert_eq!(bytes, whole[offset..offset + 64]);
    assert!(image.build_id().is_none_or(|id| !id.is_empty()));
}

#[test]
fn memory_beyond_the_file_is_zero_and_beyond_the_segment_unreadable() {
    let image = Image::open(File::open("/proc/self/exe").expect("the test program")).expect("ELF");
    let data = *image
        .segments()
        .iter()
        .find(|segment| segment.writable && segment.mem_size > segment.file_size)
        .expect("a bss");
    let end = data.vaddr + data.mem_size;
    assert_eq!(image.u8(end - 1), Ok(0));
    assert!(image.bytes(end - 1, 2).is_err());
    assert_eq!(image.file_offset(data.vaddr + data.file_size), None);
}

#[test]
fn text_files_are_refused_with_the_reason() {
    let err = Image::open(file_of(&[b'#'; 4096])).expect_err("no ELF file");
    assert_eq!(err.why, "it is not an ELF file");
    assert!(Image::open(file_of(b"")).is_err());
}

/// The first half MiB of our own program: all headers, and no 200 MB to read for each case.
static OWN_HEAD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut head = own_elf();
    head.truncate(512 << 10);
    head
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn damaged_headers_never_panic(
        changes in prop::collection::vec((0_usize..4096, any::<u8>()), 1..12),
        header in prop::collection::vec((0_usize..64, any::<u8>()), 0..3),
        len in 0_usize..(512 << 10),
    ) {
        let mut bytes = OWN_HEAD.clone();
        for (at, byte) in changes.into_iter().chain(header) {
            bytes[at] = byte;
        }
        bytes.truncate(len);
        if let Ok(image) = Image::open(file_of(&bytes)) {
            for segment in image.segments().to_vec() {
                let _ = image.bytes(segment.vaddr, 100);
                let _ = image.bytes(segment.vaddr.wrapping_add(segment.mem_size), 100);
                let _ = image.file_offset(segment.vaddr.wrapping_add(1));
            }
            let _ = image.variable_symbols(&["runtime.mheap_"]);
            let _ = image.section(".text");
            let _ = image.first_load_vaddr();
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Image::open(file_of(&bytes));
    }
}
