//! The kernel's words: messages, the device they come through, and mounting.
