//! The door on real mounts: a store in memory, the kernel, and ordinary programs.
//!
//! Needs root and /dev/fuse; without them every test says SKIPPED.

#[cfg(test)]
mod ending;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod gated;
#[cfg(test)]
mod mounting;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod refusing;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod writing;
