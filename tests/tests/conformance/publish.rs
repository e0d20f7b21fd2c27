//! PUBLISH: section 3.3.
