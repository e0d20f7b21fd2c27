//! Requests that are refused before any shard has to do with them.
