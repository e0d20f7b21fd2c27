//! A client for every kind of listener.
