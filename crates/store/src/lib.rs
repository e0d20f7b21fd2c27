//! What survives a crash: an append log with group commit.
