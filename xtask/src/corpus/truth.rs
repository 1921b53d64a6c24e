//! What is right about a program, as its own `main.go` says at its head.
//!
//! ```text
//! // answer: heap or goroutines          what leaks; `none`: nothing does
//! // answer go<1.27: heap                the same, for some releases of Go
//! // site: FUNCTION via FUNCTION         a call site that is right to name, and its `via`: `none`, `any`, `A|none`
//! // goroutines: created by … start …    `FUNCTION start FUNCTION`: the group that is right to name
//! // under: FUNCTION, FUNCTION           the common frame of several sites
//! // also: FUNCTION FUNCTION             sites that grow with the leak and need not be named
//! // fill: FUNCTION curved               a site that may be called growing while it fills; `linear`
//! // may: stacks, page_cache             kinds that the process may be said to grow by
//! // with: mmap                           another kind that grows beside it and is to be named too
//! // word: probably                       `probably growing` is an answer too: so few collections show no more in a watch
//! // says: WORDS                          what the verdict or an observation must say besides
//! // rate: 4                              growth of the live heap at load 1, MiB/min, where it is constant
//! // rss: 13                              the same of the resident set
//! // sources: arm spans                   the sources that fit, where not all do
//! // env: GOGC=400                       the program's environment
//! // build: cgo                          needs a C compiler
//! ```
//!
//! A function that ends in `*` stands for all that begin so.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

/// A function's name, or how names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(String);

impl Pattern {
    pub(super) fn fits(&self, function: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => function.starts_with(start),
            None => function == self.0,
        }
    }
}

/// What `via` must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Any,
    None,
    OneOf(Vec<String>),
}

impl Via {
    fn parse(text: &str) -> Self {
        match text {
            "any" => Self::Any,
            "none" => Self::None,
            names => Self::OneOf(names.split('|').map(str::to_owned).collect()),
        }
    }

    pub(super) fn fits(&self, via: Option<&str>) -> bool {
        match (self, via) {
            (Self::Any, _) | (Self::None, None) => true,
            (Self::OneOf(names), via) => {
                let via = via.unwrap_or("none");
                names.iter().any(|name| name == via)
            }
            (Self::None, Some(_)) => false,
        }
    }
}

/// How something fills that is not a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// By less and less: from its half on it is no longer growing.
    Curved,
    /// At one rate: until it is full nothing tells it from a leak.
    Linear,
}

/// What is right about one program.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Truth {
    /// Kinds of which one is right; none where nothing leaks.
    pub(super) kinds: Vec<String>,
    pub(super) sites: Vec<(Pattern, Via)>,
    /// Functions that create, and that start, the goroutines that leak.
    pub(super) goroutines: Vec<(Pattern, Pattern)>,
    pub(super) under: Vec<Pattern>,
    pub(super) also: Vec<Pattern>,
    pub(super) fills: Vec<(Pattern, Fill)>,
    pub(super) may: Vec<String>,
    /// Kinds that grow beside the leak.
    pub(super) with: Vec<String>,
    /// Whether it may be said to grow probably only.
    pub(super) may_be_probable: bool,
    /// Parts of sentences that belong to the answer.
    pub(super) says: Vec<String>,
    /// Growth of the live heap and of the resident set at load 1, MiB per minute, where they are constant.
    pub(super) live_mib_per_min: Option<f64>,
    pub(super) rss_mib_per_min: Option<f64>,
    /// Names of the sources that fit; all of them where none is listed.
    pub(super) sources: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cgo: bool,
}

impl Truth {
    pub(super) fn leaks(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// The kind in the table: of several that are right, the first.
    pub(super) fn kind(&self) -> &str {
        self.kinds.first().map_or("none", String::as_str)
    }

    /// The truth for a release `1.minor` of Go; `None` for a file that states none.
    pub(super) fn read(path: &Path, minor: u32) -> Result<Option<Self>> {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text, minor).with_context(|| format!("the head of {}", path.display()))
    }

    #[cfg(test)]
    pub(super) fn for_tests(head: &str) -> Self {
        Self::parse(head, 26).unwrap().unwrap()
    }

    fn parse(text: &str, minor: u32) -> Result<Option<Self>> {
        let mut truth = Self::default();
        let mut answers = 0;
        let head = text.lines().take_while(|line| !line.starts_with("package"));
        for line in head.filter_map(|line| line.strip_prefix("// ")) {
            let Some((key, value)) = line.split_once(": ") else {
                continue;
            };
            let pattern = |name: &str| Pattern(name.to_owned());
            let words = value.split([',', ' ']).filter(|word| !word.is_empty());
            let (key, condition) = key.split_once(' ').unwrap_or((key, ""));
            if key == "answer" {
                if holds(condition, minor)? {
                    answers += 1;
                    let kinds = value.split(" or ").filter(|kind| *kind != "none");
                    truth.kinds = kinds.map(str::to_owned).collect();
                }
                continue;
            }
            match (key, condition) {
                ("site", "") => {
                    let (site, via) = value.split_once(" via ").context("a site without via")?;
                    truth.sites.push((pattern(site), Via::parse(via)));
                }
                ("goroutines", "") => {
                    let (by, start) = value.split_once(" start ").context("no start function")?;
                    truth.goroutines.push((pattern(by), pattern(start)));
                }
                ("under", "") => truth.under.extend(words.map(pattern)),
                ("also", "") => truth.also.extend(words.map(pattern)),
                ("fill", "") => {
                    let (site, how) = value.split_once(' ').context("a fill without its form")?;
                    let how = match how {
                        "curved" => Fill::Curved,
                        "linear" => Fill::Linear,
                        how => bail!("a fill is curved or linear, not {how:?}"),
                    };
                    truth.fills.push((pattern(site), how));
                }
                ("may", "") => truth.may.extend(words.map(str::to_owned)),
                ("with", "") => truth.with.extend(words.map(str::to_owned)),
                ("word", "") => {
                    ensure!(value == "probably", "a word is \"probably\", not {value:?}");
                    truth.may_be_probable = true;
                }
                ("says", "") => truth.says.push(value.to_owned()),
                ("rate", "") => truth.live_mib_per_min = Some(value.parse()?),
                ("rss", "") => truth.rss_mib_per_min = Some(value.parse()?),
                ("sources", "") => truth.sources.extend(words.map(str::to_owned)),
                ("env", "") => {
                    let (name, value) = value.split_once('=').context("not NAME=VALUE")?;
                    truth.env.push((name.to_owned(), value.to_owned()));
                }
                ("build", "") => truth.cgo = value == "cgo",
                _ => {}
            }
        }
        ensure!(answers <= 1, "{answers} answers hold for Go 1.{minor}");
        if !truth.leaks() {
            // What would be right to name is not there to be named.
            truth.sites.clear();
            truth.goroutines.clear();
            truth.also.clear();
        }
        Ok((answers == 1).then_some(truth))
    }
}

/// Whether `go<1.27`, `go>=1.27` or nothing at all holds.
fn holds(condition: &str, minor: u32) -> Result<bool> {
    let number = |text: &str| -> Result<u32> {
        text.strip_prefix("1.")
            .and_then(|minor| minor.parse().ok())
            .with_context(|| format!("{condition:?} is not like go<1.27"))
    };
    if condition.is_empty() {
        Ok(true)
    } else if let Some(than) = condition.strip_prefix("go>=") {
        Ok(minor >= number(than)?)
    } else {
        let than = condition.strip_prefix("go<");
        Ok(minor < number(than.unwrap_or_default())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "// A ticker: each wait leaves one.\n//\n// answer go<1.27: heap or goroutines\n\
        // answer go>=1.27: none\n// site: time.* via main.watch\n// site: main.f via none\n\
        // goroutines: main.a start main.(*t).b\n// also: runtime.* sync.*\n// env: GOGC=400\n\
        // with: mmap\n// word: probably\n// says: it is blocked, for good\n// rate: 4.5\n// sources: arm spans\npackage main\n";

    #[test]
    fn the_answer_is_that_of_the_release() {
        let truth = Truth::parse(HEAD, 26).unwrap().unwrap();
        assert_eq!(truth.kinds, ["heap", "goroutines"]);
        assert_eq!(truth.env, [("GOGC".to_owned(), "400".to_owned())]);
        let (site, via) = &truth.sites[0];
        assert!(site.fits("time.NewTicker") && !site.fits("timers.New"));
        assert!(via.fits(Some("main.watch")) && !via.fits(None) && !via.fits(Some("main.f")));
        assert!(truth.sites[1].1.fits(None));
        assert!(truth.goroutines[0].1.fits("main.(*t).b"));
        assert!(truth.also[1].fits("sync.(*Mutex).Lock"));
        assert_eq!(truth.with, ["mmap"]);
        assert!(
            truth.may_be_probable && Truth::parse("// answer: heap\n// word: no\n", 27).is_err()
        );
        assert_eq!(truth.says, ["it is blocked, for good"]);
        assert_eq!(truth.live_mib_per_min, Some(4.5));
        assert_eq!(truth.sources, ["arm", "spans"]);
        assert!(Truth::parse("// answer: heap\n// rate: fast\n", 27).is_err());

        let truth = Truth::parse(HEAD, 27).unwrap().unwrap();
        assert!(!truth.leaks() && truth.sites.is_empty());
        assert_eq!(truth.kind(), "none");
        assert_eq!(Truth::parse("package main\n", 27).unwrap(), None);
        assert!(Truth::parse("// answer go=1: heap\n", 27).is_err());
        assert!(Truth::parse("// answer: none\n// answer: heap\n", 27).is_err());
    }

    #[test]
    fn every_program_of_the_corpus_states_what_is_right() {
        let programs = super::super::programs::all(26).unwrap();
        assert!(programs.len() >= 52, "{} programs", programs.len());
        let honest = programs.iter().filter(|one| !one.truth.leaks()).count();
        assert!(honest >= 12, "{honest} honest ones");
        for program in programs {
            let truth = &program.truth;
            let named = match truth.kind() {
                "heap" => !truth.sites.is_empty(),
                "goroutines" => !truth.goroutines.is_empty(),
                _ => true,
            };
            assert!(named, "{}", program.name);
        }
    }
}
