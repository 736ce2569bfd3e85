//! From a request to its answer: the same decisions for both dialects, in the words of each.

use super::catalogue::{Catalogue, Object};
use super::page::{Page, PageRequest};
use super::reply::{Body, Reply};
use super::request::{Dialect, Method, Request, Wanted};
use super::stats::Operation;
use super::{azure, s3};

/// When every object was last written.
pub(super) const MODIFIED_HTTP: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// Why there is no better answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    NoBucket,
    NoObject,
    Changed,
    PastEnd,
    NotAllowed,
    Internal,
    Unavailable,
}

impl Refusal {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::NoBucket | Self::NoObject => 404,
            Self::Changed => 412,
            Self::PastEnd => 416,
            Self::NotAllowed => 405,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    pub(super) fn reply(self, dialect: Dialect, method: Method) -> Reply {
        let mut reply = match dialect {
            Dialect::S3 => s3::refusal(self),
            Dialect::Azure => azure::refusal(self),
        };
        if method == Method::Head {
            reply.body = Body::Absent(0);
        }
        reply
    }
}

/// What kind of request this is, for counting.
pub(super) fn operation(request: &Request) -> Operation {
    let listing = request.parameter("list-type").is_some() || request.parameter("comp") == Some("list");
    match request.method {
        Method::Other => Operation::Other,
        Method::Head => Operation::Head,
        Method::Get if request.name.is_empty() && listing => Operation::List,
        Method::Get if request.name.is_empty() => Operation::Head,
        Method::Get => Operation::Get,
    }
}

/// The answer of a store in good health.
pub(super) fn answer(catalogue: &Catalogue, request: &Request, generation: u64) -> Reply {
    let reply = match operation(request) {
        Operation::Other => Err(Refusal::NotAllowed),
        Operation::List => list(catalogue, request, generation),
        Operation::Get | Operation::Head if request.name.is_empty() => bucket(catalogue, request),
        Operation::Get | Operation::Head => object(catalogue, request, generation),
    };
    reply.unwrap_or_else(|refusal| refusal.reply(request.dialect, request.method))
}

fn bucket(catalogue: &Catalogue, request: &Request) -> Result<Reply, Refusal> {
    catalogue.objects(&request.bucket).ok_or(Refusal::NoBucket)?;
    Ok(Reply { status: 200, lines: format!("last-modified: {MODIFIED_HTTP}\r\n"), body: Body::Absent(0) })
}

fn list(catalogue: &Catalogue, request: &Request, generation: u64) -> Result<Reply, Refusal> {
    let objects = catalogue.objects(&request.bucket).ok_or(Refusal::NoBucket)?;
    let (token, limit, most) = match request.dialect {
        Dialect::S3 => ("continuation-token", "max-keys", s3::PAGE_MAX),
        Dialect::Azure => ("marker", "maxresults", azure::PAGE_MAX),
    };
    let word = |name| request.parameter(name).unwrap_or("").to_owned();
    let limit = word(limit).parse().unwrap_or(most).min(most);
    let wanted = PageRequest { prefix: word("prefix"), delimited: word("delimiter") == "/", token: word(token), limit };
    let page = Page::of(objects, &wanted);
    Ok(match request.dialect {
        Dialect::S3 => s3::page(request, &wanted, &page, generation),
        Dialect::Azure => azure::page(request, &wanted, &page, generation),
    })
}

fn object(catalogue: &Catalogue, request: &Request, generation: u64) -> Result<Reply, Refusal> {
    catalogue.objects(&request.bucket).ok_or(Refusal::NoBucket)?;
    let object = catalogue.object(&request.bucket, &request.name).ok_or(Refusal::NoObject)?;
    if request.if_match.as_ref().is_some_and(|tag| tag != "*" && *tag != object.tag(generation)) {
        return Err(Refusal::Changed);
    }
    let mut lines = format!(
        "etag: \"{}\"\r\nlast-modified: {MODIFIED_HTTP}\r\ncontent-type: application/octet-stream\r\naccept-ranges: bytes\r\n",
        object.tag(generation)
    );
    lines.push_str(match request.dialect {
        Dialect::S3 => "x-amz-request-id: generated\r\n",
        Dialect::Azure => azure::OBJECT_LINES,
    });
    if request.method == Method::Head {
        return Ok(Reply { status: 200, lines, body: Body::Absent(object.size) });
    }
    let (first, end, status) = span(object, request.wanted)?;
    if status == 206 {
        lines.push_str(&content_range(first, end, object.size));
    }
    let body = match &object.held {
        Some(bytes) => Body::Held(bytes.slice(first as usize..end as usize)),
        None => Body::Pattern { seed: object.seed_in(generation), range: first..end },
    };
    Ok(Reply { status, lines, body })
}

/// The line that says which bytes these are; `end` is not one of them.
pub(super) fn content_range(first: u64, end: u64, size: u64) -> String {
    format!("content-range: bytes {first}-{}/{size}\r\n", end - 1)
}

fn span(object: &Object, wanted: Wanted) -> Result<(u64, u64, u16), Refusal> {
    let size = object.size;
    match wanted {
        Wanted::Whole => Ok((0, size, 200)),
        Wanted::Span(first, last) if first < size && first <= last => {
            Ok((first, last.saturating_add(1).min(size), 206))
        }
        Wanted::Last(length) if length > 0 && size > 0 => Ok((size.saturating_sub(length), size, 206)),
        Wanted::Span(..) | Wanted::Last(_) => Err(Refusal::PastEnd),
    }
}
