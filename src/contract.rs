//! Bytes and properties in, an event or a rejection out.
