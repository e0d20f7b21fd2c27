//! Black-box tests through the built binary.
