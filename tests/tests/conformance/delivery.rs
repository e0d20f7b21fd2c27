//! Sessions, QoS, order, flow control, errors: chapter 4.
