//! A secret on its way from one process to another.

use rfuse_config::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// The one form of a [`Secret`] that can be written out: into a message of [`handover`](crate::handover), which
/// goes through a socket between two processes and nowhere else. Printing it shows `***`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sealed(pub Secret);

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.reveal())
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Ok(Self(Secret::new(text.as_str())))
    }
}
