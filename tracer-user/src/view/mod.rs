//! view
pub mod format;
pub mod order;
