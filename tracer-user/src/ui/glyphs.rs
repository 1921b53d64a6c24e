//! Glyphs for terminals that have ASCII only: the same places, other characters.

/// Which characters the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Box, block and braille.
    #[default]
    Unicode,
    /// ASCII.
    Ascii,
}

/// Sparkline steps, lowest first, as the design has them.
const SPARK: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

impl Glyphs {
    /// What the locale allows, by the first of the variables that is set, as POSIX orders them.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| var(name).filter(|value| !value.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Self::Unicode
        } else {
            Self::Ascii
        }
    }

    /// Text of garbage in graphs, which is dotted: told from the solid area in ASCII too.
    pub fn dotted(self, text: &str) -> String {
        let text = self.text(text);
        match self {
            Self::Unicode => text,
            Self::Ascii => text.replace('#', "."),
        }
    }

    /// Text in these glyphs, cell by cell as wide as it was.
    pub fn text(self, text: &str) -> String {
        match self {
            Self::Unicode => text.to_owned(),
            Self::Ascii => text.chars().flat_map(ascii).collect(),
        }
    }
}

fn ascii(c: char) -> impl Iterator<Item = char> {
    let replaced = match c {
        ' '..='~' => c,
        '─' => '-',
        '│' => '|',
        '┌' | '┐' | '└' | '┘' | '┬' | '┴' => '+',
        '▁'..='█' => SPARK.get(c as usize - '▁' as usize).copied().unwrap_or('#'),
        '▓' => '=',
        '▒' => '-',
        '░' => '.',
        '\u{2800}' => ' ',
        '\u{2801}'..='\u{28ff}' => '#',
        _ => '?',
    };
    let cells = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
    std::iter::repeat_n(replaced, cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_glyph_of_the_screen_has_its_ascii() {
        let text = Glyphs::Ascii.text("─ live ┬│ ▁▃▅▇█ \u{2800}⣀⣿ ü世");
        assert_eq!(text, "- live +| _:=*#  ## ???");
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let glyphs = |vars: &[(&str, &str)]| {
            Glyphs::from_env(|name| {
                vars.iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(glyphs(&[("LANG", "en_US.UTF-8")]), Glyphs::Unicode);
        assert_eq!(
            glyphs(&[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]),
            Glyphs::Ascii
        );
        assert_eq!(
            glyphs(&[("LC_ALL", ""), ("LANG", "C.utf8")]),
            Glyphs::Unicode
        );
        assert_eq!(glyphs(&[]), Glyphs::Ascii);
    }
}
