//! Raw byte streams to frames and back.
