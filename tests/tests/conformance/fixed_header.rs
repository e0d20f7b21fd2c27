//! Fixed header, packet identifiers, properties: chapter 2.
