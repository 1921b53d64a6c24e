//! The contract of `docs/json.md`: every field there is in the output and the other way round, null only where it says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::support::go::{A_RELEASE, STRIPPED};
use crate::support::heaptop::{SITES, heaptop, lines_of};
use crate::support::serial::{can_probe, turn};
use crate::support::truth::Truth;

const PROCESS: &str = "heaptop.process/1";

/// What the document says of one schema.
#[derive(Debug, Default)]
struct Schema {
    /// Whether a field may be null, by its path: `sites[].via.file`.
    fields: BTreeMap<String, bool>,
    example: Value,
}

/// Reads the tables and the examples of the document.
fn documented() -> BTreeMap<String, Schema> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/json.md");
    let text = std::fs::read_to_string(path).expect("the document");
    let mut schemas: BTreeMap<String, Schema> = BTreeMap::new();
    for section in text.split("\n## ").skip(1) {
        let (name, body) = section.split_once('\n').expect("a heading");
        let mut schema = Schema::default();
        for row in body.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [field, _unit, _meaning, null] = cells[..] else {
                panic!("not four cells: {row}");
            };
            let may_be_null = null != "-";
            let known = schema
                .fields
                .insert(field.trim_matches('`').to_owned(), may_be_null);
            assert!(known.is_none(), "{field} twice");
        }
        let example = body.split("```json\n").nth(1).expect("an example");
        let example = example.split("```").next().unwrap_or_default();
        schema.example = serde_json::from_str(example).expect("JSON");
        schemas.insert(name.trim().to_owned(), schema);
    }
    schemas
}

/// What a value holds: objects, or lists of such.
fn is_object(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.first().is_some_and(Value::is_object),
        _ => false,
    }
}

/// Checks one value against the document; what it has is added to `seen`.
fn check(path: &str, value: &Value, schema: &Schema, seen: &mut BTreeSet<String>) {
    if !path.is_empty() {
        let field = path.trim_end_matches("[]");
        let nullable = schema.fields.get(field);
        // An object that is never null needs no row of its own.
        assert!(
            nullable.is_some() || is_object(value),
            "{field} is not documented"
        );
        if let Some(false) = nullable {
            assert!(!value.is_null(), "{field} is null");
        }
        seen.insert(field.to_owned());
    }
    match value {
        Value::Object(fields) => {
            let prefix = if path.is_empty() {
                String::new()
            } else {
                format!("{path}.")
            };
            for (name, value) in fields {
                check(&format!("{prefix}{name}"), value, schema, seen);
            }
            for field in schema.fields.keys() {
                let own = field.strip_prefix(&prefix);
                if let Some(own) = own.filter(|own| !own.contains(['.', '['])) {
                    assert!(fields.contains_key(own), "{field} is missing");
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                check(&format!("{path}[]"), item, schema, seen);
            }
        }
        _ => {}
    }
}

#[test]
fn examples_have_every_field_that_is_documented() {
    let schemas = documented();
    assert_eq!(schemas.keys().collect::<Vec<_>>(), [PROCESS, SITES]);
    for (name, schema) in &schemas {
        let mut seen = BTreeSet::new();
        check("", &schema.example, schema, &mut seen);
        let missing: Vec<&String> = schema
            .fields
            .keys()
            .filter(|field| !seen.contains(*field))
            .collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
        assert_eq!(&schema.example["schema"], name);
    }
}

#[test]
fn output_has_exactly_the_fields_that_are_documented() {
    let _turn = turn();
    let schemas = documented();
    let Some(mut truth) = Truth::start(A_RELEASE, STRIPPED, &["-rate", "4096"]) else {
        return;
    };
    truth.ask("keepstacks 20");
    truth.ask("goroutines 5");
    for _ in 0..3 {
        truth.ask("gc");
    }
    let pid = truth.pid().to_string();
    let mut ways = vec![vec!["--json", "--no-probes", "--count", "2"]];
    if can_probe() {
        ways.push(vec!["--json", "--interval", "700ms", "--count", "3"]);
        ways.push(vec!["diagnose", "--json", "--for", "2s"]);
    }
    for way in ways {
        let output = heaptop(&[&way[..], &[&pid]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 4)), "{said}");
        let n_lines = String::from_utf8_lossy(&output.stdout).lines().count();
        let mut n_known = 0;
        for (name, schema) in &schemas {
            let lines = lines_of(&output.stdout, name);
            assert!(!lines.is_empty(), "{way:?}: no {name}");
            n_known += lines.len();
            for line in lines {
                let line: Value = serde_json::from_str(line).expect("JSON");
                check("", &line, schema, &mut BTreeSet::new());
            }
        }
        assert_eq!(n_known, n_lines, "lines of other schemas: {way:?}");
    }
}
