//! S3.
mod name;
mod signature;
