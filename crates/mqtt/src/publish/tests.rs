//! The rules of PUBLISH, each with bytes written by hand.
