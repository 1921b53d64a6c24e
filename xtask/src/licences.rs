//! Licences of all dependencies against the list in `deny.toml`.
//!
//! cargo-deny does this and more, but takes minutes to install and needs its advisory database from the network. So the
//! licences are always checked here, offline, from `cargo metadata`; cargo-deny runs beside it where it is installed.

use std::{fs, path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::{build, user};

const POLICY: &str = "deny.toml";
/// Each has a lock file of its own.
const WORKSPACES: [&str; 2] = [".", "tracer-ebpf"];

#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

/// Checks both workspaces; returns how many packages that were.
pub(crate) fn check() -> Result<usize> {
    let text = fs::read_to_string(crate::root().join(POLICY))
        .with_context(|| format!("cannot read {POLICY}"))?;
    let policy: Policy = toml::from_str(&text).with_context(|| format!("cannot read {POLICY}"))?;
    let allowed = licensees(&policy.licenses.allow)?;
    let mut n_packages = 0;
    let mut faults = Vec::new();
    for workspace in WORKSPACES {
        for package in packages(&crate::root().join(workspace))? {
            n_packages += 1;
            if let Err(why) = may_be_used(package.license.as_deref(), &allowed) {
                faults.push(format!("{} {}: {why}", package.name, package.version));
            }
        }
    }
    ensure!(
        faults.is_empty(),
        "licences that {POLICY} does not allow:\n  {}",
        faults.join("\n  ")
    );
    Ok(n_packages)
}

fn licensees(names: &[String]) -> Result<Vec<Licensee>> {
    names
        .iter()
        .map(|name| {
            Licensee::parse(name)
                .with_context(|| format!("{POLICY} allows {name:?}, which is no SPDX licence"))
        })
        .collect()
}

fn packages(workspace: &Path) -> Result<Vec<Package>> {
    let mut cargo = build::cargo();
    cargo
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--all-features",
        ])
        .args(["--filter-platform=x86_64-unknown-linux-gnu"])
        .current_dir(workspace)
        .stderr(Stdio::inherit());
    let output = user::as_user(&mut cargo)
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata ended with {}",
        output.status
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    Ok(metadata.packages)
}

/// Whether one of the licences on offer is allowed; the reason if not.
fn may_be_used(license: Option<&str>, allowed: &[Licensee]) -> Result<(), String> {
    let Some(license) = license else {
        return Err("its manifest names no licence".to_owned());
    };
    // Lax: `MIT/Apache-2.0` is how it was written before SPDX.
    let expression = Expression::parse_mode(license, ParseMode::LAX)
        .map_err(|err| format!("{license:?}: {err}"))?;
    let is_allowed =
        expression.evaluate(|asked| allowed.iter().any(|licensee| licensee.satisfies(asked)));
    if is_allowed {
        Ok(())
    } else {
        Err(license.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_licence_on_offer_is_enough_and_all_that_are_asked_are_needed() {
        let allowed = licensees(&["MIT".to_owned(), "Zlib".to_owned()]).unwrap();
        let may = |license: &str| may_be_used(Some(license), &allowed).is_ok();
        assert!(may("MIT"));
        assert!(may("MIT/Apache-2.0"));
        assert!(may("GPL-2.0-only OR MIT"));
        assert!(may("(MIT OR Apache-2.0) AND Zlib"));
        assert!(!may("MIT AND Unicode-3.0"));
        assert!(!may("LGPL-2.1-or-later"));
        assert!(!may("no licence of this name"));
        assert!(may_be_used(None, &allowed).is_err());
    }
}
