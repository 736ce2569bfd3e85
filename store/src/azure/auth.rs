//! As whom a request is sent.

use std::fmt;
use std::time::SystemTime;

use http::HeaderValue;
use rfuse_config::Secret;

use super::sas::SasToken;
use super::shared_key::SharedKey;

/// One credential, ready for use by a request.
#[derive(Debug)]
pub(super) enum Auth {
    /// Nobody.
    Anonymous,
    /// A SAS in the query.
    Sas(SasToken),
    /// A signature by the account key.
    Key(SharedKey),
    /// A token of Microsoft Entra.
    Bearer(Bearer),
}

impl Auth {
    /// When it stops working, where that is known.
    pub(super) fn expiry(&self) -> Option<SystemTime> {
        match self {
            Self::Anonymous | Self::Key(_) => None,
            Self::Sas(sas) => sas.expiry(),
            Self::Bearer(token) => Some(token.expiry),
        }
    }
}

/// A token of Microsoft Entra and its end.
pub(super) struct Bearer {
    /// The `Authorization` header that carries it.
    pub(super) header: HeaderValue,
    /// When it stops working.
    pub(super) expiry: SystemTime,
}

impl Bearer {
    /// None when the token holds what no header may.
    pub(super) fn new(token: &Secret, expiry: SystemTime) -> Option<Self> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", token.reveal())).ok()?;
        header.set_sensitive(true);
        Some(Self { header, expiry })
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(***)")
    }
}
