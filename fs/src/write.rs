//! Writing: files that are changed, and the names around them.
//!
//! A file that is open for writing has an [`Edit`](edit::Edit): what all its descriptors see until, and after,
//! it is stored. Its bytes lie in a sparse file on local disk; parts of it that a writer has passed are sent
//! while he writes; `close` and `fsync` make the object, whole and only over the version that was opened.
//! `docs/decisions/0018` says why.

pub(crate) mod attributes;
mod commit;
mod directory;
pub(crate) mod edit;
pub(crate) mod edits;
pub(crate) mod files;
pub(crate) mod grid;
pub(crate) mod labels;
pub(crate) mod layout;
mod plan;
pub(crate) mod ranges;
mod recovery;
pub(crate) mod rename;
mod send;
mod unlink;
