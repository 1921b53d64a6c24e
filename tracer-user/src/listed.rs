//! What a look at all Go processes hands over: plain values, for lists, `ps` and `doctor`.

/// A Go process, as far as a quick look tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedProcess {
    /// Its pid in heaptop's own pid namespace.
    pub pid: u32,
    /// Base name of its executable.
    pub name: String,
    /// Id of its container, 64 hexadecimal digits; of its pod where only that is known.
    pub container: Option<String>,
    /// The release of Go, `go1.24.6`; `None` where the build information cannot be read.
    pub go: Option<String>,
    /// Whether it has no symbol table.
    pub stripped: Option<bool>,
    /// `MemProfileRate`, bytes; 0 is off, `None` not known.
    pub sample_rate_bytes: Option<u64>,
    /// What `heaptop PID` would use.
    pub source: Offer,
    /// Resident set size, bytes.
    pub rss_bytes: Option<u64>,
}

/// The source that a watch would use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// The runtime's own sampler, by probes.
    Sampler,
    /// Spans as they are taken, by probes.
    Spans,
    /// The runtime's records by reads alone: probes are not allowed.
    Buckets,
    /// None, and why.
    Nothing(String),
}

impl Default for Offer {
    fn default() -> Self {
        Self::Nothing("not known".into())
    }
}

impl Offer {
    /// The source that a watch uses by itself: of a process with this `MemProfileRate`, where probes can be placed, or why
    /// not. The one decision of `ps`, `doctor` and the watch.
    pub fn of(rate_bytes: u64, probes: Result<(), &str>) -> Self {
        match (rate_bytes, probes) {
            (0, Ok(())) => Self::Spans,
            (0, Err(why)) => Self::Nothing(format!(
                "its sampler is off, so heaptop needs probes, and cannot place them: {why}"
            )),
            (_, Ok(())) => Self::Sampler,
            (_, Err(_)) => Self::Buckets,
        }
    }

    /// One word, as in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Sampler => "sampler",
            Self::Spans => "spans",
            Self::Buckets => "buckets",
            Self::Nothing(_) => "none",
        }
    }

    /// Why there is none.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Nothing(why) => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_probes_the_runtimes_own_records_are_read_where_there_are_any() {
        assert_eq!(Offer::of(524_288, Ok(())), Offer::Sampler);
        assert_eq!(Offer::of(524_288, Err("no uprobes")), Offer::Buckets);
        assert_eq!(Offer::of(0, Ok(())), Offer::Spans);
        let none = Offer::of(0, Err("no uprobes"));
        assert!(none.why().is_some_and(|why| why.ends_with("no uprobes")));
    }
}
