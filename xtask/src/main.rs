//! `cargo xtask`: everything a developer or CI does besides building.

fn main() {}
