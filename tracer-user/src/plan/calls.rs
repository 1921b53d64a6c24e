//! Which function of the target counts as a request, and where its probe goes.
//!
//! By itself: what serves a request of `net/http` and an RPC of gRPC, whichever is linked. The compiler may have inlined
//! these by a profile (PGO), so each has another way to be counted, and is left out where neither works. A function that
//! the user names is counted, or refused with the reason.
//!
//! Source: `net/http/server.go`, go1.18 to go1.27; `server.go` of google.golang.org/grpc 1.30 to 1.85.

use std::sync::Arc;

use super::code::{PROLOGUE_BYTES, calls, entry_point};
use super::{Kind, MAX_CODE_BYTES, ProbePoint, hex, point, read};
use crate::go::frame::name_for_print;
use crate::go::program::{Code, Named, Program};
use crate::go::static_image::StaticImage;
use crate::refusal::Refusal;

/// Most probes for one function: a generic one has code for each shape of its type arguments.
pub(crate) const MAX_POINTS: usize = 32;
/// Limit on the names that a refusal lists.
const MAX_NAMES_LISTED: usize = 5;
/// Most names that are looked at for a refusal.
const MAX_NAMES: usize = 1 << 12;

/// Functions that are counted together with their probes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallsPlan {
    /// The functions, at most [`tracer_ebpf::wire::N_CALLS`]: the first has [`Kind::Call`].
    pub functions: Vec<(Kind, Arc<str>)>,
    /// Where calls are counted.
    pub points: Vec<ProbePoint>,
}

/// One way to count requests.
#[derive(Debug)]
struct Way {
    /// What is counted, as it is shown.
    shown: &'static str,
    /// Called once for a request, directly from a function whose name begins with `caller`; else it is inlined there.
    called: &'static str,
    caller: &'static str,
    /// Called for those requests that take another path; may be missing.
    also: &'static str,
}

const NET_HTTP: &str = "net/http.";
const SERVE_HTTP: &str = "net/http.serverHandler.ServeHTTP";
const HANDLE_STREAM: &str = "google.golang.org/grpc.(*Server).handleStream";
const GRPC_SERVER: &str = "google.golang.org/grpc.(*Server).";

/// What counts as a request by itself, by kind, the best way first.
const DEFAULTS: [(Kind, [Way; 2]); 2] = [
    (
        Kind::Call,
        [
            Way {
                shown: SERVE_HTTP,
                called: SERVE_HTTP,
                caller: "net/http.(*conn).serve",
                also: "",
            },
            // Inlined there: what comes behind it, of HTTP/1; HTTP/2 calls it through an interface.
            Way {
                shown: SERVE_HTTP,
                called: "net/http.(*response).finishRequest",
                caller: "net/http.(*conn).serve",
                also: SERVE_HTTP,
            },
        ],
    ),
    (
        Kind::OtherCall,
        [
            Way {
                shown: HANDLE_STREAM,
                called: HANDLE_STREAM,
                caller: GRPC_SERVER,
                also: "",
            },
            Way {
                shown: HANDLE_STREAM,
                called: "google.golang.org/grpc.(*Server).processUnaryRPC",
                caller: GRPC_SERVER,
                also: "google.golang.org/grpc.(*Server).processStreamingRPC",
            },
        ],
    ),
];

/// Plans the probes of calls: of the function that the user names, else of those that serve requests, where any is linked.
///
/// # Errors
///
/// When the named function is not there, could be several, is inlined everywhere, or has no place for a probe.
pub fn plan(
    program: &Program,
    image: &dyn StaticImage,
    function: Option<&str>,
) -> Result<CallsPlan, Refusal> {
    match function {
        Some(function) => of_function(program, image, function),
        None => Ok(of_requests(program, image)),
    }
}

fn of_requests(program: &Program, image: &dyn StaticImage) -> CallsPlan {
    let ways = DEFAULTS.iter().flat_map(|(_, ways)| ways);
    let names: Vec<&str> = ways.flat_map(|way| [way.called, way.also]).collect();
    let is_wanted = &mut |symbol: &str| {
        // Most of some 100 000 names are neither.
        symbol.starts_with(GRPC_SERVER)
            || (symbol.starts_with(NET_HTTP)
                && (names.contains(&symbol)
                    || DEFAULTS.iter().any(|(_, ways)| ways[0].caller == symbol)))
    };
    let found = program.functions_where(image, is_wanted);
    let mut plan = CallsPlan::default();
    for (kind, ways) in &DEFAULTS {
        let placed = ways
            .iter()
            .find_map(|way| Some((way.shown, of_way(image, *kind, way, &found)?)));
        if let Some((shown, points)) = placed {
            plan.functions.push((*kind, shown.into()));
            plan.points.extend(points);
        }
    }
    plan
}

/// The probes of one way; `None` where it is not linked or cannot be counted so.
fn of_way(
    image: &dyn StaticImage,
    kind: Kind,
    way: &Way,
    found: &[Named],
) -> Option<Vec<ProbePoint>> {
    let codes = |name: &str| {
        let named = found.iter().find(|named| &*named.name == name);
        named.map_or(&[][..], |named| &named.codes)
    };
    let called = codes(way.called);
    let is_called_by = |code: &Code| {
        let bytes = read(image, way.caller, *code, MAX_CODE_BYTES).unwrap_or_default();
        calls(&bytes, code.start)
            .iter()
            .any(|call| called.iter().any(|code| code.start == call.target))
    };
    let mut callers = found
        .iter()
        .filter(|named| named.name.starts_with(way.caller))
        .flat_map(|named| &named.codes);
    if called.is_empty() || !callers.any(is_called_by) {
        return None;
    }
    let also: &[Code] = if way.also.is_empty() {
        &[]
    } else {
        codes(way.also)
    };
    let all: Vec<Code> = called.iter().chain(also).copied().collect();
    points(image, kind, way.shown, &all).ok()
}

fn of_function(
    program: &Program,
    image: &dyn StaticImage,
    function: &str,
) -> Result<CallsPlan, Refusal> {
    let what = || format!("cannot count calls of {function}");
    let found = program.functions_where(image, &mut |symbol| is_meant(symbol, function));
    let exact = found
        .iter()
        .position(|named| readable(&named.name) == readable(function));
    let mut found = match exact {
        Some(at) => vec![found[at].clone()],
        None => found,
    };
    // A name without code beside others with code is no other choice.
    if found.iter().any(|named| !named.codes.is_empty()) {
        found.retain(|named| !named.codes.is_empty());
    }
    let named = match &found[..] {
        [] => {
            let near = near(program, image, function);
            let next = if near.is_empty() {
                "name a function as heaptop shows it, such as net/http.serverHandler.ServeHTTP"
                    .into()
            } else {
                format!("did you mean {}", list(&near))
            };
            return Err(Refusal::new(
                what(),
                "the program has no such function",
                next,
            ));
        }
        [named] => named,
        several => {
            let names: Vec<&str> = several.iter().map(|named| &*named.name).collect();
            return Err(Refusal::new(
                what(),
                format!("{} functions of the program have that name", names.len()),
                format!("did you mean {}", list(&names)),
            ));
        }
    };
    if named.codes.is_empty() {
        return Err(Refusal::new(
            format!("cannot count calls of {}", named.name),
            "the compiler has inlined it wherever it is called",
            "name the function that calls it, or one that it calls",
        ));
    }
    let why_not = |why: String| {
        Refusal::new(
            format!("cannot count calls of {}", named.name),
            why,
            "name the function that calls it, or one that it calls",
        )
    };
    let points = points(image, Kind::Call, &named.name, &named.codes).map_err(why_not)?;
    Ok(CallsPlan {
        functions: vec![(Kind::Call, Arc::clone(&named.name))],
        points,
    })
}

/// The probes of all code of a function.
fn points(
    image: &dyn StaticImage,
    kind: Kind,
    name: &str,
    codes: &[Code],
) -> Result<Vec<ProbePoint>, String> {
    if codes.len() > MAX_POINTS {
        return Err(format!(
            "it is generic, with {} instances, and {MAX_POINTS} probes are the most",
            codes.len()
        ));
    }
    let mut points = Vec::new();
    let mut begins_with_push = false;
    for code in codes {
        let bytes = read(image, name, *code, PROLOGUE_BYTES).map_err(|refusal| refusal.why)?;
        let (offset, instruction) = entry_point(&bytes).ok_or_else(|| {
            format!(
                "its code at {:#x} begins with {}: neither a stack check nor `push %rbp`, where a probe costs 1 us; elsewhere it costs 5 to 9",
                code.start,
                hex(&bytes[..bytes.len().min(SHOWN_BYTES)])
            )
        })?;
        begins_with_push |= offset == 0;
        let vaddr = code.start.wrapping_add(offset as u64);
        let name = name.to_owned().into();
        points.push(point(image, kind, name, vaddr, instruction).map_err(|refusal| refusal.why)?);
    }
    // The flags tell on a `jbe` alone, and are looked at for all probes of a kind or none.
    if begins_with_push && points.iter().any(|point| point.jbe_filter) {
        return Err("some of its instances have a stack check, others have none".into());
    }
    Ok(points)
}

/// Bytes of code that a refusal shows.
const SHOWN_BYTES: usize = 8;

/// Whether a symbol is `function`, or ends with it behind a `.` or `/`.
fn is_meant(symbol: &str, function: &str) -> bool {
    let symbol = readable(symbol);
    let function = readable(function);
    symbol
        .strip_suffix(&*function)
        .is_some_and(|before| before.is_empty() || before.ends_with(['.', '/']))
        && !function.is_empty()
}

/// The name to show, of a symbol or of what the user wrote.
fn readable(name: &str) -> Arc<str> {
    name_for_print(&name.into())
}

/// Names that are like `function`, the shortest first.
fn near(program: &Program, image: &dyn StaticImage, function: &str) -> Vec<Arc<str>> {
    let wanted = readable(function).to_lowercase();
    let method = wanted.rsplit(['.', '/']).next().unwrap_or_default();
    let mut whole = Vec::new();
    let mut parts = Vec::new();
    program.functions_where(image, &mut |symbol| {
        let name = readable(symbol);
        let lower = name.to_lowercase();
        if whole.len() < MAX_NAMES && !wanted.is_empty() && lower.contains(&wanted) {
            whole.push(name);
        } else if parts.len() < MAX_NAMES
            && !method.is_empty()
            && lower.rsplit('.').next() == Some(method)
        {
            parts.push(name);
        }
        false
    });
    for names in [&mut whole, &mut parts] {
        names.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        names.dedup();
    }
    whole.extend(parts);
    whole
}

/// Names in a row, and how many more there are.
fn list(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<&str> = names
        .iter()
        .take(MAX_NAMES_LISTED)
        .map(AsRef::as_ref)
        .collect();
    let more = names.len() - shown.len();
    let shown = shown.join(", ");
    if more == 0 {
        shown
    } else {
        format!("{shown}, or one of {more} more")
    }
}

/// Finds the probe points of functions that may drive a growth, to be counted one at a time by [`CallsPlan::spare`].
///
/// `functions` are names as stacks show them; `jbe_filter` is that of the loaded programs. `None` for a function that is not
/// linked, is inlined everywhere, has no stack check, or has one that the kind's program does not filter.
pub fn candidates(
    program: &Program,
    image: &dyn StaticImage,
    functions: &[Arc<str>],
    (kind, jbe_filter): (Kind, u64),
) -> Vec<Option<Vec<ProbePoint>>> {
    // Most of some 100 000 names are excluded by their beginning, without a copy.
    let is_wanted = &mut |symbol: &str| {
        let head = symbol.split(['[', '%']).next().unwrap_or_default();
        functions.iter().any(|name| name.starts_with(head)) && functions.contains(&readable(symbol))
    };
    let found = program.functions_where(image, is_wanted);
    let points_of = |name: &Arc<str>| {
        let named = found.iter().find(|named| named.name == *name)?;
        let points = points(image, kind, name, &named.codes).ok()?;
        let has_filter = jbe_filter & 1 << (kind as u64) != 0;
        let is_countable = |point: &ProbePoint| {
            // Without a check before it the flags say nothing, and the filter would read them.
            let is_checked = !named.codes.iter().any(|code| code.start == point.vaddr);
            is_checked && (has_filter || !point.jbe_filter)
        };
        (!points.is_empty() && points.iter().all(is_countable)).then_some(points)
    };
    functions.iter().map(points_of).collect()
}

impl CallsPlan {
    /// Returns the kind of call that this plan leaves free; `None` if it uses both.
    pub fn spare(&self) -> Option<Kind> {
        let kinds = [Kind::OtherCall, Kind::Call];
        kinds.into_iter().find(|kind| !self.uses(*kind))
    }

    /// True if a probe of this kind belongs to the plan.
    pub fn uses(&self, kind: Kind) -> bool {
        self.points.iter().any(|point| point.kind == kind)
    }

    /// Leaves a kind free.
    pub fn give_up(&mut self, kind: Kind) {
        self.points.retain(|point| point.kind != kind);
    }

    /// Bits as of [`super::ProbePlan::jbe_filter`]; [`CallsPlan::spare`] is set.
    pub fn jbe_filter(&self) -> u64 {
        let spare = self.spare().map_or(0, |kind| 1 << (kind as u64));
        super::jbe_filter(&self.points) | spare
    }

    /// Whether there is anything to count.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_meant_by_its_whole_name_or_the_end_of_it() {
        let name = "github.com/a/proxy.(*Handler).ServeHTTP";
        for meant in [
            name,
            "proxy.(*Handler).ServeHTTP",
            "(*Handler).ServeHTTP",
            "ServeHTTP",
            "a/proxy.(*Handler).ServeHTTP",
        ] {
            assert!(is_meant(name, meant), "{meant}");
        }
        for not in [
            "",
            "HTTP",
            "oxy.(*Handler).ServeHTTP",
            "handler).ServeHTTP",
            "x.ServeHTTP",
        ] {
            assert!(!is_meant(name, not), "{not}");
        }
        assert!(is_meant(
            "gopkg.in/yaml%2ev3.Unmarshal",
            "yaml.v3.Unmarshal"
        ));
        assert!(is_meant(
            "main.(*cache[go.shape.int]).put",
            "(*cache[...]).put"
        ));
        assert!(is_meant(
            "main.(*cache[go.shape.int]).put",
            "main.(*cache[go.shape.int]).put"
        ));
    }

    #[test]
    fn a_list_is_short() {
        assert_eq!(list(&["a", "b"]), "a, b");
        let many = ["x"; 9];
        assert_eq!(list(&many), "x, x, x, x, x, or one of 4 more");
    }
}
