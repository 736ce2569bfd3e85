//! A request, read off a connection and understood as far as answering needs it.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::content::{Content, Receiving};
use crate::pattern;

/// Bytes of a head at most; a longer one ends the connection.
const HEAD_MAX: usize = 32 << 10;
/// Header lines at most.
const LINES_MAX: usize = 64;
/// Bytes of a body read at a time.
const BODY_CHUNK: usize = 256 << 10;

/// Whose language a request speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    S3,
    Azure,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Get,
    Head,
    Put,
    Post,
    Delete,
    Other,
}

/// What must hold of the object for a write to happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Condition {
    None,
    /// There is none.
    Absent,
    /// It has this tag.
    Tag(String),
}

/// Bytes that the server is to take from an object it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) name: String,
    /// All of it where none is named.
    pub(super) range: Option<Range<u64>>,
}

/// Which bytes are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    Whole,
    /// From the first to the second, both included; the second may lie after the end.
    Span(u64, u64),
    /// So many at the end.
    Last(u64),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) dialect: Dialect,
    /// Bucket or container.
    pub(super) bucket: String,
    /// Empty: the request is about the bucket.
    pub(super) name: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) wanted: Wanted,
    pub(super) if_match: Option<String>,
    /// `If-None-Match: *`.
    pub(super) if_absent: bool,
    /// Where a copy comes from: path or URL, still encoded.
    pub(super) copy_source: Option<String>,
    pub(super) copy_range: Option<Range<u64>>,
    /// What the copied object must be.
    pub(super) copy_if_match: Option<String>,
    pub(super) content_length: u64,
    pub(super) expects_continue: bool,
    pub(super) body: Content,
    pub(super) close: bool,
}

impl Request {
    /// The next one, of what `input` holds already and what arrives; none when the client has hung up.
    /// Written bytes that have to be kept are counted in `kept`.
    pub(super) async fn read(
        stream: &mut TcpStream,
        input: &mut Vec<u8>,
        kept: &Arc<AtomicU64>,
    ) -> io::Result<Option<Self>> {
        loop {
            if let Some((mut request, length)) = Self::parse(input)? {
                input.drain(..length);
                if request.expects_continue {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                request.body = request.take_body(stream, input, kept).await?;
                return Ok(Some(request));
            }
            if input.len() > HEAD_MAX {
                return Err(invalid("the head is too long"));
            }
            if stream.read_buf(input).await? == 0 {
                return Ok(None);
            }
        }
    }

    pub(super) fn parse(input: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut lines = [httparse::EMPTY_HEADER; LINES_MAX];
        let mut head = httparse::Request::new(&mut lines);
        let length = match head.parse(input) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(invalid("the head is not HTTP/1.1")),
        };
        let method = match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            Some("PUT") => Method::Put,
            Some("POST") => Method::Post,
            Some("DELETE") => Method::Delete,
            _ => Method::Other,
        };
        let (path, query) = target(head.path.unwrap_or("/"));
        let mut request = Self {
            method,
            dialect: Dialect::S3,
            bucket: path,
            name: String::new(),
            query,
            wanted: Wanted::Whole,
            if_match: None,
            if_absent: false,
            copy_source: None,
            copy_range: None,
            copy_if_match: None,
            content_length: 0,
            expects_continue: false,
            body: Content::default(),
            close: false,
        };
        for line in head.headers.iter() {
            request.take_line(line.name, std::str::from_utf8(line.value).unwrap_or("").trim());
        }
        if ["restype", "comp", "sv"].iter().any(|name| request.parameter(name).is_some()) {
            request.dialect = Dialect::Azure;
        }
        request.split_path();
        Ok(Some((request, length)))
    }

    /// The value of a query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn take_line(&mut self, name: &str, value: &str) {
        // Azure's own range header wins over the standard one, as it does there.
        if name.eq_ignore_ascii_case("x-ms-range") || name.eq_ignore_ascii_case("range") && self.wanted == Wanted::Whole
        {
            self.wanted = wanted(value);
        } else if name.eq_ignore_ascii_case("if-match") {
            self.if_match = Some(value.trim_matches('"').to_owned());
        } else if name.eq_ignore_ascii_case("if-none-match") {
            self.if_absent = value == "*";
        } else if ["x-amz-copy-source", "x-ms-copy-source"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            self.copy_source = Some(value.to_owned());
        } else if ["x-amz-copy-source-range", "x-ms-source-range"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            self.copy_range = match wanted(value) {
                Wanted::Span(first, last) => Some(first..last.saturating_add(1)),
                Wanted::Whole | Wanted::Last(_) => None,
            };
        } else if ["x-amz-copy-source-if-match", "x-ms-source-if-match"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
            self.copy_if_match = Some(value.trim_matches('"').to_owned());
        } else if name.eq_ignore_ascii_case("expect") {
            self.expects_continue = value.eq_ignore_ascii_case("100-continue");
        } else if name.eq_ignore_ascii_case("x-ms-version") {
            self.dialect = Dialect::Azure;
        } else if name.eq_ignore_ascii_case("content-length") {
            self.content_length = value.parse().unwrap_or(0);
        } else if name.eq_ignore_ascii_case("connection") {
            self.close = value.eq_ignore_ascii_case("close");
        }
    }

    /// `/BUCKET/NAME` for S3, `/ACCOUNT/CONTAINER/NAME` for Azure.
    fn split_path(&mut self) {
        let path = std::mem::take(&mut self.bucket);
        (self.bucket, self.name) = self.split(&path);
    }

    fn split(&self, path: &str) -> (String, String) {
        let mut rest = path.trim_start_matches('/');
        if self.dialect == Dialect::Azure {
            rest = rest.split_once('/').map_or("", |(_account, rest)| rest);
        }
        let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
        (bucket.to_owned(), name.to_owned())
    }

    /// What a write wants of the object it writes.
    pub(super) fn condition(&self) -> Condition {
        match &self.if_match {
            _ if self.if_absent => Condition::Absent,
            Some(tag) if tag != "*" => Condition::Tag(tag.clone()),
            _ => Condition::None,
        }
    }

    /// Where a copy comes from; none: it is no copy.
    pub(super) fn source(&self) -> Option<Source> {
        let word = self.copy_source.as_deref()?;
        let path = word.split_once("://").map_or(word, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        let (path, _) = target(path);
        let (bucket, name) = self.split(&path);
        Some(Source { bucket, name, range: self.copy_range.clone() })
    }

    async fn take_body(
        &self,
        stream: &mut TcpStream,
        input: &mut Vec<u8>,
        kept: &Arc<AtomicU64>,
    ) -> io::Result<Content> {
        let mut receiving = Receiving::of(pattern::seed_of(&self.bucket, &self.name));
        let mut left = self.content_length;
        while left > 0 {
            let here = left.min(input.len() as u64) as usize;
            // Whole blocks, until the last.
            let whole = if here as u64 == left { here } else { here / Receiving::BLOCK * Receiving::BLOCK };
            input[..whole].chunks(Receiving::BLOCK).for_each(|block| receiving.take(block, kept));
            input.drain(..whole);
            left -= whole as u64;
            if left > 0 {
                input.reserve(BODY_CHUNK.saturating_sub(input.len()));
                if stream.read_buf(input).await? == 0 {
                    return Err(invalid("the body ended early"));
                }
            }
        }
        Ok(receiving.finish(kept))
    }
}

fn target(word: &str) -> (String, Vec<(String, String)>) {
    let decode = |word: &str| percent_decode_str(word).decode_utf8_lossy().into_owned();
    let (path, query) = word.split_once('?').unwrap_or((word, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v)));
    (decode(path), query.collect())
}

fn wanted(value: &str) -> Wanted {
    let span = || {
        let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
        Some(match (first, last) {
            ("", last) => Wanted::Last(last.parse().ok()?),
            (first, "") => Wanted::Span(first.parse().ok()?, u64::MAX),
            (first, last) => Wanted::Span(first.parse().ok()?, last.parse().ok()?),
        })
    };
    span().unwrap_or(Wanted::Whole)
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Request {
        Request::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn both_dialects_name_bucket_and_object() {
        let s3 = parse("GET /b/a%2F%20b?x=1 HTTP/1.1\r\nhost: h\r\nrange: bytes=4096-8191\r\n\r\n");
        assert_eq!((s3.bucket.as_str(), s3.name.as_str(), s3.dialect), ("b", "a/ b", Dialect::S3));
        assert_eq!(s3.wanted, Wanted::Span(4096, 8191));
        let azure = parse("GET /acct/c/a//b HTTP/1.1\r\nx-ms-version: 2026-02-06\r\nif-match: \"0x1\"\r\n\r\n");
        assert_eq!((azure.bucket.as_str(), azure.name.as_str(), azure.dialect), ("c", "a//b", Dialect::Azure));
        assert_eq!(azure.if_match.as_deref(), Some("0x1"));
    }

    #[test]
    fn half_a_head_waits_for_more() {
        assert!(Request::parse(b"GET / HTTP/1.1\r\nhost").unwrap().is_none());
        assert!(Request::parse(b"\x16\x03\x01\x02\x00\x01").is_err());
    }

    #[test]
    fn ranges_from_the_end_and_to_the_end_are_understood() {
        assert_eq!(wanted("bytes=-5"), Wanted::Last(5));
        assert_eq!(wanted("bytes=5-"), Wanted::Span(5, u64::MAX));
        assert_eq!(wanted("lines=1-2"), Wanted::Whole);
    }
}
