//! The terminal: draws a [`crate::view::ViewState`] and turns what comes from it into [`crate::view::input::Input`].
//!
//! No figure is computed here. [`theme`] gives roles their colours, [`glyphs`] replaces characters that the locale has
//! not, [`draw`] puts panels into a buffer, [`input`] translates events, and [`terminal`] alone touches the terminal.

pub mod draw;
pub mod glyphs;
pub mod input;
pub mod terminal;
pub mod theme;

pub use terminal::{ScreenOptions, Terminal};
