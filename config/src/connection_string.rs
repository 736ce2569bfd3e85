//! Azure Storage connection strings, as the portal and the emulator hand them out.
//!
//! `Name=Value` pairs apart by `;`, names in any case; a value may hold `=`. Only what reaches blobs is kept.

use std::fmt;

use crate::Secret;

/// Account and endpoint of the local emulator, meant by `UseDevelopmentStorage=true`.
const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
const EMULATOR_ENDPOINT: &str = "http://127.0.0.1:10000/devstoreaccount1";

/// What a connection string says about blobs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionString {
    /// The storage account.
    pub account: String,
    /// `AccountKey`, base64.
    pub key: Option<Secret>,
    /// `SharedAccessSignature`, without the leading `?`.
    pub sas: Option<Secret>,
    /// Base URL of the blob service, where it is not `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: Option<String>,
}

/// Why a connection string cannot be used; names a field, never a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectionStringError {
    /// A part between two `;` is not `Name=Value`; the number counts from 1.
    NotAPair(usize),
    /// Neither `AccountName` nor a `BlobEndpoint` that holds it is there.
    NoAccount,
    /// `DefaultEndpointsProtocol` is neither `http` nor `https`.
    BadProtocol,
}

impl fmt::Display for ConnectionStringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPair(number) => {
                write!(
                    f,
                    "part {number} of the connection string is not Name=Value; copy the whole string and quote it"
                )
            }
            Self::NoAccount => f.write_str("the connection string has neither AccountName nor BlobEndpoint"),
            Self::BadProtocol => {
                f.write_str("DefaultEndpointsProtocol in the connection string is neither http nor https")
            }
        }
    }
}

impl std::error::Error for ConnectionStringError {}

/// Parses a connection string.
///
/// # Errors
/// [`ConnectionStringError`]; its text shows no value, because any of them may be the key.
pub fn parse(text: &str) -> Result<ConnectionString, ConnectionStringError> {
    let fields = Fields::split(text)?;
    if fields.get("UseDevelopmentStorage").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(emulator());
    }
    let endpoint = fields.get("BlobEndpoint").map(|url| url.trim_end_matches('/').to_owned());
    let account = fields
        .get("AccountName")
        .map(str::to_owned)
        .or_else(|| endpoint.as_deref().and_then(account_of))
        .ok_or(ConnectionStringError::NoAccount)?;
    Ok(ConnectionString {
        key: fields.get("AccountKey").map(Secret::new),
        sas: fields.get("SharedAccessSignature").map(|sas| Secret::new(sas.trim_start_matches('?'))),
        endpoint: match endpoint {
            Some(endpoint) => Some(endpoint),
            None => fields.endpoint_of(&account)?,
        },
        account,
    })
}

fn emulator() -> ConnectionString {
    ConnectionString {
        account: EMULATOR_ACCOUNT.to_owned(),
        key: None,
        sas: None,
        endpoint: Some(EMULATOR_ENDPOINT.to_owned()),
    }
}

/// The account in `https://ACCOUNT.blob.…` or `http://HOST:PORT/ACCOUNT`.
fn account_of(endpoint: &str) -> Option<String> {
    let (_, rest) = endpoint.split_once("://")?;
    let account = match rest.split_once('/') {
        Some((_, path)) => path.split('/').next()?,
        None => rest.split_once('.')?.0,
    };
    (!account.is_empty()).then(|| account.to_owned())
}

struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    fn split(text: &'a str) -> Result<Self, ConnectionStringError> {
        let pairs = text.trim().split(';').enumerate().filter(|(_, part)| !part.trim().is_empty()).map(|(at, part)| {
            let (name, value) = part.split_once('=').ok_or(ConnectionStringError::NotAPair(at + 1))?;
            Ok((name.trim(), value.trim()))
        });
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    fn get(&self, wanted: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|&(_, value)| value).filter(|value| !value.is_empty())
    }

    /// The endpoint of a sovereign cloud or of plain http; none for the usual one.
    fn endpoint_of(&self, account: &str) -> Result<Option<String>, ConnectionStringError> {
        let protocol = self.get("DefaultEndpointsProtocol").unwrap_or("https").to_ascii_lowercase();
        if protocol != "http" && protocol != "https" {
            return Err(ConnectionStringError::BadProtocol);
        }
        let suffix = self.get("EndpointSuffix").unwrap_or("core.windows.net");
        let usual = protocol == "https" && suffix == "core.windows.net";
        Ok((!usual).then(|| format!("{protocol}://{account}.blob.{suffix}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_string_from_the_portal_keeps_the_equals_signs_of_its_key() {
        let parsed =
            parse("DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5Cg==;EndpointSuffix=core.windows.net")
                .unwrap();
        assert_eq!(parsed.account, "acc");
        assert_eq!(parsed.key.unwrap().reveal(), "a2V5Cg==");
        assert_eq!(parsed.endpoint, None);
    }

    #[test]
    fn a_sas_string_takes_the_account_from_its_endpoint() {
        let parsed =
            parse("BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=x%3D;").unwrap();
        assert_eq!(parsed.account, "acc");
        assert_eq!(parsed.sas.unwrap().reveal(), "sv=1&sig=x%3D");
        assert_eq!(parsed.endpoint.as_deref(), Some("https://acc.blob.core.windows.net"));
    }

    #[test]
    fn a_sovereign_cloud_has_its_own_endpoint() {
        let parsed = parse("accountname=acc;ACCOUNTKEY=a2V5;EndpointSuffix=core.chinacloudapi.cn").unwrap();
        assert_eq!(parsed.endpoint.as_deref(), Some("https://acc.blob.core.chinacloudapi.cn"));
    }

    #[test]
    fn the_emulator_is_known_by_its_short_form() {
        let parsed = parse("UseDevelopmentStorage=true").unwrap();
        assert_eq!((parsed.account.as_str(), parsed.endpoint.as_deref()), (EMULATOR_ACCOUNT, Some(EMULATOR_ENDPOINT)));
        let path_style = parse("BlobEndpoint=http://azurite:10000/devstoreaccount1;AccountKey=a2V5").unwrap();
        assert_eq!(path_style.account, EMULATOR_ACCOUNT);
    }

    #[test]
    fn what_is_wrong_is_named_without_any_value() {
        assert_eq!(parse("AccountName=a;canary"), Err(ConnectionStringError::NotAPair(2)));
        assert_eq!(parse("AccountKey=canary"), Err(ConnectionStringError::NoAccount));
        let error = parse("AccountName=a;DefaultEndpointsProtocol=canary").unwrap_err();
        assert!(!error.to_string().contains("canary"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_never_printed(text in "\\PC{0,80}") {
            if let Ok(parsed) = parse(&format!("AccountName=a;AccountKey=canary;{text}")) {
                let shown = format!("{parsed:?}");
                prop_assert!(!shown.contains("canary") || text.contains("canary"));
            }
        }
    }
}
