//! CONNECT: section 3.1.
