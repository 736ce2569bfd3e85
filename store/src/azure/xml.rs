//! The little XML that the blob service speaks, read as a flat run of elements.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::name;

/// What a walk through a document meets.
pub(super) enum Node<'a> {
    /// `<name …>`; the path is the names of the elements around it and its own, joined by `/`.
    Open(&'a str),
    /// `</name>`, with the text inside, exactly as meant: entities resolved, nothing trimmed, and unescaped
    /// when the element said `Encoded="true"`.
    Close(&'a str, &'a str),
}

/// The document is not XML, or has text that is not UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BadXml;

/// Walks through `document`, calling `visit` for every node.
pub(super) fn walk(document: &str, mut visit: impl FnMut(Node<'_>) -> Result<(), BadXml>) -> Result<(), BadXml> {
    let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
    let mut path = String::new();
    let mut text = String::new();
    let mut encoded = false;
    loop {
        match reader.read_event().map_err(|_| BadXml)? {
            Event::Start(start) => {
                encoded = open(&mut path, &start)?;
                text.clear();
                visit(Node::Open(&path))?;
            }
            Event::Empty(start) => {
                open(&mut path, &start)?;
                visit(Node::Open(&path))?;
                visit(Node::Close(&path, ""))?;
                leave(&mut path);
                text.clear();
            }
            Event::Text(part) => text.push_str(&part),
            Event::CData(part) => text.push_str(&part),
            Event::GeneralRef(entity) => text.push(match entity.resolve_char_ref().map_err(|_| BadXml)? {
                Some(c) => c,
                None => named_entity(&entity).ok_or(BadXml)?,
            }),
            Event::End(_) => {
                let meant = if encoded { name::unescape(&text).ok_or(BadXml)? } else { Cow::Borrowed(text.as_str()) };
                visit(Node::Close(&path, &meant))?;
                leave(&mut path);
                text.clear();
                encoded = false;
            }
            Event::Eof => return if path.is_empty() { Ok(()) } else { Err(BadXml) },
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

/// The text of the first element at `wanted`.
pub(super) fn text_of(document: &str, wanted: &str) -> Option<String> {
    let mut found = None;
    // What follows a broken place is not needed.
    let _ = walk(document, |node| {
        if let Node::Close(path, text) = node
            && path == wanted
            && found.is_none()
        {
            found = Some(text.to_owned());
        }
        Ok(())
    });
    found
}

/// `text` with what XML gives a meaning escaped.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    quick_xml::escape::escape(text)
}

fn open(path: &mut String, start: &BytesStart<'_>) -> Result<bool, BadXml> {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(start.name().as_ref());
    let encoded = start.try_get_attribute("Encoded").map_err(|_| BadXml)?;
    Ok(encoded.is_some_and(|attribute| attribute.value.eq_ignore_ascii_case("true")))
}

fn leave(path: &mut String) {
    path.truncate(path.rfind('/').unwrap_or(0));
}

fn named_entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_comes_back_as_it_was(text in "\\PC{0,60}| {1,3}[<>&\"' a]{0,20} {1,3}") {
            let document = format!("<?xml version=\"1.0\"?><A><B>x</B><Name>{}</Name></A>", escape(&text));
            let read = text_of(&document, "A/Name");
            prop_assert_eq!(read.as_deref(), Some(text.as_str()));
        }

        #[test]
        fn any_text_is_walked_or_refused(text in "\\PC{0,80}|[<>/&;a=\" !-]{0,60}") {
            let _ = walk(&text, |_| Ok(()));
        }
    }

    #[test]
    fn an_encoded_name_is_decoded_and_a_plain_one_is_not() {
        let document = "<A><Name Encoded=\"true\">a%EF%BF%BE%20b</Name><Name>a%20b</Name></A>";
        let mut names = Vec::new();
        walk(document, |node| {
            if let Node::Close("A/Name", text) = node {
                names.push(text.to_owned());
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(names, ["a\u{fffe} b", "a%20b"]);
    }
}
