//! A shared access signature, taken apart once so that a request only appends it.
//!
//! Field names are those of the query: `se` expiry, `st` start, `sp` permissions, `sig` signature.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use rfuse_config::Secret;

use super::name;

/// A SAS, ready to be appended to a URL.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SasToken {
    /// `name=value` pairs joined by `&`, escaped.
    query: Secret,
    expiry: Option<SystemTime>,
    start: Option<SystemTime>,
    permissions: Option<String>,
}

/// Why a text is no SAS; never shows the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum SasError {
    #[error("the SAS is empty")]
    Empty,
    #[error("the SAS has no signature (sig=); copy the whole token, quoted against the shell")]
    NoSignature,
    #[error("the SAS is not made of name=value pairs; copy the whole token")]
    NotPairs,
    #[error("the SAS is escaped twice (&amp;); copy it from a place that does not escape it")]
    Escaped,
}

impl SasToken {
    /// Parses a token, with or without the leading `?` or the URL before it. Values may be escaped or not.
    ///
    /// # Errors
    /// [`SasError`]
    pub(super) fn parse(text: &str) -> Result<Self, SasError> {
        let text = text.trim().trim_matches('"');
        let text = text.split_once('?').map_or(text, |(_, query)| query).trim_matches('&');
        if text.is_empty() {
            return Err(SasError::Empty);
        }
        if text.contains("&amp;") {
            return Err(SasError::Escaped);
        }
        let mut token = Self { query: Secret::new(""), expiry: None, start: None, permissions: None };
        let mut query = String::with_capacity(text.len() + 16);
        let mut signed = false;
        for pair in text.split('&') {
            let (field, value) = pair.split_once('=').ok_or(SasError::NotPairs)?;
            let (field, value) = (unescape(field)?, unescape(value)?);
            if !query.is_empty() {
                query.push('&');
            }
            name::push_query(&mut query, &field);
            query.push('=');
            name::push_query(&mut query, &value);
            match &*field {
                "se" => token.expiry = time(&value),
                "st" => token.start = time(&value),
                "sp" => token.permissions = Some(value.into_owned()),
                "sig" => signed = !value.is_empty(),
                _ => {}
            }
        }
        token.query = Secret::new(query);
        if signed { Ok(token) } else { Err(SasError::NoSignature) }
    }

    /// The escaped pairs, for the request that carries them and nothing else.
    pub(super) fn query(&self) -> &str {
        self.query.reveal()
    }

    /// When it stops working; none when a stored access policy says so (`si=`).
    pub(super) fn expiry(&self) -> Option<SystemTime> {
        self.expiry
    }

    /// When it starts working.
    pub(super) fn start(&self) -> Option<SystemTime> {
        self.start
    }

    /// What it permits, one letter each; none when a stored access policy says so.
    pub(super) fn permissions(&self) -> Option<&str> {
        self.permissions.as_deref()
    }
}

fn unescape(text: &str) -> Result<std::borrow::Cow<'_, str>, SasError> {
    name::unescape(text).ok_or(SasError::NotPairs)
}

/// `2026-01-31T23:59:00Z`, `2026-01-31T23:59Z` or `2026-01-31`, all in UTC.
fn time(text: &str) -> Option<SystemTime> {
    let date = || Some(text.parse::<jiff::civil::Date>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp());
    text.parse::<Timestamp>().ok().or_else(date).map(SystemTime::from)
}

impl fmt::Debug for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SasToken(sp={}, ***)", self.permissions().unwrap_or("by policy"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    #[test]
    fn expiry_and_permissions_are_read_from_every_form() {
        let token = "sv=2022-11-02&sp=rl&se=2026-01-31T23%3A59%3A00Z&st=2026-01-01T00:00Z&sr=c&sig=a%2Bb%2Fc%3D";
        for text in [token.to_owned(), format!("?{token}\n"), format!("https://a.blob.core.windows.net/c?{token}")] {
            let sas = SasToken::parse(&text).unwrap();
            assert_eq!(sas.expiry(), Some(at("2026-01-31T23:59:00Z")));
            assert_eq!(sas.start(), Some(at("2026-01-01T00:00:00Z")));
            assert_eq!(sas.permissions(), Some("rl"));
            assert!(sas.query().ends_with("&sig=a%2Bb%2Fc%3D"), "{}", sas.query());
            assert!(!format!("{sas:?}").contains("sig="));
        }
        let day = SasToken::parse("se=2026-01-31&sig=x").unwrap();
        assert_eq!(day.expiry(), Some(at("2026-01-31T00:00:00Z")));
    }

    #[test]
    fn a_signature_that_lost_its_escapes_gets_them_back() {
        let sas = SasToken::parse("sv=1&sig=a+b/c=").unwrap();
        assert_eq!(sas.query(), "sv=1&sig=a%2Bb%2Fc%3D");
    }

    #[test]
    fn what_is_no_token_is_refused_by_name() {
        assert_eq!(SasToken::parse(" ?\n"), Err(SasError::Empty));
        assert_eq!(SasToken::parse("sv=1&se=2026-01-01"), Err(SasError::NoSignature));
        assert_eq!(SasToken::parse("canary"), Err(SasError::NotPairs));
        assert_eq!(SasToken::parse("sv=1&amp;sig=x"), Err(SasError::Escaped));
    }

    proptest! {
        #[test]
        fn parsing_what_was_parsed_changes_nothing(pairs in proptest::collection::vec(("[a-z]{1,4}", "\\PC{0,20}"), 0..8)) {
            let text: String = pairs.iter().map(|(field, value)| format!("{field}={}&", value.replace(['&', '%', '?'], ""))).collect();
            if let Ok(sas) = SasToken::parse(&format!("{text}sig=x")) {
                prop_assert_eq!(SasToken::parse(sas.query()).unwrap(), sas);
            }
        }
    }
}
