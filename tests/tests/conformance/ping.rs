//! PINGREQ and PINGRESP: sections 3.12 and 3.13.
