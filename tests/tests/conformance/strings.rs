//! Strings and numbers: chapter 1.
