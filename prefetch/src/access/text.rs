//! The text form of a plan, for people and for loaders in any language.
//!
//! The first line is [`HEAD`]. Each other line is a read: path, offset and length in bytes, with a tab between
//! them. Lines that begin with `#` and empty lines say nothing. In a path `\t`, `\n`, `\r` and `\\` stand for
//! tab, newline, carriage return and backslash; other bytes stand for themselves.

use std::io::{self, Write};

use rfuse_block::ByteRange;

use super::{AccessPlan, PlanBuilder, PlanError};

/// The first line.
pub const HEAD: &str = "# rfuse plan v1";

/// Reads the text form.
pub(super) fn parse(bytes: &[u8]) -> Result<AccessPlan, PlanError> {
    let mut lines = bytes.split(|&byte| byte == b'\n').zip(1..);
    let head = lines.next().map(|(head, _)| head.trim_ascii_end());
    if head != Some(HEAD.as_bytes()) {
        return Err(PlanError::Head);
    }
    let mut builder = PlanBuilder::default();
    for (text, line) in lines {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let wrong = |why| PlanError::Line { line, why };
        let mut words = text.splitn(3, |&byte| byte == b'\t');
        let (Some(path), Some(offset), Some(length)) = (words.next(), words.next(), words.next()) else {
            return Err(wrong("a read is PATH, OFFSET and LENGTH with a tab between them"));
        };
        let offset = number(offset).ok_or_else(|| wrong("the offset is not a number of bytes"))?;
        let length = number(length).filter(|&it| it > 0).ok_or_else(|| wrong("the length is not a number above 0"))?;
        let end = offset.checked_add(length).ok_or_else(|| wrong("it reads behind the largest offset there is"))?;
        builder.add(
            &unescaped(path).ok_or_else(|| wrong("a path is empty or ends in a backslash"))?,
            ByteRange::new(offset, end),
        )?;
    }
    Ok(builder.plan)
}

/// Writes one read.
///
/// # Errors
/// Those of `out`.
pub fn write_line(out: &mut impl Write, path: &[u8], range: ByteRange) -> io::Result<()> {
    for &byte in path {
        match byte {
            b'\t' => out.write_all(b"\\t")?,
            b'\n' => out.write_all(b"\\n")?,
            b'\r' => out.write_all(b"\\r")?,
            b'\\' => out.write_all(b"\\\\")?,
            other => out.write_all(&[other])?,
        }
    }
    writeln!(out, "\t{}\t{}", range.start(), range.length())
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn unescaped(word: &[u8]) -> Option<Vec<u8>> {
    // Loaders write what they open: a leading slash or dot is the root of the mount.
    let word = word.strip_prefix(b"./").or_else(|| word.strip_prefix(b"/")).unwrap_or(word);
    let mut path = Vec::with_capacity(word.len());
    let mut bytes = word.iter();
    while let Some(&byte) = bytes.next() {
        path.push(match byte {
            b'\\' => match bytes.next()? {
                b't' => b'\t',
                b'n' => b'\n',
                b'r' => b'\r',
                other => *other,
            },
            other => other,
        });
    }
    (!path.is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line) in [("x\t1", 2), ("#\n\nx\t-1\t2", 4), ("x\t1\t0", 2), ("\t1\t1", 2), ("x\\\t1\t1", 2)] {
            let error = parse(format!("{HEAD}\n{text}\n").as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(&format!("line {line}: ")), "{text}: {error}");
        }
        assert!(matches!(parse(b"path\t0\t1\n"), Err(PlanError::Head)));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(path in prop::collection::vec(any::<u8>(), 1..40), offset in 0..1u64 << 60, length in 1u64..1 << 30) {
            prop_assume!(!path.starts_with(b"/") && !path.starts_with(b"./") && !path.starts_with(b"#"));
            let mut text = format!("{HEAD}\n").into_bytes();
            write_line(&mut text, &path, ByteRange::at(offset, length)).unwrap();
            let plan = parse(&text).unwrap();
            prop_assert_eq!(plan.files[0].as_bytes(), &path[..]);
            prop_assert_eq!(plan.steps[0].range(), ByteRange::at(offset, length));
        }

        #[test]
        fn no_text_is_a_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&[format!("{HEAD}\n").as_bytes(), &text[..]].concat());
        }
    }
}
