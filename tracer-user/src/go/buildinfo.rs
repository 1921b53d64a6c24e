//! What the linker wrote about the program: the release of Go, its experiments, and the modules it was
//! built from.
//!
//! Survives `-s -w`, `strip`, `-trimpath` and PIE. Source: `debug/buildinfo`, `cmd/link/internal/ld/data.go`
//! (`buildinfo`) and `runtime/debug/mod.go`, go1.18 to go1.27.

use super::static_image::StaticImage;
use crate::refusal::Refusal;

const MAGIC: &[u8; 14] = b"\xff Go buildinf:";

/// The blob begins at a multiple of this.
const ALIGN: usize = 16;

/// Where the version string begins in the inline form.
const STRINGS_AT: u64 = 32;

/// Flag bit: the strings follow inline (1.18 and later) instead of behind pointers.
const FLAG_INLINE: u8 = 2;

/// Most bytes of a version string; with all experiments it stays below 200.
const MAX_VERSION_BYTES: u64 = 1024;

/// Most bytes of module information; a program with 1500 dependencies has some 150 KiB.
const MAX_MODINFO_BYTES: u64 = 1 << 20;

/// Most bytes of writable segments that are searched when there are no section headers. The blob
/// lies at their very start.
const MAX_SEARCH_BYTES: u64 = 16 << 20;

/// A module with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleVersion {
    /// Import path prefix of its packages.
    pub path: String,
    /// Such as `v1.2.3`, or `(devel)`.
    pub version: String,
}

/// What the linker wrote about the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// The release as written, without experiments: `go1.24.6`, `devel go1.28-abcdef…`.
    pub version: String,
    /// 24 for go1.24.6.
    pub minor: u16,
    /// 6 for go1.24.6; `None` for go1.24 itself before 1.21, release candidates and development builds.
    pub patch: Option<u16>,
    /// Built by an unreleased toolchain.
    pub devel: bool,
    /// `GOEXPERIMENT`s that differ from the release's own set; `no…` ones are switched off.
    pub experiments: Vec<String>,
    /// Import path of the main package; empty without module information.
    pub path: String,
    /// The main module; `None` for programs built without modules.
    pub main_module: Option<ModuleVersion>,
    /// All modules it depends on, replacements under the path that packages are imported by.
    pub deps: Vec<ModuleVersion>,
    /// `key`, `value` of each build setting, such as `-trimpath`, `CGO_ENABLED`, `vcs.revision`.
    pub settings: Vec<(String, String)>,
}

impl BuildInfo {
    /// Finds and parses the build information of an executable.
    ///
    /// # Errors
    ///
    /// When there is none (not a Go program, or packed), or its version says go1.17 or older, or nothing.
    pub fn read(image: &dyn StaticImage) -> Result<Self, Refusal> {
        let Some(addr) = find(image) else {
            return Err(Refusal::new(
                "cannot read the executable as a Go program",
                "it has no Go build information (the mark `Go buildinf:` is in no writable segment)",
                "choose a Go program; if this one was packed (UPX), run the unpacked binary",
            ));
        };
        read_at(image, addr)
    }

    /// The value of a build setting.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
    }

    /// Whether a package belongs to the main module; package `main` always does. `None` when the
    /// program was built without module information.
    ///
    /// A dependency whose path lies below the main module's path (a nested module) is not part of it.
    pub fn in_main_module(&self, package: &str) -> Option<bool> {
        let main = self.main_module.as_ref()?;
        let inside = package == "main" || below(package, &main.path);
        let nested = self
            .deps
            .iter()
            .any(|dep| dep.path.len() > main.path.len() && below(package, &dep.path));
        Some(inside && !nested)
    }
}

/// Whether `package` is the module's root package or a package below it.
fn below(package: &str, module: &str) -> bool {
    package
        .strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Address of the blob: its section, else a search through the file-backed writable segments.
fn find(image: &dyn StaticImage) -> Option<u64> {
    let has_magic = |addr: u64| {
        image
            .bytes(addr, MAGIC.len())
            .is_ok_and(|bytes| bytes == MAGIC)
    };
    if let Some(section) = image.section(".go.buildinfo") {
        // The blob is aligned, the section only nearly always.
        let first = section.addr.checked_next_multiple_of(ALIGN as u64);
        if let Some(first) = first.filter(|&first| has_magic(first)) {
            return Some(first);
        }
    }
    let writable = image.segments().iter().filter(|segment| segment.writable);
    for (base, len) in writable.flat_map(|segment| segment.steps(ALIGN as u64, MAX_SEARCH_BYTES)) {
        let Ok(chunk) = image.bytes(base, len) else {
            continue;
        };
        let hit = chunk.chunks(ALIGN).position(|at| at.starts_with(MAGIC));
        if let Some(hit) = hit {
            return Some(base + (hit * ALIGN) as u64);
        }
    }
    None
}

fn read_at(memory: &dyn StaticImage, addr: u64) -> Result<BuildInfo, Refusal> {
    let corrupt = |why: &str| {
        Refusal::new(
            "cannot read the Go build information",
            format!("{why} (at {addr:#x})"),
            "choose an undamaged Go program",
        )
    };
    let flags = memory
        .u8(addr.wrapping_add(15))
        .map_err(|_| corrupt("it is cut short"))?;
    let inline = flags & FLAG_INLINE != 0;
    let (version, modinfo) = if inline {
        let at = addr.wrapping_add(STRINGS_AT);
        let (version, next) = inline_string(memory, at, MAX_VERSION_BYTES)
            .ok_or_else(|| corrupt("its version string is cut short"))?;
        let modinfo = inline_string(memory, next, MAX_MODINFO_BYTES).map(|(modinfo, _)| modinfo);
        (version, modinfo.unwrap_or_default())
    } else {
        // 1.13 to 1.17: only the version, for the words of the refusal that follows.
        let version = pointed_string(memory, addr.wrapping_add(16))
            .ok_or_else(|| corrupt("it has the form of go1.17 or older and no version"))?;
        (version, Vec::new())
    };
    let version = String::from_utf8_lossy(&version).into_owned();
    let mut info = parse_version(&version).ok_or_else(|| {
        Refusal::new(
            "cannot read the executable as a Go program",
            format!(
                "its build information names the release {version:?}, which has no go1.N in it"
            ),
            "build it with a released Go toolchain",
        )
    })?;
    parse_modinfo(&modinfo, &mut info);
    Ok(info)
}

/// A string behind its length as a varint, and the address behind it.
fn inline_string(memory: &dyn StaticImage, addr: u64, max: u64) -> Option<(Vec<u8>, u64)> {
    let mut len = 0_u64;
    let mut at = addr;
    for shift in (0..63).step_by(7) {
        let byte = memory.u8(at).ok()?;
        at = at.checked_add(1)?;
        len |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            if len > max {
                return None;
            }
            let bytes = memory.bytes(at, usize::try_from(len).ok()?).ok()?;
            return Some((bytes, at.checked_add(len)?));
        }
    }
    None
}

/// A string behind a pointer to a Go string header.
fn pointed_string(memory: &dyn StaticImage, addr: u64) -> Option<Vec<u8>> {
    let header = memory.u64(addr).ok()?;
    let data = memory.u64(header).ok()?;
    let len = memory.u64(header.checked_add(8)?).ok()?;
    if len > MAX_VERSION_BYTES {
        return None;
    }
    memory.bytes(data, usize::try_from(len).ok()?).ok()
}

/// Takes `go1.25.5 X:a,b` (up to 1.25), `go1.26.6-X:a` (1.26 and later), `devel go1.28-abc …` apart.
///
/// `None` when there is no `go1.N` in it.
fn parse_version(text: &str) -> Option<BuildInfo> {
    let (release, experiments) = match text.find("X:") {
        Some(at) => {
            let names = text[at + 2..].split_whitespace().next().unwrap_or_default();
            let release = text[..at].trim_end_matches([' ', '-']);
            (release, names.split(',').map(str::to_owned).collect())
        }
        None => (text.trim(), Vec::new()),
    };
    let mut rest = release;
    let (minor, tail) = loop {
        let at = rest.find("go1.")?;
        rest = &rest[at + 4..];
        if let Some(found) = leading_number(rest) {
            break found;
        }
    };
    let patch = tail
        .strip_prefix('.')
        .and_then(leading_number)
        .map(|(patch, _)| patch);
    Some(BuildInfo {
        version: release.to_owned(),
        minor,
        patch,
        devel: release.contains("devel"),
        experiments,
        ..BuildInfo::default()
    })
}

fn leading_number(text: &str) -> Option<(u16, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Adds what the module information says. It is text between two marks of 16 bytes each; lines that
/// are not understood are left out.
fn parse_modinfo(modinfo: &[u8], info: &mut BuildInfo) {
    const MARK: usize = 16;
    let Some(text) = modinfo.get(MARK..modinfo.len().saturating_sub(MARK)) else {
        return;
    };
    for line in String::from_utf8_lossy(text).lines() {
        let mut fields = line.split('\t');
        let kind = fields.next().unwrap_or_default();
        let first = fields.next().unwrap_or_default().to_owned();
        let second = fields.next().unwrap_or_default().to_owned();
        match kind {
            "path" => info.path = first,
            "mod" => {
                info.main_module = Some(ModuleVersion {
                    path: first,
                    version: second,
                });
            }
            "dep" => info.deps.push(ModuleVersion {
                path: first,
                version: second,
            }),
            "build" => {
                let setting = line.strip_prefix("build\t").unwrap_or_default();
                if let Some((key, value)) = setting.split_once('=') {
                    info.settings.push((unquote(key), unquote(value)));
                }
            }
            // `=>` replaces the code of the module before it; its packages keep their import path.
            _ => {}
        }
    }
}

/// Settings with blanks or quotes are written as Go string literals.
fn unquote(text: &str) -> String {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    match inner {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => text.trim_matches('`').to_owned(),
    }
}

#[cfg(test)]
#[path = "buildinfo_tests.rs"]
mod tests;
