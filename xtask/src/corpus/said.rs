//! What heaptop said, as far as it is judged: lines of `heaptop.sites/1` and `heaptop.process/1`.

use serde::Deserialize;

/// A line of either schema.
#[derive(Debug, Deserialize)]
#[serde(tag = "schema")]
pub(super) enum Line {
    #[serde(rename = "heaptop.sites/1")]
    Sites(Sites),
    #[serde(rename = "heaptop.process/1")]
    Process(Process),
    /// Another, of a heaptop that says more.
    #[serde(other)]
    Other,
}

/// Call sites.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Sites {
    pub(super) source: String,
    #[serde(default)]
    pub(super) heap: Heap,
    #[serde(default, rename = "sites")]
    pub(super) rows: Vec<Site>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Heap {
    pub(super) gc_cycles: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Site {
    pub(super) function: String,
    pub(super) verdict: Option<String>,
    pub(super) evidence: Option<Evidence>,
    pub(super) via: Option<Frame>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Evidence {
    pub(super) bytes_per_min: Option<f64>,
    pub(super) text: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Frame {
    pub(super) function: String,
}

/// The process.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Process {
    #[serde(default)]
    pub(super) verdict: Option<Verdict>,
    #[serde(default)]
    pub(super) observations: Vec<String>,
    #[serde(default)]
    pub(super) leaks: Option<Vec<Leak>>,
    #[serde(default)]
    pub(super) goroutines: Option<Goroutines>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Verdict {
    pub(super) word: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) text: Option<String>,
    pub(super) live_bytes_per_min_low: Option<f64>,
    pub(super) live_bytes_per_min_high: Option<f64>,
    pub(super) rss_bytes_per_min_low: Option<f64>,
    pub(super) rss_bytes_per_min_high: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Leak {
    pub(super) kind: Option<String>,
    pub(super) under: Option<Frame>,
    pub(super) via: Option<Frame>,
    #[serde(default)]
    pub(super) sites: Vec<Name>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Goroutines {
    #[serde(default)]
    pub(super) groups: Vec<Group>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Group {
    pub(super) created_by: Option<Name>,
    pub(super) start: Option<Name>,
    pub(super) verdict: Option<String>,
}

/// A function, alone or with its file and line.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Name {
    Function(String),
    Frame(Frame),
}

impl Name {
    pub(super) fn function(&self) -> &str {
        match self {
            Self::Function(function) | Self::Frame(Frame { function }) => function,
        }
    }
}

/// The word for what grows until memory ends.
pub(super) const GROWING: &str = "growing";
/// The word for what probably does.
const PROBABLY_GROWING: &str = "probably_growing";
/// Words for a whole that does not grow, or not for long.
const FLAT: [&str; 2] = ["steady", "warming"];

/// Whether a word is that of growth; with `probably`, also of growth that is only probable.
pub(super) fn is_growth(word: Option<&str>, probably: bool) -> bool {
    word == Some(GROWING) || probably && word == Some(PROBABLY_GROWING)
}

impl Sites {
    /// Rows that are said to grow, fastest first.
    pub(super) fn growing(&self) -> Vec<&Site> {
        let mut growing: Vec<&Site> = self
            .rows
            .iter()
            .filter(|site| site.verdict.as_deref() == Some(GROWING))
            .collect();
        growing.sort_by(|a, b| b.rate().total_cmp(&a.rate()));
        growing
    }
}

impl Site {
    fn rate(&self) -> f64 {
        let evidence = self.evidence.as_ref();
        evidence
            .and_then(|evidence| evidence.bytes_per_min)
            .unwrap_or(0.0)
    }
}

impl Process {
    /// The kind that the process is said to grow by, `?` where it grows by nothing that is named; `None`: it does not grow.
    /// With `probably`, what only probably grows counts too.
    pub(super) fn grows_by(&self, probably: bool) -> Option<&str> {
        let verdict = self.verdict.as_ref()?;
        is_growth(verdict.word.as_deref(), probably).then(|| verdict.kind.as_deref().unwrap_or("?"))
    }

    /// Whether it is said not to grow, or to stop soon.
    pub(super) fn is_flat(&self) -> bool {
        let word = self
            .verdict
            .as_ref()
            .and_then(|verdict| verdict.word.as_deref());
        word.is_some_and(|word| FLAT.contains(&word))
    }

    /// Whether the verdict or an observation contains these words.
    pub(super) fn says(&self, words: &str) -> bool {
        let text = self
            .verdict
            .as_ref()
            .and_then(|verdict| verdict.text.as_deref());
        let observations = self.observations.iter().map(String::as_str);
        observations.chain(text).any(|text| text.contains(words))
    }

    /// `growing heap`, `steady`.
    pub(super) fn word(&self) -> String {
        let verdict = self.verdict.clone().unwrap_or_default();
        let word = verdict.word.unwrap_or_else(|| "?".to_owned());
        match verdict.kind {
            Some(kind) if word == GROWING => format!("{word} {kind}"),
            _ => word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_they_are_and_as_they_will_be() {
        let line: Line = serde_json::from_str(
            r#"{"schema":"heaptop.sites/1","at":"…","source":"sampler","heap":{"live_bytes":1,"gc_cycles":null},
            "sites":[{"function":"main.a","verdict":null,"evidence":null,"via":null,"leak":null},
            {"function":"main.b","verdict":"growing","evidence":{"bytes_per_min":5.0,"text":"b"},"via":{"function":"main.c","file":"a.go","line":1}},
            {"function":"main.d","verdict":"growing","evidence":{"bytes_per_min":7.5}}]}"#,
        )
        .unwrap();
        let Line::Sites(sites) = line else {
            panic!("{line:?}");
        };
        let growing = sites.growing();
        assert_eq!(growing[0].function, "main.d");
        assert_eq!(growing[1].via.as_ref().unwrap().function, "main.c");
        assert_eq!(growing.len(), 2);

        let line: Line = serde_json::from_str(
            r#"{"schema":"heaptop.process/1","verdict":{"word":"growing","kind":"goroutines","text":"x"},
            "leaks":[{"letter":"A","kind":"goroutines","under":{"function":"main.f"},"via":null,"sites":["main.g"]}],
            "limit":null,"goroutines":{"count":3,"groups":[{"created_by":"main.f","start":{"function":"main.f.func1"},"verdict":"growing"}]}}"#,
        )
        .unwrap();
        let Line::Process(process) = line else {
            panic!("{line:?}");
        };
        assert_eq!(process.grows_by(false), Some("goroutines"));
        assert_eq!(process.word(), "growing goroutines");
        let group = &process.goroutines.as_ref().unwrap().groups[0];
        assert_eq!(group.start.as_ref().unwrap().function(), "main.f.func1");
        assert_eq!(process.leaks.unwrap()[0].sites[0].function(), "main.g");

        let line: Line = serde_json::from_str(r#"{"schema":"heaptop.other/1"}"#).unwrap();
        assert!(matches!(line, Line::Other));
        let line: Line = serde_json::from_str(r#"{"schema":"heaptop.process/1"}"#).unwrap();
        let Line::Process(process) = line else {
            panic!("{line:?}");
        };
        assert_eq!(
            (process.grows_by(true), process.word().as_str()),
            (None, "?")
        );
    }
}
