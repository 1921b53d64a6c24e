//! Colours and attributes of the roles, for every kind of terminal.
//!
//! Background and plain text are the terminal's own. State is always a word as well: a screen without colours says the
//! same. The figures are those of the table in the design; a test recomputes the contrast of each.

use ratatui::style::{Color, Modifier, Style};

use crate::view::screen::{Role, Span};

/// How many colours the terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// None: attributes only.
    Mono,
    /// The 16 of the terminal's palette.
    #[default]
    Ansi16,
    /// The 256 of xterm.
    Indexed256,
    /// 24 bits.
    True,
}

/// Which background the terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// Dark, or not known.
    #[default]
    Dark,
    /// Light.
    Light,
}

/// How roles look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Colours that there are.
    pub depth: Depth,
    /// What they stand on.
    pub background: Background,
    /// Default text, bold and reverse only.
    pub high_contrast: bool,
}

/// A role's colours: 24 bits, index of 256, index of 16 (`None`: the terminal's own); each dark, then light.
struct Colours {
    role: Role,
    rgb: [u32; 2],
    indexed: [u8; 2],
    ansi: [Option<u8>; 2],
}

const COLOURS: [Colours; 6] = [
    Colours {
        role: Role::Leak,
        rgb: [0xff_9a9a, 0xa8_001c],
        indexed: [217, 124],
        ansi: [Some(9), Some(1)],
    },
    Colours {
        role: Role::Warn,
        rgb: [0xf2_c14e, 0x70_4700],
        indexed: [221, 94],
        ansi: [Some(11), Some(5)],
    },
    Colours {
        role: Role::Cool,
        rgb: [0x8a_b8ff, 0x0a_4fa3],
        indexed: [117, 25],
        ansi: [Some(14), Some(4)],
    },
    Colours {
        role: Role::Accent,
        rgb: [0x7f_d6c2, 0x00_5a52],
        indexed: [115, 23],
        ansi: [Some(10), None],
    },
    Colours {
        role: Role::Garbage,
        rgb: [0xcf_b0ff, 0x64_34a0],
        indexed: [183, 55],
        ansi: [Some(13), Some(5)],
    },
    Colours {
        role: Role::Dim,
        rgb: [0xb4_bcc8, 0x54_5a64],
        indexed: [250, 240],
        ansi: [Some(7), None],
    },
];

impl Theme {
    /// The theme that the environment asks for, by the names and values of its variables.
    pub fn from_env(var: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| var(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let colorterm = set("COLORTERM").unwrap_or_default();
        let depth = if set("NO_COLOR").is_some() || term == "dumb" || term.starts_with("vt1") {
            Depth::Mono
        } else if matches!(colorterm.as_str(), "truecolor" | "24bit") || term.ends_with("-direct") {
            Depth::True
        } else if term.contains("256color") || term == "xterm-kitty" || term == "alacritty" {
            Depth::Indexed256
        } else {
            Depth::Ansi16
        };
        // Terminals that do not answer OSC 11 may set this one: `15;0` is light on dark.
        let light = set("COLORFGBG")
            .and_then(|value| {
                value
                    .rsplit(';')
                    .next()
                    .and_then(|index| index.parse::<u8>().ok())
            })
            .is_some_and(|index| index == 7 || index == 15);
        Self {
            depth,
            background: if light {
                Background::Light
            } else {
                Background::Dark
            },
            high_contrast: false,
        }
    }

    /// The foreground colour of a role; `None` is the terminal's own.
    pub fn colour(&self, role: Role) -> Option<Color> {
        if self.high_contrast {
            return None;
        }
        let colours = COLOURS.iter().find(|colours| colours.role == role)?;
        let column = match self.background {
            Background::Dark => 0,
            Background::Light => 1,
        };
        match self.depth {
            Depth::Mono => None,
            Depth::Ansi16 => colours.ansi[column].map(ansi),
            Depth::Indexed256 => Some(Color::Indexed(colours.indexed[column])),
            Depth::True => Some(Color::from_u32(colours.rgb[column])),
        }
    }

    /// The look of a role.
    pub fn style(&self, role: Role) -> Style {
        let style = self
            .colour(role)
            .map_or_else(Style::new, |colour| Style::new().fg(colour));
        let is_plain = self.depth == Depth::Mono || self.high_contrast;
        match role {
            Role::Leak | Role::Warn | Role::Accent if is_plain => {
                style.add_modifier(Modifier::BOLD)
            }
            // High contrast knows bold and reverse only.
            Role::Cool if is_plain && !self.high_contrast => {
                style.add_modifier(Modifier::UNDERLINED)
            }
            _ => style,
        }
    }

    /// The look of a piece of text.
    pub fn span(&self, span: &Span) -> Style {
        let mut style = self.style(span.role);
        if span.bold {
            style = style.add_modifier(Modifier::BOLD);
        }
        if span.badge {
            style = style.add_modifier(Modifier::REVERSED);
        }
        style
    }

    /// The look of the selected row, over that of its texts: their colours would be backgrounds in reverse video.
    pub fn cursor(&self) -> Style {
        Style::new()
            .fg(Color::Reset)
            .remove_modifier(Modifier::UNDERLINED)
            .add_modifier(Modifier::REVERSED)
    }
}

/// The 16 colours by name: terminals shift them with the palette.
fn ansi(index: u8) -> Color {
    match index {
        1 => Color::Red,
        4 => Color::Blue,
        5 => Color::Magenta,
        7 => Color::Gray,
        9 => Color::LightRed,
        10 => Color::LightGreen,
        11 => Color::LightYellow,
        13 => Color::LightMagenta,
        14 => Color::LightCyan,
        other => Color::Indexed(other),
    }
}

#[cfg(test)]
#[path = "theme_tests.rs"]
mod tests;
