//! SUBSCRIBE and SUBACK: sections 3.8 and 3.9.
