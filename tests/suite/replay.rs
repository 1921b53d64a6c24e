//! Recorded event streams of real programs, replayed without root: words, rates and names of known truth.
//!
//! Taken at 150 requests/s. `mux-leak-sampler`: gorilla/mux whose `gorilla/context` is never cleared, +18.8 MiB/min, GC gaps of
//! 20 to 100 s. `mux-honest-sampler`: the same with `ClearHandler`. `tyk520-leak`: seven minutes of Tyk 5.2.0, up 20 min, whose
//! `trace.NewHTTPHandler.func1` builds an `otelhttp` handler for each request, +2.6 MiB/min. `gateway-bursts`: the gateway of
//! `cargo xtask demo` on a machine so busy that bursts of requests doubled its heap; without anatomy and goroutines.
//! `gateway-configs`: that gateway with `--leak configs` at 60 requests/s, up 1 min. Each of its reloads, one in 4 s, leaves
//! routers, a goroutine of `apply` and those of a connection: +26 MiB/min. Each is replayed from the attach and from later
//! ones.

use std::path::Path;

use heaptop::event::Event;
use heaptop::model::Model;
use heaptop::model::findings::Findings;
use heaptop::trace;
use heaptop::view::words::Answer;

const SECOND: u64 = 1_000_000_000;
/// Time between two attaches.
const ATTACH_EVERY: u64 = 60 * SECOND;
/// Shortest stream behind an attach that is judged.
const LEAST_WATCH: u64 = 300 * SECOND;

/// Findings of each evaluation, with the seconds since the attach.
type Evaluations = Vec<(u64, Findings)>;

fn stream(name: &str) -> Vec<Event> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings/traces");
    trace::read(&folder.join(name)).expect("a trace").events
}

fn evaluations(events: &[Event]) -> Evaluations {
    let mut model = Model::default();
    let mut found = Vec::new();
    let attached_ns = events.first().map_or(0, Event::at_ns);
    for event in events {
        let before = model.evaluations();
        model.apply(event.clone());
        if model.evaluations() != before {
            let at_s = event.at_ns().saturating_sub(attached_ns) / SECOND;
            found.push((at_s, (*model.findings()).clone()));
        }
    }
    found
}

/// Evaluations after each attach, [`ATTACH_EVERY`] apart, that leaves a watch of [`LEAST_WATCH`].
fn attaches(name: &str) -> Vec<Evaluations> {
    let events = stream(name);
    let ends_ns = events.last().map_or(0, Event::at_ns);
    let begins_ns = events.first().map_or(0, Event::at_ns);
    let mut all = vec![evaluations(&events)];
    for after in (1..).map(|n| n * ATTACH_EVERY) {
        if begins_ns + after + LEAST_WATCH > ends_ns {
            return all;
        }
        let later = trace::attach_at(&events, after).expect("a later attach");
        all.push(evaluations(&later));
    }
    all
}

fn is_growth(findings: &Findings) -> bool {
    findings.process.word.is_growth()
}

#[test]
fn replay_is_deterministic() {
    let events = stream("mux-leak-sampler.gz");
    assert_eq!(evaluations(&events), evaluations(&events));
}

/// A stream, what its leak is named by, and its `via`.
const LEAKS: [(&str, &[&str], &str); 2] = [
    (
        "mux-leak-sampler.gz",
        &["context.Set"],
        "authenticate.func1",
    ),
    (
        "tyk520-leak.gz",
        &["createMeasures", "Int64Counter", "Float64Histogram"],
        "trace.NewHTTPHandler.func1",
    ),
];

#[test]
fn leaks_get_their_word_and_their_name_and_keep_them() {
    let (mut attached, mut named, mut kept, mut since_first) = (0, 0, 0, 0);
    for (stream, functions, via) in LEAKS {
        for attach in attaches(stream) {
            attached += 1;
            let first = attach.iter().position(|(_, findings)| is_growth(findings));
            let Some(first) = first else { continue };
            let is_named = |findings: &Findings| {
                let leak = findings.leaks.first();
                leak.is_some_and(|leak| {
                    let ends = |name: &&str| leak.function().ends_with(*name);
                    let caller = leak.via.as_ref().map(|frame| &*frame.function);
                    functions.iter().any(ends) && caller.is_some_and(|name| name.ends_with(via))
                })
            };
            named += usize::from(attach.last().is_some_and(|(_, last)| is_named(last)));
            since_first += attach.len() - first;
            let grows = attach[first..].iter().filter(|(_, of)| is_growth(of));
            kept += grows.count();
        }
    }
    assert!(attached >= 10, "{attached}");
    assert!(
        named * 10 >= attached * 9,
        "{named} of {attached} attaches named it"
    );
    assert!(
        kept * 100 >= since_first * 98,
        "kept at {kept} of {since_first} evaluations"
    );
}

#[test]
fn a_leak_is_reported_within_five_minutes() {
    for (stream, ..) in LEAKS {
        for (i, attach) in attaches(stream).iter().enumerate() {
            let by_then = attach.iter().take_while(|(at_s, _)| *at_s <= 300);
            assert!(
                by_then
                    .last()
                    .is_some_and(|(_, findings)| is_growth(findings)),
                "{stream}, attach {i}"
            );
        }
    }
}

/// Packages of the two leaks of the gateway that `gateway-bursts` was taken of.
const GATEWAY_LEAKS: [&str; 6] = [
    "otelhttp.",
    "global.",
    "telemetry.",
    "memorycache.",
    "ratelimit.",
    "session.",
];

/// From 440 s on a burst hides the rate: what it allocated is kept at some marks.
#[test]
fn a_burst_takes_no_name_from_a_leak() {
    let events = stream("gateway-bursts.gz");
    let later = trace::attach_at(&events, 120 * SECOND).expect("a later attach");
    let mut n_hidden = 0;
    for (at_s, findings) in evaluations(&later) {
        let process = &findings.process;
        if at_s < 300 || !is_growth(&findings) || process.live_bytes_per_min.is_some() {
            continue;
        }
        n_hidden += 1;
        let first = findings.leaks.first().map_or("", |leak| leak.function());
        let is_leak = GATEWAY_LEAKS.iter().any(|package| first.contains(package));
        assert!(is_leak, "{at_s} s: {first}");
    }
    assert!(n_hidden > 5, "{n_hidden}");
}

/// Routers, the goroutine that holds them and those of its connection.
#[test]
fn what_a_reload_leaves_is_one_leak() {
    let events = stream("gateway-configs.gz");
    let all = evaluations(&events);
    let letters = all.iter().filter_map(|(_, findings)| {
        let mut leaks = findings.leaks.iter();
        Some(
            leaks
                .find(|leak| leak.function().ends_with("apply"))?
                .letter,
        )
    });
    let kept: Vec<char> = letters.skip_while(|letter| *letter != 'A').collect();
    assert!(
        kept.len() > 8 && kept.iter().all(|letter| *letter == 'A'),
        "{kept:?}"
    );
    let (at_s, findings) = all.last().expect("evaluations");
    assert!(*at_s > 300, "{at_s}");
    let leaks: Vec<(char, &str, Option<&str>)> = (findings.leaks.iter())
        .map(|leak| {
            let via = leak.via.as_ref().map(|via| &*via.function);
            (leak.letter, leak.function(), via)
        })
        .collect();
    let routes = "gateway/internal/routes.(*Table)";
    let [apply, reload, create] =
        ["apply", "reload", "createRouters"].map(|name| format!("{routes}.{name}"));
    let [goroutines, heap] = &leaks[..] else {
        panic!("{leaks:?}");
    };
    assert_eq!(*goroutines, ('A', apply.as_str(), Some(reload.as_str())));
    assert_eq!(
        *heap,
        (
            'A',
            "github.com/gorilla/mux.newRouteRegexp",
            Some(create.as_str())
        )
    );
    let creators = &findings.leaks[0].sites;
    assert!(
        creators
            .iter()
            .any(|site| &*site.frame.function == "net/http.(*Server).Serve")
    );
}

#[test]
fn no_rate_of_what_grows_may_be_zero() {
    let streams = LEAKS.iter().map(|(stream, ..)| *stream);
    for stream in streams.chain(["gateway-bursts.gz"]) {
        let mut n_growing = 0;
        for (at_s, findings) in attaches(stream).into_iter().flatten() {
            let mut rates = Vec::new();
            for leak in &findings.leaks {
                let sites = leak.sites.iter().map(|site| &site.evidence);
                for evidence in sites.chain([&leak.evidence]) {
                    rates.extend([evidence.bytes_per_min, evidence.objects_per_min]);
                    let per_call = evidence.per_call.as_ref();
                    rates.extend(per_call.map(|per_call| Some(per_call.bytes)));
                }
            }
            let process = &findings.process;
            rates.extend(process.kinds.iter().map(|kind| kind.per_min));
            if is_growth(&findings) {
                n_growing += 1;
                rates.extend([process.live_bytes_per_min, process.rss_bytes_per_min]);
            }
            for rate in rates.into_iter().flatten() {
                assert!(rate.low > 0.0, "{stream}, {at_s} s: {rate:?}");
            }
        }
        assert!(n_growing > 20, "{stream}: {n_growing}");
    }
}

#[test]
fn an_honest_server_is_never_said_to_grow() {
    for (i, attach) in attaches("mux-honest-sampler.gz").iter().enumerate() {
        for (at_s, findings) in attach {
            assert!(
                !is_growth(findings),
                "attach {i}, {at_s} s: {:?}",
                findings.process
            );
        }
    }
}

#[test]
fn the_rate_is_that_of_the_whole() {
    for attach in attaches("tyk520-leak.gz") {
        for (at_s, findings) in attach {
            let of_heap = |leak: &&heaptop::model::findings::Leak| {
                leak.kind == heaptop::model::findings::Kind::Heap
            };
            let named: f64 = (findings.leaks.iter().filter(of_heap))
                .filter_map(|leak| leak.evidence.bytes_per_min)
                .map(|rate| rate.value)
                .sum();
            let Some(whole) = findings.process.live_bytes_per_min else {
                continue;
            };
            assert!(
                !is_growth(&findings) || whole.value >= 0.999 * named,
                "{at_s} s: {whole:?} below {named}"
            );
        }
    }
}

#[test]
fn answers_come_when_they_were_forecast() {
    let streams = LEAKS.iter().map(|(stream, ..)| *stream);
    let mut ratios = Vec::new();
    for attach in streams.chain(["mux-honest-sampler.gz"]).flat_map(attaches) {
        let mut answer = Answer::default();
        let mut forecasts = Vec::new();
        for (number, (_, findings)) in (1..).zip(&attach) {
            let Some(forecast) = findings.process.forecast else {
                continue;
            };
            let made_s = forecast.made_s();
            if answer.holds(number, findings) {
                let of = |(made, at): (f64, f64)| (at - made) / (made_s - made);
                ratios.extend(forecasts.into_iter().map(of));
                break;
            }
            forecasts.extend(forecast.at_s().map(|at_s| (made_s, at_s)));
        }
    }
    ratios.sort_by(f64::total_cmp);
    let quantile = |percent: usize| ratios[percent * ratios.len() / 100];
    assert!(ratios.len() > 200, "{}", ratios.len());
    let (low, median, high) = (quantile(10), quantile(50), quantile(90));
    assert!((0.8..1.25).contains(&median), "{low} {median} {high}");
    assert!(low > 0.3 && high < 3.0, "{low} {median} {high}");
}
