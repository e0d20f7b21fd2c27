//! PUBACK, PUBREC, PUBREL and PUBCOMP: sections 3.4 to 3.7.
