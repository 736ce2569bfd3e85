//! A page of List Blobs, out of its XML.
//!
//! Source: "List Blobs" of the Azure Storage REST reference. A directory of a hierarchical account is an entry
//! with `ResourceType` directory; flat accounts mark one with the metadata `hdi_isfolder`, whose case is the
//! writer's.

use std::collections::BTreeMap;
use std::time::SystemTime;

use rfuse_block::{ObjectKey, Version};

use super::xml::{BadXml, Node, walk};
use crate::{ListEntry, ListPage, ObjectMeta, Token};

const ROOT: &str = "EnumerationResults/";

/// Reads a page.
///
/// # Errors
/// [`BadXml`] when it is not one, or when an object lacks what identifies it.
pub(super) fn parse(document: &str) -> Result<ListPage, BadXml> {
    let mut page = ListPage::default();
    let mut draft = Draft::default();
    let mut complete = false;
    walk(document, |node| {
        let (path, text) = match node {
            Node::Open(path) => {
                if matches!(below_root(path), Some("Blobs/Blob" | "Blobs/BlobPrefix")) {
                    draft = Draft::default();
                }
                return Ok(());
            }
            Node::Close(path, text) => (path, text),
        };
        match below_root(path) {
            Some("Blobs/Blob") => page.entries.push(ListEntry::Object(std::mem::take(&mut draft).object()?)),
            Some("Blobs/BlobPrefix") => page.entries.push(ListEntry::Prefix(std::mem::take(&mut draft).name()?)),
            Some("NextMarker") if !text.is_empty() => page.next = Some(Token(text.to_owned())),
            Some(path) => draft.take(path, text)?,
            None => complete |= path == "EnumerationResults",
        }
        Ok(())
    })?;
    // The service sends them so; the emulator puts the prefixes of a page first.
    page.entries.sort_by(|one, other| one.key().cmp(other.key()));
    if complete { Ok(page) } else { Err(BadXml) }
}

fn below_root(path: &str) -> Option<&str> {
    path.strip_prefix(ROOT)
}

/// What is known of an entry so far.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    size: Option<u64>,
    etag: Option<String>,
    modified: Option<SystemTime>,
    content_type: Option<String>,
    metadata: BTreeMap<String, String>,
    is_directory: bool,
}

impl Draft {
    fn take(&mut self, path: &str, text: &str) -> Result<(), BadXml> {
        if let Some(field) = path.strip_prefix("Blobs/Blob/Metadata/") {
            self.metadata.insert(field.to_ascii_lowercase(), text.to_owned());
            return Ok(());
        }
        match path {
            "Blobs/Blob/Name" | "Blobs/BlobPrefix/Name" => self.name = Some(text.to_owned()),
            "Blobs/Blob/Properties/Content-Length" => self.size = Some(text.parse().map_err(|_| BadXml)?),
            "Blobs/Blob/Properties/Etag" => self.etag = Some(quoted(text)),
            "Blobs/Blob/Properties/Last-Modified" => {
                self.modified = Some(httpdate::parse_http_date(text).map_err(|_| BadXml)?);
            }
            "Blobs/Blob/Properties/Content-Type" if !text.is_empty() => self.content_type = Some(text.to_owned()),
            "Blobs/Blob/Properties/ResourceType" => self.is_directory |= text.eq_ignore_ascii_case("directory"),
            _ => {}
        }
        Ok(())
    }

    fn name(self) -> Result<ObjectKey, BadXml> {
        self.name.map(|name| ObjectKey::from(name.as_str())).ok_or(BadXml)
    }

    fn object(mut self) -> Result<ObjectMeta, BadXml> {
        let metadata = std::mem::take(&mut self.metadata);
        let is_directory = self.is_directory || is_marked(&metadata);
        Ok(ObjectMeta {
            size: self.size.or(is_directory.then_some(0)).ok_or(BadXml)?,
            version: Version::new(self.etag.take().ok_or(BadXml)?),
            modified: self.modified.ok_or(BadXml)?,
            content_type: self.content_type.take(),
            metadata,
            is_directory,
            key: self.name()?,
        })
    }
}

/// Whether metadata (names in lower case) calls its object a directory.
pub(super) fn is_marked(metadata: &BTreeMap<String, String>) -> bool {
    metadata.get("hdi_isfolder").is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A listing writes an entity tag without the quotes that headers have around it.
fn quoted(etag: &str) -> String {
    if etag.starts_with('"') || etag.starts_with("W/") { etag.to_owned() } else { format!("\"{etag}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://a.blob.core.windows.net/" ContainerName="c"><Prefix>a</Prefix><Blobs>
<Blob><Name> a//b &amp; ü.bin</Name><Properties><Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified>
<Etag>0x8D1</Etag><Content-Length>4096</Content-Length><Content-Type>text/plain</Content-Type><ResourceType>file</ResourceType></Properties>
<Metadata><Hdi_Isfolder>True</Hdi_Isfolder><Owner>me</Owner></Metadata><OrMetadata /></Blob>
<Blob><Name>d</Name><Properties><Last-Modified>Sun, 06 Nov 1994 08:49:37 GMT</Last-Modified><Etag>0x8D2</Etag><ResourceType>directory</ResourceType></Properties></Blob>
<BlobPrefix><Name Encoded="true">p%EF%BF%BF/</Name></BlobPrefix>
</Blobs><NextMarker>2!92!abc</NextMarker></EnumerationResults>"#;

    #[test]
    fn names_directories_metadata_and_the_marker_are_read() {
        let page = parse(PAGE).unwrap();
        assert_eq!(page.next, Some(Token("2!92!abc".into())));
        let [ListEntry::Object(marked), ListEntry::Object(entry), ListEntry::Prefix(prefix)] = &page.entries[..] else {
            panic!("{page:?}");
        };
        assert_eq!(marked.key.as_bytes(), " a//b & ü.bin".as_bytes());
        assert_eq!((marked.size, marked.version.as_str()), (4096, "\"0x8D1\""));
        assert_eq!(marked.content_type.as_deref(), Some("text/plain"));
        assert!(marked.is_directory && entry.is_directory);
        assert_eq!(marked.metadata["owner"], "me");
        assert_eq!(prefix.as_bytes(), "p\u{ffff}/".as_bytes());
    }

    #[test]
    fn an_empty_page_is_a_page_and_half_a_page_is_not() {
        let empty = "<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>";
        assert_eq!(parse(empty), Ok(ListPage::default()));
        assert_eq!(parse("<html></html>"), Err(BadXml));
        assert_eq!(parse(&PAGE[..PAGE.len() / 2]), Err(BadXml));
    }
}
