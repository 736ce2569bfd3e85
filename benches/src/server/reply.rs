//! An answer before it is sent.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use super::content::Content;

/// What follows the head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Body {
    /// These words.
    Text(String),
    /// Bytes of an object, made while they are sent.
    Object { content: Arc<Content>, range: Range<u64> },
    /// Nothing, but the head says so many, as HEAD wants it.
    Absent(u64),
}

impl Body {
    /// What `Content-Length` says.
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Object { range, .. } => range.end - range.start,
            Self::Absent(length) => *length,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Whole lines, each with its line end.
    pub(super) lines: String,
    pub(super) body: Body,
}

impl Reply {
    pub(super) fn text(status: u16, content_type: &str, text: String) -> Self {
        Self { status, lines: format!("content-type: {content_type}\r\n"), body: Body::Text(text) }
    }

    /// The head, with the empty line that ends it.
    pub(super) fn head(&self) -> String {
        let mut head = String::with_capacity(512);
        let (status, reason, lines) = (self.status, reason(self.status), &self.lines);
        let date = httpdate::fmt_http_date(std::time::SystemTime::now());
        let length = self.body.length();
        // Writing to a string cannot fail.
        let _ = write!(head, "HTTP/1.1 {status} {reason}\r\ndate: {date}\r\ncontent-length: {length}\r\n{lines}\r\n");
        head
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        507 => "Insufficient Storage",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Answer",
    }
}

/// `text` as XML character data.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}
