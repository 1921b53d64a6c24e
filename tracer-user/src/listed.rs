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
