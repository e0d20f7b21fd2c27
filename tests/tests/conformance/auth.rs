//! Enhanced authentication: sections 3.15 and 4.12.
