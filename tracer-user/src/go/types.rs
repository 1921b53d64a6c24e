//! Placeholder.
use std::sync::Arc;
/// Name.
pub fn name(
    _m: &impl super::memory::Memory,
    _p: &super::program::Program,
    _t: u64,
) -> Option<Arc<str>> {
    None
}
