//! The nouns every room shares, and their arithmetic.
//!
//! A byte of an object is named three ways on its way to a reader: by object and offset
//! ([`ObjectId`], [`ByteRange`]), by block ([`BlockSize`], [`BlockIndex`]) and by the run of blocks one
//! request fetches ([`Extent`]). This room holds these names and the conversions between them, so that no
//! other room computes an offset by hand. It does no IO, knows no clock and is never async.

mod extent;
mod index;
mod object;
mod range;

pub use extent::{Extent, runs};
pub use index::{BlockIndex, BlockSize, InvalidBlockSize};
pub use object::{ObjectId, ObjectKey, Version};
pub use range::ByteRange;
