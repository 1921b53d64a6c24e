//! heaptop's text tables, read as far as the demo needs.

/// One row: a call site and how fast it grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row<'a> {
    /// MiB a minute; 0 where it cannot be told from 0.
    pub(super) growth_per_min: f64,
    /// Whole name, with what follows it in a wide table.
    pub(super) site: &'a str,
}

/// Reads lines one by one; the heading says where the columns are.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Columns before that of the growth per minute, and before the site.
    columns: Option<(usize, usize)>,
}

impl Table {
    /// The row that this line is, if it is one with a known growth.
    pub(super) fn row<'a>(&mut self, line: &'a str) -> Option<Row<'a>> {
        let column = |title: &str| line.split_whitespace().position(|word| word == title);
        if let (Some(growth), Some(site)) = (column("GROW/min"), column("SITE")) {
            self.columns = Some((growth, site));
            return None;
        }
        let (growth, site) = self.columns?;
        let mut words = line.split_whitespace();
        let growth_per_min = mebibytes(words.clone().nth(growth)?)?;
        Some(Row {
            growth_per_min,
            site: words.nth(site)?,
        })
    }
}

/// `+1.46Mi`; `~0` and `0` are 0.
fn mebibytes(word: &str) -> Option<f64> {
    match word {
        "0" | "~0" => Some(0.0),
        _ => word.strip_suffix("Mi")?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_below_their_heading() {
        let mut table = Table::default();
        assert_eq!(
            table.row("  +1.0Mi  4.0Mi  9%  +1.46Mi  +18.4k main.early"),
            None
        );
        assert_eq!(
            table.row("11:02:01 gateway 4121 live 4.0Mi goal 8.0Mi"),
            None
        );
        assert_eq!(
            table.row("   SINCE IN-USE  +- GROW/min OBJ/min SITE FILE:LINE"),
            None
        );
        assert_eq!(
            table
                .row("  +1.0Mi  4.0Mi  9%  +1.46Mi  +18.4k gateway/internal/session.(*L).F a.go:7"),
            Some(Row {
                growth_per_min: 1.46,
                site: "gateway/internal/session.(*L).F"
            })
        );
        let growth = |table: &mut Table, word: &str| {
            table
                .row(&format!("- 4.0Mi 9% {word} ? main.f"))
                .map(|row| row.growth_per_min)
        };
        assert_eq!(growth(&mut table, "~0"), Some(0.0));
        assert_eq!(growth(&mut table, "-0.20Mi"), Some(-0.2));
        assert_eq!(growth(&mut table, "?"), None);
        assert_eq!(growth(&mut table, "-"), None);
    }
}
