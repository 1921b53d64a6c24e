//! Damaged Go programs: the readers of [`heaptop::go`] refuse or go on, but never panic and never grow
//! without bound.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;

use heaptop::go::dwarf::Runtime;
use heaptop::go::memory::{Memory, Unreadable};
use heaptop::go::program::Program;
use heaptop::go::static_image::{Section, Segment, StaticImage};
use heaptop::plan::{Wanted, plan};
use heaptop::process::image::Image;
use proptest::prelude::*;

use crate::support::go::{A_RELEASE, PLAIN, STRIPPED, fixture};

/// An image with some bytes changed.
struct Damaged<'a> {
    image: &'a Image,
    changes: Vec<(u64, u8)>,
}

impl Memory for Damaged<'_> {
    fn read(&self, addr: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        self.image.read(addr, buf)?;
        for &(at, byte) in &self.changes {
            let offset = at
                .checked_sub(addr)
                .and_then(|offset| usize::try_from(offset).ok());
            if let Some(slot) = offset.and_then(|offset| buf.get_mut(offset)) {
                *slot = byte;
            }
        }
        Ok(())
    }
}

impl StaticImage for Damaged<'_> {
    fn segments(&self) -> &[Segment] {
        self.image.segments()
    }

    fn section(&self, name: &str) -> Option<Section> {
        self.image.section(name)
    }

    fn is_pie(&self) -> bool {
        false
    }

    fn variable_symbols(&self, names: &[&str]) -> Vec<Option<u64>> {
        vec![None; names.len()]
    }
}

/// Where damage hurts: the places that are parsed, with the first bytes of each more often than the rest.
fn places(image: &Image, program: &Program) -> Vec<Section> {
    let mut places = Vec::new();
    for name in [".go.buildinfo", ".gopclntab", ".text"] {
        places.push(image.section(name).expect("a Go program has it"));
    }
    places.push(Section {
        addr: image.section(".gopclntab").expect("a Go program").addr,
        size: 72,
    });
    places.push(Section {
        addr: program.vars.firstmoduledata,
        size: 600,
    });
    for name in heaptop::go::program::PROBED_FUNCTIONS {
        let code = program.function(name).expect("a Go program has it");
        places.push(Section {
            addr: code.start,
            size: code.end - code.start,
        });
    }
    places
}

/// Changes damaged places of a program at random and reads it.
fn damage(release: &str) {
    let Some(path) = fixture("stacks", release, STRIPPED) else {
        return;
    };
    let image = Image::open(File::open(path).expect("the program exists")).expect("an ELF file");
    // Before its start, the memory of a program is its file: no cycle has run.
    let program = Program::locate(&image, &image, 0).expect("an undamaged program");
    let places = places(&image, &program);
    let text = program.modules[0].moduledata.text;
    let changes = prop::collection::vec(
        (0..places.len(), any::<u32>(), any::<u8>(), any::<bool>()),
        1..40,
    );
    let pcs = prop::collection::vec(any::<u32>(), 20);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(300)
    };
    proptest!(config, |(changes in changes, pcs in pcs)| {
        let changes = changes.into_iter().map(|(place, offset, byte, near)| {
            let place = places[place];
            let size = if near { place.size.min(128) } else { place.size };
            (place.addr + u64::from(offset) % size, byte)
        });
        let damaged = Damaged { image: &image, changes: changes.collect() };
        if let Ok(program) = Program::locate(&damaged, &damaged, 0) {
            for wanted in [Wanted::Sampler, Wanted::Spans, Wanted::Exact] {
                let _ = plan(&program, &damaged, wanted);
            }
        }
        // What was located in a sound file, on tables that are damaged since.
        for pc in pcs {
            let pc = text.start + u64::from(pc) % (text.end - text.start);
            prop_assert!(program.frames_at(&damaged, &damaged, pc).len() < 300);
            prop_assert!(program.expand(&damaged, &damaged, &[pc]).len() < 300);
            let _ = program.innermost_at(&damaged, &damaged, pc);
        }
    });
}

#[test]
fn damaged_programs_of_go_1_19_never_panic() {
    damage("1.19.8");
}

#[test]
fn damaged_programs_of_go_1_26_never_panic() {
    damage("1.26.6");
}

#[test]
fn damaged_debug_information_never_panics() {
    let Some(path) = fixture("stacks", A_RELEASE, PLAIN) else {
        return;
    };
    let image = Image::open(File::open(path).expect("the program exists")).expect("an ELF file");
    let names = [
        ".debug_info",
        ".debug_abbrev",
        ".debug_str",
        ".debug_addr",
        ".debug_line",
    ];
    let sections: HashMap<&str, Vec<u8>> = names
        .into_iter()
        .filter_map(|name| Some((name, image.debug_section(name)?)))
        .collect();
    let read = |sections: &HashMap<&str, Vec<u8>>| {
        let section = |name: &str| Cow::Owned(sections.get(name).cloned().unwrap_or_default());
        Runtime::read(section).and_then(|runtime| runtime.facts(26))
    };
    assert!(read(&sections).is_ok());
    let changes = prop::collection::vec(
        (0..names.len(), any::<u32>(), any::<u8>(), any::<bool>()),
        1..40,
    );
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(40)
    };
    proptest!(config, |(changes in changes)| {
        let mut damaged = sections.clone();
        for (section, at, byte, near) in changes {
            let Some(bytes) = damaged.get_mut(names[section]) else {
                continue;
            };
            let size = if near { bytes.len().min(512) } else { bytes.len() };
            bytes[at as usize % size] = byte;
        }
        let _ = read(&damaged);
    });
}
