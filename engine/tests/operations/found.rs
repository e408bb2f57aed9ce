//! What random operations have found, kept as they were printed.
