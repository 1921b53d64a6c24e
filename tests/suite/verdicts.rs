//! Recorded streams of the simulation that the verdict's constants come from: the words must be the same, look by look.
//!
//! A stream is JSON Lines, compressed: `before` and `attach` tell what was, `birth`, `death`, `gc` and `load` (one each
//! look) what happened, `verdict` the word of a site whenever it changed. `HEAPTOP_VERDICTS` names another folder of
//! streams to replay, which then need not be all equal: the share of equal looks is printed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use heaptop::verdict::{Clock, Flow, GrowingPer, LOOK_NS, Track, Verdict, Veterans, Weight, Word};
use serde_json::Value;

/// The streams carry no weights: a sample of the runtime's at its default rate.
const SAMPLE: Weight = Weight {
    objects: 1.0,
    bytes: (512 << 10) as f64,
};
/// Bytes in a MiB.
const MIB: f64 = (1 << 20) as f64;

/// A stream, replayed: of each site and look in order the word that was recorded, and the verdict.
struct Replayed(Vec<(String, Verdict)>);

impl Replayed {
    fn different(&self) -> usize {
        let differs = |(word, verdict): &&(String, Verdict)| word != verdict.word.word();
        self.0.iter().filter(differs).count()
    }

    fn growing(&self) -> impl Iterator<Item = &Verdict> {
        let verdicts = self.0.iter().map(|(_, verdict)| verdict);
        verdicts.filter(|verdict| verdict.word == Word::Growing)
    }
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings/verdicts")
}

fn streams(folder: &Path) -> Vec<PathBuf> {
    let mut streams: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder of recordings")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gz"))
        .collect();
    streams.sort();
    assert!(!streams.is_empty(), "{}", folder.display());
    streams
}

fn events(path: &Path) -> Vec<Value> {
    let file = GzDecoder::new(File::open(path).expect("a recording"));
    BufReader::new(file)
        .lines()
        .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
        .collect()
}

fn at_ns(event: &Value) -> u64 {
    let seconds = event["t"].as_f64().expect("a time");
    u64::try_from(std::time::Duration::from_secs_f64(seconds).as_micros()).expect("an hour") * 1000
}

fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().expect("a count")
}

fn site(event: &Value) -> u32 {
    u32::try_from(number(event, "site")).expect("few sites")
}

/// Mean time between collections, as one who has watched for long knows it.
fn gap_ns(events: &[Value]) -> Option<f64> {
    let ends: Vec<u64> = (events.iter())
        .filter(|event| event["kind"] == "gc")
        .map(at_ns)
        .collect();
    let span = ends.last()? - ends.first()?;
    (ends.len() > 1).then(|| span as f64 / (ends.len() - 1) as f64)
}

/// Replays a stream. The simulation knows the mean time between collections from the start; `knows_gap` tells it.
fn replay(path: &Path, knows_gap: bool) -> Replayed {
    let events = events(path);
    let sites = (events.iter().filter(|event| event["kind"] == "attach")).count();
    let gap = knows_gap.then(|| gap_ns(&events)).flatten();
    let mut clock = Clock::new(0, events[0]["load_per_look"].as_f64(), gap);
    let mut veterans = Veterans::default();
    let mut tracks: Vec<Track> = vec![Track::default(); sites];
    let mut verdicts: Vec<Vec<Verdict>> = vec![Vec::new(); sites];
    let mut words: Vec<BTreeMap<usize, String>> = vec![BTreeMap::new(); sites];
    let mut load = 0.0;
    for event in &events {
        let now = at_ns(event);
        match event["kind"].as_str().expect("a kind") {
            "attach" => veterans.stood(site(event), number(event, "inuse_samples"), SAMPLE),
            "birth" => veterans.born(number(event, "id"), site(event), SAMPLE, now),
            "death" if event["before_attach"] == true => {
                veterans.died_before(site(event), SAMPLE, now);
            }
            "death" => assert!(veterans.died(number(event, "id"), now)),
            "gc" => {
                veterans.gc(now);
                clock.gc(now);
            }
            "load" => {
                load += event["samples"].as_f64().expect("a count");
                assert!(clock.look(now, load), "a look every 15 s");
                let mut flows: BTreeMap<u32, Flow> = veterans.look(now).into_iter().collect();
                for ((track, verdicts), site) in tracks.iter_mut().zip(&mut verdicts).zip(0..) {
                    track.look(&clock, &flows.remove(&site).unwrap_or_default());
                    verdicts.push(track.verdict().clone());
                }
            }
            "verdict" => {
                let word = event["word"].as_str().expect("a word").to_owned();
                let look = usize::try_from(now / LOOK_NS).expect("few looks");
                words[site(event) as usize].insert(look, word);
            }
            kind => assert_eq!(kind, "before"),
        }
    }
    let mut replayed = Vec::new();
    for (verdicts, words) in verdicts.into_iter().zip(words) {
        for (verdict, look) in verdicts.into_iter().zip(1..) {
            let (_, word) = words.range(..=look).next_back().expect("a first word");
            replayed.push((word.clone(), verdict));
        }
    }
    Replayed(replayed)
}

#[test]
fn words_are_those_of_the_simulation_look_by_look() {
    let other = std::env::var_os("HEAPTOP_VERDICTS").map(PathBuf::from);
    let (mut looks, mut different, mut unaided) = (0, 0, 0);
    for path in streams(other.as_deref().unwrap_or(&recorded())) {
        let name = path.file_stem().expect("a name").to_string_lossy();
        let replayed = replay(&path, true);
        looks += replayed.0.len();
        for (i, (word, verdict)) in replayed.0.iter().enumerate() {
            if word != verdict.word.word() {
                eprintln!("{name}: look {i}: {word}, not {}", verdict.word.word());
            }
        }
        different += replayed.different();
        unaided += replay(&path, false).different();
    }
    eprintln!(
        "{different} of {looks} looks differ, {unaided} if the time between collections has to be learnt"
    );
    assert!(other.is_some() || different == 0);
    assert!(unaided * 1000 <= looks, "{unaided} of {looks} looks");
}

#[test]
fn slopes_hold_the_truth_and_say_what_they_keep_step_with() {
    for (name, truth) in [
        ("7.5-mib-min-gc-1-s", 7.5),
        ("7.5-mib-min-gc-30-s", 7.5),
        ("7.5-mib-min-gc-120-s", 7.5),
        ("0.5-mib-min-gc-1-s", 0.5),
        ("7.5-in-500-mib-life-10", 7.5),
        ("7.5-in-500-mib-life-60", 7.5),
    ] {
        let replayed = replay(&recorded().join(format!("{name}.jsonl.gz")), true);
        let slopes: Vec<_> = (replayed.growing())
            .filter_map(|verdict| verdict.evidence.per_min)
            .collect();
        let holds = |low: f64, high: f64| low / MIB <= truth && truth <= high / MIB;
        let held = slopes
            .iter()
            .filter(|slope| holds(slope.bytes.low, slope.bytes.high));
        // 90 % are wanted; looks that follow each other share most of their window, and three sites are few.
        assert!(held.count() * 100 >= slopes.len() * 80, "{name}");
        let per = |per| {
            let is_per = |verdict: &&Verdict| verdict.evidence.growing_per == Some(per);
            replayed.growing().filter(is_per).count()
        };
        assert!(per(GrowingPer::Time) > 20 * per(GrowingPer::Load), "{name}");
    }
    let by_request = replay(&recorded().join("7.5-by-request-step3.jsonl.gz"), true);
    let last = (by_request.growing().last())
        .expect("growing")
        .evidence
        .clone();
    assert_eq!(last.growing_per, Some(GrowingPer::Load));
    // 15 samples a minute at the load before the step, of which there are 1,000 samples.
    let per_load = last.per_load.expect("a slope").objects;
    assert!(
        per_load.low <= 0.015 && 0.015 <= per_load.high,
        "{per_load:?}"
    );
    let bursts = replay(&recorded().join("7.5-only-in-bursts.jsonl.gz"), true);
    let is_load = |verdict: &Verdict| verdict.evidence.growing_per == Some(GrowingPer::Load);
    assert!(bursts.growing().all(is_load));
}
