//! Recorded streams of real gateways, replayed as if heaptop had attached again and again: `tests/recordings/traces`.

use std::{fmt::Write as _, path::Path};

use anyhow::Result;

use crate::{progress::say, trace};

/// Time from one attach to the next.
const EVERY: &str = "40s";

/// One stream, and what is true of its program.
struct Recording {
    file: &'static str,
    what: &'static str,
    /// Growth of its live heap in MiB per minute, where it is constant.
    mib_per_min: Option<&'static str>,
    /// Ends of the functions that are right to name, and of their callers; none where nothing leaks.
    sites: &'static str,
    via: &'static str,
}

const RECORDINGS: [Recording; 5] = [
    Recording {
        file: "tyk520-leak",
        what: "Tyk 5.2.0 at 150 requests/s, up 20 min; each request leaves the instruments of a handler: +2.6 MiB/min",
        mib_per_min: Some("2.6"),
        sites: "createMeasures,Int64Counter,Float64Histogram",
        via: "trace.NewHTTPHandler.func1",
    },
    Recording {
        file: "mux-leak-sampler",
        what: "gorilla/mux at 150 requests/s, whose context is never cleared: +18.8 MiB/min, GC gaps of 20 to 100 s",
        mib_per_min: Some("18.8"),
        sites: "context.Set",
        via: "authenticate.func1",
    },
    Recording {
        file: "gateway-bursts",
        what: "the gateway of `cargo xtask demo` on a machine so busy that bursts of requests doubled its heap",
        mib_per_min: None,
        // It has two leaks.
        sites: "createMeasures,Int64Counter,Float64Histogram,(*Limiter).ForwardMessage,(*BucketStorage).Create,(*Cache).Set",
        // A request passes one of two limiters.
        via: "telemetry.HTTPHandler,New.(*guard).wrap.func5,New.(*guard).wrap.func9,(*Limiter).ForwardMessage",
    },
    Recording {
        file: "gateway-configs",
        what: "that gateway at 60 requests/s; each reload of its routes leaves them and goroutines: +26 MiB/min, GC gaps of 11 to 54 s",
        // It is 28 at first.
        mib_per_min: None,
        sites: "routes.(*Table).apply,newRouteRegexp",
        via: "routes.(*Table).reload,routes.(*Table).createRouters",
    },
    Recording {
        file: "mux-honest-sampler",
        what: "gorilla/mux with its context cleared: nothing grows",
        mib_per_min: None,
        sites: "",
        via: "",
    },
];

/// A part of the page: the counts of each stream as heaptop's own `replay` prints them.
pub(super) fn section(heaptop: &Path) -> Result<String> {
    let mut section = format!(
        "\n## Recorded gateways\n\nEach stream is replayed from its start and from every {EVERY} on; shares with their 95 % \
         interval.\n"
    );
    for Recording {
        file,
        what,
        mib_per_min,
        sites,
        via,
    } in RECORDINGS
    {
        say("corpus", &format!("replaying {file}"));
        let path = format!("tests/recordings/traces/{file}.gz");
        let files = [crate::root().join(path)];
        let table = trace::counts(heaptop, &files, EVERY, mib_per_min, [sites, via])?;
        writeln!(section, "\n`{file}`: {what}.\n\n{table}").ok();
    }
    Ok(section)
}
