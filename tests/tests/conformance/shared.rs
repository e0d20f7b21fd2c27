//! Shared subscriptions: section 4.8.2.
