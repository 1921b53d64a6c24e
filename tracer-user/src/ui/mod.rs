//! The terminal: draws a [`crate::view::ViewState`] and turns what comes from it into [`crate::view::input::Input`].
//!
//! No figure is computed here. [`theme`] gives roles their colours, [`glyphs`] replaces characters that the locale has
//! not, [`draw`] puts panels into a buffer, [`keys`] reads what the terminal sends, which [`keyboard`] waits for,
//! [`terminal`] switches its modes, and `output` writes to it.

pub mod draw;
pub mod glyphs;
pub mod keyboard;
pub mod keys;
mod output;
pub mod terminal;
pub mod theme;

pub use keyboard::Keyboard;
pub use terminal::{ScreenOptions, Terminal};
