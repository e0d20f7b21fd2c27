//! Repair: going on without what cannot be read.

/// The folder of a repair that was decided on and may not be carried out yet.
pub(crate) const READY: &str = "repair.ready";
