//! heaptop.
