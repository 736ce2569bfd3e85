//! `rfuse`: objects as files.

fn main() {}
