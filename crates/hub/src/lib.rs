//! The heart: topics, index, sessions, QoS, retained messages and wills, without sockets, clocks or threads.
