//! From a request to its answer: the same decisions for both dialects, in the words of each.

use super::catalogue::Object;
use super::page::{Page, PageRequest};
use super::reply::{Body, Reply};
use super::request::{Dialect, Method, Request, Wanted};
use super::stats::Operation;
use super::world::World;
use super::{azure, s3, writing};

/// When every object was last written.
pub(super) const MODIFIED_HTTP: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// Why there is no better answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    NoBucket,
    NoObject,
    Changed,
    Exists,
    NoUpload,
    Malformed,
    Full,
    PastEnd,
    NotAllowed,
    Internal,
    Unavailable,
}

impl Refusal {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::NoBucket | Self::NoObject | Self::NoUpload => 404,
            Self::Malformed => 400,
            Self::Exists => 409,
            Self::Full => 507,
            Self::Changed => 412,
            Self::PastEnd => 416,
            Self::NotAllowed => 405,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    pub(super) fn reply(self, dialect: Dialect, method: Method) -> Reply {
        let mut reply = match dialect {
            // S3 says that an object exists as it says any condition that is not met.
            Dialect::S3 if self == Self::Exists => s3::refusal(Self::Changed),
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
    let is_part = request.parameter("partNumber").is_some() || request.parameter("comp") == Some("block");
    let is_end = request.parameter("uploadId").is_some() || request.parameter("comp") == Some("blocklist");
    match request.method {
        Method::Other => Operation::Other,
        _ if request.name.is_empty() && !matches!(request.method, Method::Get | Method::Head) => Operation::Other,
        Method::Put if request.copy_source.is_some() => Operation::Copy,
        Method::Put if is_part => Operation::Part,
        Method::Put | Method::Delete | Method::Post if is_end => Operation::Upload,
        Method::Put => Operation::Put,
        Method::Delete => Operation::Delete,
        Method::Post if request.parameter("uploads").is_some() => Operation::Upload,
        Method::Post => Operation::Other,
        Method::Head => Operation::Head,
        Method::Get if request.name.is_empty() && listing => Operation::List,
        Method::Get if request.name.is_empty() => Operation::Head,
        Method::Get => Operation::Get,
    }
}

/// The answer of a store in good health.
pub(super) fn answer(world: &World, request: &Request, generation: u64) -> Reply {
    let reply = match operation(request) {
        Operation::Other => Err(Refusal::NotAllowed),
        Operation::List => list(world, request, generation),
        Operation::Get | Operation::Head if request.name.is_empty() => bucket(world, request),
        Operation::Get | Operation::Head => object(world, request, generation),
        Operation::Put => writing::whole(world, request),
        Operation::Part => writing::part(world, request),
        Operation::Copy => writing::copy(world, request),
        Operation::Upload => writing::upload(world, request),
        Operation::Delete => writing::delete(world, request),
    };
    reply.unwrap_or_else(|refusal| refusal.reply(request.dialect, request.method))
}

fn bucket(world: &World, request: &Request) -> Result<Reply, Refusal> {
    world.catalogue().objects(&request.bucket).ok_or(Refusal::NoBucket)?;
    Ok(Reply { status: 200, lines: format!("last-modified: {MODIFIED_HTTP}\r\n"), body: Body::Absent(0) })
}

fn list(world: &World, request: &Request, generation: u64) -> Result<Reply, Refusal> {
    let catalogue = world.catalogue();
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

fn object(world: &World, request: &Request, generation: u64) -> Result<Reply, Refusal> {
    let catalogue = world.catalogue();
    catalogue.objects(&request.bucket).ok_or(Refusal::NoBucket)?;
    let object = catalogue.object(&request.bucket, &request.name).ok_or(Refusal::NoObject)?;
    if request.if_match.as_ref().is_some_and(|tag| tag != "*" && *tag != object.tag(generation)) {
        return Err(Refusal::Changed);
    }
    let mut lines = format!(
        "etag: \"{}\"\r\nlast-modified: {MODIFIED_HTTP}\r\ncontent-type: application/octet-stream\r\naccept-ranges: bytes\r\n",
        object.tag(generation)
    );
    // For who wrote it and wants to know that every byte arrived, without reading it all back.
    lines.push_str(if object.content.is_generated(object.seed) {
        "x-generated: yes\r\n"
    } else {
        "x-generated: no\r\n"
    });
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
    Ok(Reply { status, lines, body: Body::Object { content: object.content_in(generation), range: first..end } })
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
