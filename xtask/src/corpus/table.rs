//! The results as a page: a confusion matrix, figures, misses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use super::{
    Done,
    judge::{Share, TIMES_S},
    verdict::{NAMED_RIGHT_PERCENT, Verdict},
};

/// What counts as right and as wrong, for the reader of the page.
const HOW_IT_IS_JUDGED: &str = "
A leak is named right at the first look at which the process is said to grow by the right kind, and the first of the leaks that
are listed has a right site with its right `via`, and of several sites the right common frame; goroutines by what created them and
where they start. It has to stay so: at the last look, or at 80 % of the looks from then on; else it is a miss. A miss counts as later than any other. False is every look at which something is called growing that is no leak,
in leaking programs too; a cache that fills may be called growing until its half (curved) and a minute and 2 GC gaps more, or until
it is full (at one rate) and 4 minutes and 2 GC gaps more. Named right at a time counts `probably growing` too; the word held is
the share of looks that name it, from the first right `growing` on. Rates are compared where a leak is constant. A process may be said to grow by what ends by itself: fragmentation, idle
spans, garbage, metadata, page cache. With `--quick`, which has few runs, more misses fail than a heaptop that names 95 % has in 99
of 100 tries; one run with a false `growing` is listed and no failure, and the median may be three looks later.
";

/// The whole page, markdown.
pub(super) fn page(
    done: &[Done],
    failed: &[(String, String)],
    how: &str,
    verdict: &Verdict,
) -> String {
    let mut page = String::new();
    let leaks = done.iter().filter(|one| one.run.program.truth.leaks());
    let n_leaks = leaks.clone().count();
    let n_right = leaks
        .clone()
        .filter(|one| one.outcome.right_s.is_some())
        .count();
    writeln!(page, "# The corpus\n\n{how}\n").ok();
    page += &matrix(done);
    writeln!(
        page,
        "\n| what | value | aim |\n| --- | --- | --- |\n\
         | leaks named right: kind, site and via | {n_right} of {n_leaks} ({:.0} %) | at least {} % |\n\
         | attach to the first right verdict, all leaks | {} | |\n\
         | the same at 7.5 MiB/min and more | {} | median at most {:.1} min |\n\
         | looks that still name it, from then on | {:.0} % | |\n\
         | looks with a false `growing` | {} of {} | none |\n\
         | looks that call a leak `steady` or `warming`, below its rate | {} | none |\n\
         | rates whose 90 % interval holds the constant true one: live heap | {} | at least 85 % |\n\
         | the same of the resident set | {} | at least 85 % |",
        percent(n_right, n_leaks),
        NAMED_RIGHT_PERCENT,
        times(leaks.clone()),
        times(leaks.clone().filter(|one| one.run.is_timed())),
        verdict.median_at_most_s / 60.0,
        mean(leaks.clone().filter(|one| one.outcome.right_s.is_some()).map(|one| one.outcome.stays)) * 100.0,
        done.iter().map(Done::wrong_looks).sum::<usize>(),
        done.iter().map(|one| one.outcome.looks).sum::<usize>(),
        sum(done.iter().map(|one| one.outcome.flat)),
        sum(done.iter().map(|one| one.outcome.live_rate)),
        sum(done.iter().map(|one| one.outcome.rss_rate)),
    )
    .ok();
    page += &by_source(done);
    page += HOW_IT_IS_JUDGED;
    list(
        &mut page,
        "Leaks that were not named right",
        leaks
            .filter(|one| one.outcome.right_s.is_none())
            .map(|one| {
                format!(
                    "{}: said {}: {}",
                    one.run.name(),
                    one.outcome.said,
                    one.outcome.words
                )
            }),
    );
    list(
        &mut page,
        "False `growing`",
        done.iter()
            .filter(|one| !one.outcome.wrong.is_empty())
            .map(|one| {
                let names: BTreeSet<&str> = one
                    .outcome
                    .wrong
                    .iter()
                    .map(|(_, name)| name.as_str())
                    .collect();
                let from_s = one.outcome.wrong[0].0;
                format!(
                    "{}: {} of {} looks, from {from_s:.0} s: {}",
                    one.run.name(),
                    one.wrong_looks(),
                    one.outcome.looks,
                    names.into_iter().collect::<Vec<_>>().join(", ")
                )
            }),
    );
    list(
        &mut page,
        "Runs that failed",
        failed.iter().map(|(run, why)| format!("{run}: {why}")),
    );
    page
}

fn list(page: &mut String, heading: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        writeln!(page, "\n## {heading}\n").ok();
        for line in lines {
            writeln!(page, "- {line}").ok();
        }
    }
}

/// Rows: what is true. Columns: what was said last.
fn matrix(done: &[Done]) -> String {
    let mut cells: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for one in done {
        let row = cells.entry(one.run.program.truth.kind()).or_default();
        *row.entry(one.outcome.said.as_str()).or_default() += 1;
    }
    let columns: BTreeSet<&str> = cells.values().flat_map(|row| row.keys().copied()).collect();
    let mut table = String::from("| leaks by |");
    for column in &columns {
        write!(table, " {column} |").ok();
    }
    table += "\n| --- |";
    table += &" ---: |".repeat(columns.len());
    for (truth, row) in &cells {
        write!(table, "\n| {truth} |").ok();
        for column in &columns {
            match row.get(column) {
                Some(n) => write!(table, " {n} |").ok(),
                None => write!(table, " |").ok(),
            };
        }
    }
    table + "\n"
}

fn by_source(done: &[Done]) -> String {
    let times_s = || TIMES_S.iter().enumerate();
    let is_reached = |(n, _): &(usize, &u32)| {
        let mut answers = done.iter().filter_map(|one| one.outcome.right_at[*n]);
        answers.next().is_some()
    };
    let mut table = String::from("\n| source | leaks named right | median, p90 |");
    for (_, time_s) in times_s().filter(is_reached) {
        write!(table, " at {} min |", time_s / 60).ok();
    }
    table += " word held | false `growing` |\n| --- | --- | --- |";
    table += &" --- |".repeat(times_s().filter(is_reached).count() + 2);
    table += "\n";
    let sources: BTreeSet<&str> = done.iter().map(|one| one.run.source.name()).collect();
    for source in sources {
        let of = || {
            done.iter()
                .filter(move |one| one.run.source.name() == source)
        };
        let leaks = || of().filter(|one| one.run.program.truth.leaks());
        let right = || leaks().filter(|one| one.outcome.right_s.is_some());
        write!(
            table,
            "| `{source}` | {} of {} | {} |",
            right().count(),
            leaks().count(),
            times(leaks()),
        )
        .ok();
        for (n, _) in times_s().filter(is_reached) {
            let answers: Vec<bool> = leaks().filter_map(|one| one.outcome.right_at[n]).collect();
            let right = answers.iter().filter(|right| **right).count();
            write!(table, " {right} of {} |", answers.len()).ok();
        }
        writeln!(
            table,
            " {:.0} % | {} of {} runs |",
            mean(right().map(|one| one.outcome.stays)) * 100.0,
            of().filter(|one| !one.outcome.wrong.is_empty()).count(),
            of().count(),
        )
        .ok();
    }
    table
}

/// Median and p90 of the time to the first right verdict, a miss being later than all others.
fn times<'a>(leaks: impl Iterator<Item = &'a Done>) -> String {
    let times: Vec<f64> = leaks.map(Done::right_s).collect();
    format!(
        "{}, p90 {}",
        minutes(quantile(&times, 50)),
        minutes(quantile(&times, 90))
    )
}

fn minutes(seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) if seconds.is_finite() => format!("{:.1} min", seconds / 60.0),
        Some(_) => "not in this watch".to_owned(),
        None => "-".to_owned(),
    }
}

/// The value that so many per cent of all are at most; `None` of nothing.
pub(super) fn quantile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n_below = (percent * sorted.len()).div_ceil(100).max(1);
    sorted.get(n_below - 1).copied()
}

/// `12 of 14 (86 %)`.
fn sum(shares: impl Iterator<Item = Share>) -> String {
    let Share { n, of } = shares.fold(Share::default(), Share::plus);
    if of == 0 {
        return "-".to_owned();
    }
    format!("{n} of {of} ({:.0} %)", percent(n, of))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for value in values {
        sum += value;
        n += 1.0;
    }
    if n > 0.0 { sum / n } else { 0.0 }
}

fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        assert_eq!(quantile(&[], 50), None);
        assert_eq!(quantile(&[3.0], 90), Some(3.0));
        assert_eq!(quantile(&[4.0, 1.0, f64::INFINITY, 2.0], 50), Some(2.0));
        assert_eq!(
            quantile(&[4.0, 1.0, f64::INFINITY, 2.0], 90),
            Some(f64::INFINITY)
        );
    }
}
