//! Build information, honest and damaged.

use proptest::prelude::*;

use super::*;
use crate::go::static_image::fake::Flat;

const MODINFO: &str = "path\texample.com/shop/cmd/gateway\nmod\texample.com/shop\t(devel)\t\n\
    dep\texample.com/shop/plugin\tv0.3.0\th1:x=\ndep\tgithub.com/a/b\tv1.2.3\n\
    =>\t./local\t(devel)\nbuild\t-ldflags=\"-s -w\"\nbuild\tGOAMD64=v1\n";

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
    out
}

/// A data segment with the blob at `at`.
fn blob(at: usize, version: &str, modinfo: &str) -> Vec<u8> {
    let mut bytes = vec![0; at];
    bytes.extend(MAGIC);
    bytes.extend([8, FLAG_INLINE]);
    bytes.resize(at + 32, 0);
    bytes.extend(varint(version.len()));
    bytes.extend(version.as_bytes());
    let framed = format!("{:16}{modinfo}{:16}", "<", ">");
    bytes.extend(varint(framed.len()));
    bytes.extend(framed.as_bytes());
    bytes
}

#[test]
fn reads_version_modules_and_settings() {
    let image = Flat::new(0x5000, blob(64, "go1.24.6", MODINFO));
    let info = BuildInfo::read(&image).expect("a blob");
    assert_eq!((info.minor, info.patch, info.devel), (24, Some(6), false));
    assert_eq!(info.version, "go1.24.6");
    assert_eq!(info.path, "example.com/shop/cmd/gateway");
    assert_eq!(info.setting("-ldflags"), Some("-s -w"));
    assert_eq!(info.setting("GOAMD64"), Some("v1"));
    assert_eq!(info.deps.len(), 2);
}

#[test]
fn lines_without_fields_are_left_out() {
    let image = Flat::new(
        0x5000,
        blob(64, "go1.24.6", "build\ndep\nmod\n\n=>\nbuild\tx\n"),
    );
    let info = BuildInfo::read(&image).expect("a blob");
    assert!(info.settings.is_empty());
}

#[test]
fn packages_of_the_main_module_are_told_from_nested_modules() {
    let image = Flat::new(0x5000, blob(64, "go1.24.6", MODINFO));
    let info = BuildInfo::read(&image).expect("a blob");
    assert_eq!(info.in_main_module("main"), Some(true));
    assert_eq!(info.in_main_module("example.com/shop/cache"), Some(true));
    assert_eq!(info.in_main_module("example.com/shopping"), Some(false));
    assert_eq!(
        info.in_main_module("example.com/shop/plugin/x"),
        Some(false)
    );
    assert_eq!(info.in_main_module("net/http"), Some(false));
    assert_eq!(BuildInfo::default().in_main_module("main"), None);
}

#[test]
fn versions_of_all_forms() {
    let of = |text: &str| {
        let info = parse_version(text).expect("a version");
        (
            info.version,
            info.minor,
            info.patch,
            info.devel,
            info.experiments.join("+"),
        )
    };
    let expect = |version: &str, minor, patch, devel, experiments: &str| {
        (
            version.to_owned(),
            minor,
            patch,
            devel,
            experiments.to_owned(),
        )
    };
    assert_eq!(
        of("go1.22.10"),
        expect("go1.22.10", 22, Some(10), false, "")
    );
    assert_eq!(of("go1.20"), expect("go1.20", 20, None, false, ""));
    assert_eq!(
        of("go1.25.5 X:greenteagc,jsonv2"),
        expect("go1.25.5", 25, Some(5), false, "greenteagc+jsonv2")
    );
    assert_eq!(
        of("go1.26.6-X:nogreenteagc"),
        expect("go1.26.6", 26, Some(6), false, "nogreenteagc")
    );
    assert_eq!(
        of("devel go1.28-abcdef0123 Mon"),
        expect("devel go1.28-abcdef0123 Mon", 28, None, true, "")
    );
    assert_eq!(of("go1.25rc1"), expect("go1.25rc1", 25, None, false, ""));
    assert!(parse_version("gccgo 13").is_none());
    assert!(parse_version("go1.99999999").is_none());
}

#[test]
fn a_file_without_build_information_is_no_go_program() {
    let err = BuildInfo::read(&Flat::new(0x5000, vec![0; 4096])).expect_err("no blob");
    assert!(err.next.contains("UPX"), "{err}");
}

proptest! {
    #[test]
    fn damaged_blobs_never_panic(
        changes in prop::collection::vec((0_usize..300, any::<u8>()), 0..8),
        len in 0_usize..400,
    ) {
        let mut bytes = blob(32, "go1.24.6 X:a", MODINFO);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(len);
        let _ = BuildInfo::read(&Flat::new(0x5000, bytes));
    }

    #[test]
    fn any_version_text_never_panics(text in ".{0,60}") {
        let _ = parse_version(&text);
    }
}
