//! Benchmarks of decoding, encoding, matching and fan-out.
