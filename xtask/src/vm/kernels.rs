//! Where the kernels come from: Debian's cloud images, fetched by apt into the target directory.
//!
//! The system's own apt configuration is read (for the mirror) and never changed: lists, caches and the sources of other
//! suites live under the target directory. One list directory per suite makes "the newest of this suite" unambiguous.
//! Exact names move with every security update, so they are resolved when fetched; the vmlinuz is kept, with its name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// Kernel series that can be asked for, and the Debian suite that has it. 5.15 is in none; 5.10 and 6.1 bracket it.
pub(super) const SERIES: &[(&str, &str)] = &[
    ("5.10", "bullseye-security"),
    ("6.1", "bookworm-security"),
    ("6.12", "trixie-security"),
    ("6.18", "trixie-backports"),
    ("7.2", "trixie-backports"),
];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel that can be booted.
pub(super) struct Kernel {
    /// Name of the Debian package, which holds the full version.
    pub(super) package: String,
    pub(super) vmlinuz: PathBuf,
}

/// The kernel of `series` from the cache under `dir`; fetched if it is not there, or if `refresh` asks for the newest.
pub(super) fn get(series: &str, dir: &Path, refresh: bool) -> Result<Kernel> {
    let Some((_, suite)) = SERIES.iter().find(|(known, _)| *known == series) else {
        let known: Vec<&str> = SERIES.iter().map(|(known, _)| *known).collect();
        bail!(
            "no kernel {series} here\n  why:  only series that Debian has as cloud image are known\n  next: one of {}",
            known.join(", ")
        );
    };
    let cache = dir.join("kernels").join(series);
    let (vmlinuz, name) = (cache.join("vmlinuz"), cache.join("package"));
    if !refresh && name.exists() {
        let package =
            fs::read_to_string(&name).with_context(|| format!("cannot read {}", name.display()))?;
        return Ok(Kernel {
            package: package.trim().to_owned(),
            vmlinuz,
        });
    }
    let package = fetch(series, suite, &dir.join("apt").join(suite), &cache)
        .with_context(|| format!("cannot fetch a kernel {series} of Debian {suite}"))?;
    // Last: what has a name is complete.
    fs::write(&name, &package)?;
    Ok(Kernel { package, vmlinuz })
}

/// Downloads and unpacks; leaves `cache/vmlinuz` and returns the package's name.
fn fetch(series: &str, suite: &str, apt_dir: &Path, cache: &Path) -> Result<String> {
    let mirror = mirror(suite)?;
    eprintln!("vm: fetching {series} of {suite} from {mirror}");
    let sources = apt_dir.join("sources.list");
    fs::create_dir_all(apt_dir.join("lists/partial"))?;
    fs::create_dir_all(cache)?;
    fs::write(
        &sources,
        format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"),
    )?;
    let apt = |program: &str| {
        let mut command = Command::new(program);
        command
            .arg(format!(
                "-oDir::State::Lists={}",
                apt_dir.join("lists").display()
            ))
            .arg(format!("-oDir::Etc::sourcelist={}", sources.display()))
            .arg("-oDir::Etc::sourceparts=-")
            .arg(format!(
                "-oDir::Cache::pkgcache={}",
                apt_dir.join("pkgcache.bin").display()
            ))
            .arg(format!(
                "-oDir::Cache::srcpkgcache={}",
                apt_dir.join("srcpkgcache.bin").display()
            ))
            .args(["-oAcquire::Languages=none", "-qq"])
            .current_dir(cache);
        command
    };
    super::stdout_of(apt("apt-get").arg("update"))?;
    let names = super::stdout_of(apt("apt-cache").args(["pkgnames", "linux-"]))?;
    let package = newest(series, names.lines())
        .with_context(|| format!("the suite lists no package linux-image-{series}…-cloud-amd64"))?
        .to_owned();
    eprintln!("vm: {package}");
    super::stdout_of(apt("apt-get").args(["download", &package]))?;

    let deb = find(cache, &|name| {
        Path::new(name).extension().is_some_and(|ext| ext == "deb")
    })?
    .context("apt-get download left no .deb")?;
    let unpacked = cache.join("unpacked");
    super::stdout_of(Command::new("dpkg-deb").arg("-x").args([&deb, &unpacked]))?;
    // boot/vmlinuz-… up to 6.18, usr/lib/modules/…/vmlinuz since Debian split the package.
    let vmlinuz = find(&unpacked, &|name| name.starts_with("vmlinuz"))?
        .with_context(|| format!("{package} contains no vmlinuz"))?;
    fs::rename(vmlinuz, cache.join("vmlinuz"))?;
    fs::remove_dir_all(&unpacked)?;
    fs::remove_file(deb)?;
    Ok(package)
}

/// The newest cloud kernel of a series. Where both exist, `linux-binary` has the kernel and `linux-image` is empty.
fn newest<'a>(series: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .filter_map(|name| {
            let (binary, rest) = match name.strip_prefix("linux-binary-") {
                Some(rest) => (true, rest),
                None => (false, name.strip_prefix("linux-image-")?),
            };
            let version = rest.strip_suffix("-cloud-amd64")?;
            let inside = version.strip_prefix(series)?.starts_with(['.', '-', '+']);
            let numbers: Vec<u32> = version
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|word| word.parse().ok())
                .collect();
            inside.then_some((numbers, binary, name))
        })
        .max()
        .map(|(.., name)| name)
}

/// The mirror of a suite, as the machine's own apt sources name it.
fn mirror(suite: &str) -> Result<String> {
    let mut texts = Vec::new();
    let sources = Path::new("/etc/apt/sources.list.d");
    let parts = fs::read_dir(sources)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for path in parts.chain([PathBuf::from("/etc/apt/sources.list")]) {
        if path
            .extension()
            .is_some_and(|ext| ext == "list" || ext == "sources")
        {
            texts.push(fs::read_to_string(&path).unwrap_or_default());
        }
    }
    mirror_in(&texts.join("\n"), suite.ends_with("-security")).with_context(|| {
        "the apt sources of this machine name no Debian mirror\n  why:  kernels are taken from Debian, by the mirror \
         that /etc/apt names\n  next: run this on a Debian machine"
    })
}

/// First address in apt sources of either format that is a Debian archive: the security archive or the main one.
fn mirror_in(sources: &str, security: bool) -> Option<String> {
    sources
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::split_whitespace)
        .filter(|word| word.contains("://"))
        .map(|word| word.trim_end_matches('/'))
        .find(|word| {
            word.ends_with(if security {
                "/debian-security"
            } else {
                "/debian"
            })
        })
        .map(str::to_owned)
}

/// The first file under `dir` whose name pleases.
fn find(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if let Some(found) = find(&entry.path(), wanted)? {
                return Ok(Some(found));
            }
        } else if kind.is_file() && wanted(&entry.file_name().to_string_lossy()) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_compares_numbers_and_prefers_the_package_with_the_kernel() {
        let names = [
            "linux-image-7.2.9+deb13-cloud-amd64",
            "linux-image-7.2.12+deb13-cloud-amd64",
            "linux-binary-7.2.12+deb13-cloud-amd64",
            "linux-image-7.2.12+deb13-cloud-amd64-dbg",
            "linux-image-7.2.13+deb13-amd64",
            "linux-image-7.20.1+deb13-cloud-amd64",
            "linux-image-5.10.0-9-cloud-amd64",
            "linux-image-5.10.0-46-cloud-amd64",
            "linux-image-cloud-amd64",
        ];
        assert_eq!(
            newest("7.2", names.into_iter()),
            Some("linux-binary-7.2.12+deb13-cloud-amd64")
        );
        assert_eq!(
            newest("5.10", names.into_iter()),
            Some("linux-image-5.10.0-46-cloud-amd64")
        );
        assert_eq!(newest("6.1", names.into_iter()), None);
    }

    #[test]
    fn mirrors_are_read_from_both_formats_of_apt_sources() {
        let sources = "Types: deb\n# http://old.example/debian\nURIs: http://deb.example/debian/\nSuites: bookworm\n\
                       deb [signed-by=/k.gpg] https://sec.example/debian-security bookworm-security main\n\
                       deb https://other.example/apt stable main\n";
        assert_eq!(
            mirror_in(sources, false).as_deref(),
            Some("http://deb.example/debian")
        );
        assert_eq!(
            mirror_in(sources, true).as_deref(),
            Some("https://sec.example/debian-security")
        );
        assert_eq!(
            mirror_in("deb https://other.example/apt stable main", false),
            None
        );
    }
}
