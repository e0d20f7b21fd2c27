//! DISCONNECT: section 3.14.
