//! What a person may set: one table of settings, its reading and its reference page.
