//! UNSUBSCRIBE and UNSUBACK: sections 3.10 and 3.11.
