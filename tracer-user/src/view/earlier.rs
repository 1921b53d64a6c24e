//! Part of the live heap's graph before the attach: estimated cycles at the left of a bar, measured ones at its right.
//!
//! Both parts share one range. Each has a time scale of its own, so that a minute that was watched can be read beside an hour
//! before it; the longer the watch, the narrower the part before it.

use super::format;
use super::graph::{LABEL, ago, over_time, rule};
use super::names::width;
use super::reading::Reading;
use super::screen::{Line, Role};
use crate::model::rows::Cycle;

/// Bar between both parts.
const BAR: &str = "│";
/// Largest part of the graph's width, at the attach.
const LARGEST_SHARE: f64 = 0.5;
/// Length of the watch at which that share has halved.
const HALVED_NS: f64 = 600e9;
/// Fewest cells: below, there is no room for the time at which it begins, and little shape.
const MIN_CELLS: usize = 8;

/// Width and time of the part before the attach.
pub(super) struct Earlier<'a> {
    reading: &'a Reading,
    cells: usize,
    /// From its first cycle to the first measured one.
    span_ns: u64,
    /// From the first measured cycle to now.
    watched_ns: u64,
}

impl<'a> Earlier<'a> {
    /// Lower end of the range, as a part of the upper one, at most: the errors of estimates must not look like steps.
    pub(super) const LOWEST: f64 = 0.5;

    /// The part before the attach in a graph of `cells` that begins with the cycle `first`; `None` where it is not known, or
    /// too narrow.
    pub(super) fn of(reading: &'a Reading, first: &Cycle, cells: usize) -> Option<Self> {
        let oldest = reading.estimated_cycles.first()?;
        // From a later baseline on, the graph shows what follows it alone.
        let is_whole = (reading.cycles.first()).is_some_and(|cycle| cycle.at_ns == first.at_ns);
        if !is_whole {
            return None;
        }
        let to_first_ns = first.at_ns.saturating_sub(reading.target.attached_ns);
        let span_ns = oldest.before_attach_ns.saturating_add(to_first_ns);
        let watched_ns = reading.until_ns().saturating_sub(first.at_ns);
        Some(Self {
            reading,
            cells: cells_of(span_ns, watched_ns, cells),
            span_ns,
            watched_ns,
        })
        .filter(|earlier| earlier.cells >= MIN_CELLS)
    }

    /// Cells of the part before the attach and of the bar.
    pub(super) fn cells(&self) -> usize {
        self.cells + 1
    }

    /// Estimated live heap, two values for each cell, oldest first.
    pub(super) fn values(&self) -> Vec<Option<f64>> {
        let estimated = &self.reading.estimated_cycles;
        let oldest_ns = estimated.first().map_or(0, |cycle| cycle.before_attach_ns);
        let history = estimated.iter().map(|cycle| {
            let since_oldest_ns = oldest_ns.saturating_sub(cycle.before_attach_ns);
            (since_oldest_ns, cycle.live_bytes as f64)
        });
        over_time(history, (0, self.span_ns), self.cells * 2, |_, last| last)
    }

    /// Sets the bar into a line of the graph, and dims what is estimated.
    pub(super) fn divide(&self, mut line: Line) -> Line {
        let Some(graph) = line.spans.pop() else {
            return line;
        };
        let mut cells = graph.text.chars();
        let estimated: String = cells.by_ref().take(self.cells).collect();
        line.push(estimated, Role::Dim);
        line.push(BAR, Role::Dim);
        line.push(cells.as_str(), graph.role);
        line
    }

    /// The rule above: says what is at the left of the bar. Gives up figures of the GC where both do not fit.
    ///
    /// `right`: these figures, from all to the least.
    pub(super) fn rule(&self, left: &str, right: [&str; 3], room: usize) -> Line {
        let span = format::coarse_duration(self.span_ns);
        let short = format!("left of {BAR}: estimated");
        let usual = format!("left of {BAR}: {span} estimated from GC times");
        let long = format!("{usual} at the present load");
        let [all, fewer, least] = right;
        let choices = [
            (&long, all),
            (&usual, all),
            (&usual, fewer),
            (&usual, least),
            (&usual, ""),
            (&short, least),
            (&short, ""),
        ];
        let fits = |(note, right): &(&String, &str)| {
            // With the dashes and blanks of a rule.
            width(left) + 3 + width(note) + width(right) + 6 <= room
        };
        let (note, right) = choices.into_iter().find(fits).unwrap_or((&short, ""));
        rule(&format!("{left} ─ {note}"), right, room)
    }

    /// The axis below a graph of `cells`: when both parts begin, and now.
    pub(super) fn axis(&self, cells: usize) -> Line {
        let begin = ago(self.span_ns.saturating_add(self.watched_ns));
        let estimated = format!("{begin} estimated");
        let mut line = Line::default();
        line.pad_to(LABEL);
        let fits = width(&estimated) < self.cells;
        line.push(if fits { estimated } else { begin }, Role::Dim);
        line.pad_to(LABEL + self.cells);
        line.push(format!("{} measured", ago(self.watched_ns)), Role::Dim);
        line.and_right(Line::new("now", Role::Dim), LABEL + cells)
    }
}

/// Cells of the part before the attach: on one time scale with the watch as far as the largest share allows.
fn cells_of(span_ns: u64, watched_ns: u64, cells: usize) -> usize {
    let (span, watched) = (span_ns as f64, watched_ns as f64);
    let to_scale = span / (span + watched).max(1.0);
    let share = to_scale.min(LARGEST_SHARE / (1.0 + watched / HALVED_NS));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the graph's width"
    )]
    let cells = (share * cells as f64) as usize;
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_before_the_attach_gives_way_to_a_long_watch() {
        const MINUTE_NS: u64 = 60_000_000_000;
        let cells =
            |before_min, watched_min| cells_of(before_min * MINUTE_NS, watched_min * MINUTE_NS, 70);
        assert_eq!(cells(40, 1), 31);
        assert_eq!(cells(40, 10), 17);
        assert_eq!(cells(40, 30), 8);
        assert_eq!(cells(40, 60), 5);
        // On one scale with the watch: 2 of 12 minutes.
        assert_eq!(cells(2, 10), 11);
        assert_eq!(cells(0, 0), 0);
    }
}
