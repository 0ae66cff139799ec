//! The thumbnail worker.

fn main() {}
