//! A URL becomes a place, and what must stay secret leaves it.
//!
//! The prefix is percent-decoded to the bytes the store uses and made to end in `/`. A SAS in the query is
//! taken out at once: a [`Location`] can be printed anywhere.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::{ConfigError, Location, Secret};

/// Host suffix of Azure's public cloud.
const AZURE_PUBLIC: &str = ".blob.core.windows.net";

/// What one URL said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParsedUrl {
    /// The place.
    pub location: Location,
    /// The base URL of the service, where the URL names another than the public cloud's.
    pub endpoint: Option<String>,
    /// The SAS of the query string, without the `?`.
    pub sas: Option<Secret>,
}

impl ParsedUrl {
    /// Reads `az://`, `https://`, `s3://`, `file:///` and `mem:`; `account` fills in for `az:///CONTAINER`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownScheme`] and [`ConfigError::BadUrl`]; neither repeats the query string.
    pub fn parse(text: &str, account: Option<&str>) -> Result<Self, ConfigError> {
        if text.chars().any(char::is_control) {
            return Err(bad("holds a control character; percent-encode it"));
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(ConfigError::UnknownScheme { scheme: without_query(text).to_owned() });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "mem" if rest.is_empty() || rest == "//" => Ok(Self::plain(Location::Memory)),
            "mem" => Err(bad("of a memory store is just mem:")),
            "file" => local(rest).map(Self::plain),
            "s3" => s3(rest).map(Self::plain),
            "az" => azure_short(rest, account),
            "https" | "http" => azure_long(scheme, rest),
            _ => Err(ConfigError::UnknownScheme { scheme: without_query(scheme).to_owned() }),
        }
    }

    fn plain(location: Location) -> Self {
        Self { location, endpoint: None, sas: None }
    }
}

fn bad(why: impl Into<String>) -> ConfigError {
    ConfigError::BadUrl { why: why.into() }
}

fn without_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(before, _)| before)
}

fn local(rest: &str) -> Result<Location, ConfigError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    let path = path.strip_prefix("localhost").unwrap_or(path);
    if !path.starts_with('/') {
        return Err(bad("of a local directory has three slashes and an absolute path: file:///DIR"));
    }
    Ok(Location::Local(PathBuf::from(OsString::from_vec(decode(path)?))))
}

fn s3(rest: &str) -> Result<Location, ConfigError> {
    let rest = rest.strip_prefix("//").ok_or_else(|| bad("lacks // after s3:"))?;
    if rest.contains('?') {
        return Err(bad("of a bucket takes no query; write a ? in a name as %3F"));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    check_name(bucket, "bucket", ".-_:")?;
    Ok(Location::S3 { bucket: bucket.to_owned(), prefix: prefix_of(prefix)? })
}

/// `//ACCOUNT/CONTAINER[/PREFIX][?SAS]`.
fn azure_short(rest: &str, account: Option<&str>) -> Result<ParsedUrl, ConfigError> {
    let rest = rest.strip_prefix("//").ok_or_else(|| bad("lacks // after az:"))?;
    let (path, sas) = split_sas(rest);
    let (host, path) = path.split_once('/').unwrap_or((path, ""));
    let name = match (host, account) {
        ("", Some(account)) => account,
        ("", None) => return Err(bad("names no account, and AZURE_STORAGE_ACCOUNT is not set")),
        (host, _) => host.strip_suffix(AZURE_PUBLIC).unwrap_or(host),
    };
    let location = container(name, path)?;
    Ok(ParsedUrl { location, endpoint: None, sas })
}

/// `//ACCOUNT.blob.…/CONTAINER[/PREFIX][?SAS]`, or `//HOST[:PORT]/ACCOUNT/CONTAINER…` for emulators.
fn azure_long(scheme: &str, rest: &str) -> Result<ParsedUrl, ConfigError> {
    let rest = rest.strip_prefix("//").ok_or_else(|| bad("lacks // after the scheme"))?;
    let (path, sas) = split_sas(rest);
    let (host, path) = path.split_once('/').unwrap_or((path, ""));
    if host.contains('@') {
        return Err(bad("holds a user or password before the @; take it out and use --sas-file or --azure-auth"));
    }
    let lower = host.to_ascii_lowercase();
    if lower.ends_with(".amazonaws.com") {
        return Err(bad("is one of S3; write s3://BUCKET[/PREFIX], with --endpoint where it is not AWS"));
    }
    let (account, path, endpoint) = match lower.split_once('.') {
        Some((account, service)) if service.starts_with("blob.") || service.starts_with("dfs.") => {
            let blob = format!("{account}.{}", service.replacen("dfs.", "blob.", 1));
            let public = scheme.eq_ignore_ascii_case("https") && blob.ends_with(AZURE_PUBLIC);
            let endpoint = (!public).then(|| format!("{}://{blob}", scheme.to_ascii_lowercase()));
            (account.to_owned(), path, endpoint)
        }
        _ => {
            let (account, path) = path.split_once('/').unwrap_or((path, ""));
            let endpoint = format!("{}://{lower}/{account}", scheme.to_ascii_lowercase());
            (account.to_owned(), path, Some(endpoint))
        }
    };
    Ok(ParsedUrl { location: container(&account, path)?, endpoint, sas })
}

fn split_sas(rest: &str) -> (&str, Option<Secret>) {
    match rest.split_once('?') {
        Some((path, sas)) => (path, (!sas.is_empty()).then(|| Secret::new(sas))),
        None => (rest, None),
    }
}

fn container(account: &str, path: &str) -> Result<Location, ConfigError> {
    check_name(account, "account", "-")?;
    let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
    check_name(container, "container", "-$")?;
    Ok(Location::Azure { account: account.to_owned(), container: container.to_owned(), prefix: prefix_of(prefix)? })
}

/// A name that goes into host names and request lines: letters, digits and `also`.
fn check_name(name: &str, what: &str, also: &str) -> Result<(), ConfigError> {
    if name.is_empty() {
        return Err(bad(format!("names no {what}")));
    }
    match name.chars().find(|&c| !c.is_ascii_alphanumeric() && !also.contains(c)) {
        Some(c) => Err(bad(format!("holds {c:?}, which no {what} name can hold"))),
        None => Ok(()),
    }
}

fn prefix_of(text: &str) -> Result<Vec<u8>, ConfigError> {
    let mut prefix = decode(text)?;
    if !prefix.is_empty() && prefix.last() != Some(&b'/') {
        prefix.push(b'/');
    }
    Ok(prefix)
}

fn decode(text: &str) -> Result<Vec<u8>, ConfigError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = digits.filter(|hex| !hex.starts_with('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.ok_or_else(|| bad("has a % that two hexadecimal digits do not follow; write it as %25"))?);
        rest = &tail[2..];
    }
    Ok(bytes)
}

/// Writes `bytes` with everything but plain path characters percent-encoded.
fn encode(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'=' | b'+' | b':' | b'@' => {
                write!(f, "{}", char::from(byte))?;
            }
            _ => write!(f, "%{byte:02X}")?,
        }
    }
    Ok(())
}

/// Prints a URL that is read back as the same place; it never holds a secret.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = match self {
            Self::Azure { account, container, prefix } => {
                write!(f, "az://{account}/{container}")?;
                prefix
            }
            Self::S3 { bucket, prefix } => {
                write!(f, "s3://{bucket}")?;
                prefix
            }
            Self::Local(path) => {
                f.write_str("file://")?;
                return encode(path.as_os_str().as_bytes(), f);
            }
            Self::Memory => return f.write_str("mem:"),
        };
        if prefix.is_empty() {
            return Ok(());
        }
        f.write_str("/")?;
        encode(prefix, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn azure(account: &str, container: &str, prefix: &[u8]) -> Location {
        Location::Azure { account: account.into(), container: container.into(), prefix: prefix.to_vec() }
    }

    fn place(text: &str) -> Location {
        ParsedUrl::parse(text, None).unwrap().location
    }

    #[test]
    fn every_documented_form_is_read() {
        assert_eq!(place("az://acme/logs"), azure("acme", "logs", b""));
        assert_eq!(place("az://acme/logs/2026/a%20b"), azure("acme", "logs", b"2026/a b/"));
        assert_eq!(place("https://acme.blob.core.windows.net/logs/x/"), azure("acme", "logs", b"x/"));
        assert_eq!(place("https://acme.dfs.core.windows.net/logs"), azure("acme", "logs", b""));
        assert_eq!(place("s3://bucket"), Location::S3 { bucket: "bucket".into(), prefix: vec![] });
        assert_eq!(place("s3://b.c-d/a//b"), Location::S3 { bucket: "b.c-d".into(), prefix: b"a//b/".to_vec() });
        assert_eq!(place("file:///data/x%25"), Location::Local("/data/x%".into()));
        assert_eq!(place("mem:"), Location::Memory);
        let named = ParsedUrl::parse("az:///logs", Some("acme")).unwrap();
        assert_eq!(named.location, azure("acme", "logs", b""));
    }

    #[test]
    fn other_clouds_and_emulators_keep_their_endpoint() {
        let china = ParsedUrl::parse("https://acme.blob.core.chinacloudapi.cn/logs", None).unwrap();
        assert_eq!(china.endpoint.as_deref(), Some("https://acme.blob.core.chinacloudapi.cn"));
        let azurite = ParsedUrl::parse("http://127.0.0.1:10000/devstoreaccount1/c/p", None).unwrap();
        assert_eq!(azurite.location, azure("devstoreaccount1", "c", b"p/"));
        assert_eq!(azurite.endpoint.as_deref(), Some("http://127.0.0.1:10000/devstoreaccount1"));
    }

    #[test]
    fn a_sas_leaves_the_url_at_once() {
        let url = "https://acme.blob.core.windows.net/logs?sv=2024&sig=canary%3D";
        let parsed = ParsedUrl::parse(url, None).unwrap();
        assert_eq!(parsed.sas.as_ref().map(Secret::reveal), Some("sv=2024&sig=canary%3D"));
        assert!(!format!("{parsed:?}{}", parsed.location).contains("canary"));
    }

    #[test]
    fn no_error_repeats_the_query() {
        for url in [
            "wat://a?sig=canary",
            "nonsense?sig=canary",
            "az://?sig=canary",
            "https://a.b/?sig=canary",
            "s3://b?sig=canary",
            "az://a_b/c?sig=canary",
            "https://u:canary@h/c",
            "https://acme.blob.core.windows.net?sig=canary",
        ] {
            let error = ParsedUrl::parse(url, None).unwrap_err();
            assert!(!format!("{error} {error:?} {}", error.help()).contains("canary"), "{url}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_a_place_is_refused() {
        for url in [
            "",
            "az:",
            "az://",
            "az://acme",
            "az://acme/",
            "s3://",
            "s3:///x",
            "file://x",
            "gs://b",
            "mem:x",
            "s3://a b",
            "az://acme/logs/%zz",
            "az://acme/logs/%+1",
            "az://ac/me%2Flogs?x",
            "s3://b/\n",
            "/data",
            "https://bucket.s3.amazonaws.com/x",
            "az://a.b/c",
        ] {
            assert!(ParsedUrl::parse(url, None).is_err(), "{url}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_place_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut prefix = bytes;
            if !prefix.is_empty() { prefix.push(b'/'); }
            let there = azure("acme", "logs", &prefix);
            prop_assert_eq!(place(&there.to_string()), there);
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = ParsedUrl::parse(&text, None);
        }
    }
}
