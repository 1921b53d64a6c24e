//! Real processes: are leaks found, named and told apart, and is what only looks like one left alone?

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use heaptop::cli::SourceChoice;
use heaptop::model::Model;
use heaptop::model::findings::Word;
use heaptop::model::rows::Query;
use heaptop::session::AttachSettings;

use crate::support::go::{A_RELEASE, STRIPPED, fixture};
use crate::support::lines::Lines;
use crate::support::watched::Watched;

/// A leak of half a MiB a second is found in 2.5 minutes as a rule; a loaded machine gets as long again.
const PATIENCE: Duration = Duration::from_secs(330);

/// MiB a minute of each leak, where the machine is not so busy that the program comes to do less.
const NOMINAL: f64 = 30.0;

/// Factor by which a low end may exceed the rate: one of four intervals of 90 % misses it often, and the cache that fills
/// adds to the rate of the whole for minutes.
const MISSED: f64 = 1.2;

/// A running `tests/programs/leaky`; ended when dropped.
struct Leaky(Child);

impl Leaky {
    fn start() -> Option<Self> {
        let path = fixture("leaky", A_RELEASE, STRIPPED)?;
        let mut child = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = Lines::of(child.stdout.take().expect("a pipe"));
        assert!(lines.next().expect("a line").starts_with("ready "));
        Some(Self(child))
    }
}

impl Drop for Leaky {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What each leak is under, with its sites, by name.
fn leaks(model: &Model) -> Vec<(String, Vec<String>)> {
    let findings = model.findings();
    let mut leaks: Vec<(String, Vec<String>)> = findings
        .leaks
        .iter()
        .map(|leak| {
            let sites = leak
                .sites
                .iter()
                .map(|site| site.frame.function.to_string());
            let mut sites: Vec<String> = sites.collect();
            sites.sort();
            (leak.function().to_owned(), sites)
        })
        .collect();
    leaks.sort();
    leaks
}

fn word(model: &Model, function: &str) -> Word {
    let rows = model.sites(&Query::default());
    let row = rows.into_iter().find(|row| &*row.function == function);
    row.and_then(|row| row.verdict).unwrap_or_default().word
}

#[test]
fn two_leaks_are_found_by_either_source_and_a_full_cache_and_churn_are_not_leaks() {
    // Takes no turn: it is minutes long, and nothing in it is a matter of a moment.
    let Some(leaky) = Leaky::start() else { return };
    let pid = leaky.0.id();
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let expected = vec![
        (
            "main.keepAll".to_owned(),
            names(&["main.keepA", "main.keepB", "main.keepC"]),
        ),
        ("main.leakOne".to_owned(), names(&["main.leakOne"])),
    ];
    let watch = |source| {
        let settings = AttachSettings {
            source: Some(source),
            ..AttachSettings::default()
        };
        let mut watched = Watched::attach(pid, &settings).expect("attached");
        watched.within(PATIENCE, "both leaks", |model| leaks(model) == expected);
        let model = watched.model();
        let findings = model.findings();
        assert_eq!(findings.process.word, Word::Growing, "{source:?}");
        for leak in &findings.leaks {
            // On a busy machine the program does less and less, and growth keeps step with that alone.
            let Some(slope) = leak.evidence.bytes_per_min else {
                continue;
            };
            let (low, high) = (slope.low / 1_048_576.0, slope.high / 1_048_576.0);
            assert!(
                low < MISSED * NOMINAL && NOMINAL / 2.0 < high,
                "{source:?}: {low}..{high}"
            );
        }
        assert_ne!(word(model, "main.warm"), Word::Growing, "{source:?}");
        assert_ne!(word(model, "main.throwAway"), Word::Growing, "{source:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| watch(SourceChoice::Sampler));
        watch(SourceChoice::Spans);
    });
}
