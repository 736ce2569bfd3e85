//! The format of `~/.aws/config` and `~/.aws/credentials`.
//!
//! Protocol: "Configuration and credential file settings" of the AWS SDK reference guide. Unreadable lines are
//! skipped, as the AWS tools do; indented lines belong to settings we do not use.

use std::collections::BTreeMap;

/// The settings of one section.
pub(super) type Section = BTreeMap<String, String>;

/// The sections of a file by name, as written between the brackets.
#[derive(Default)]
pub(super) struct Ini(BTreeMap<String, Section>);

impl Ini {
    /// Parses `text`; the later of two equal settings counts.
    pub(super) fn parse(text: &str) -> Self {
        let mut sections: BTreeMap<String, Section> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if line.starts_with([' ', '\t', '#', ';']) {
                continue;
            }
            if let Some(name) = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                let name = name.0.split_whitespace().collect::<Vec<_>>().join(" ");
                sections.entry(name.clone()).or_default();
                current = Some(name);
            } else if let (Some(section), Some((name, value))) = (&current, line.split_once('=')) {
                let settings = sections.entry(section.clone()).or_default();
                settings.insert(name.trim().to_ascii_lowercase(), value_of(value).to_owned());
            }
        }
        Self(sections)
    }

    /// The settings of the section `name`.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.0.get(name)
    }
}

/// The value without spaces around it and without a comment behind it.
fn value_of(text: &str) -> &str {
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    text[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn settings_are_found_whatever_stands_around_them() {
        let ini = Ini::parse(
            "stray = 1\n# comment\n[default]\nRegion = eu-west-1 ; home\n\n[profile  two ]\nkey = a=b#c\n\
             s3 =\n  max_queue_size = 5\nkey = d\n[broken\nx = y\n",
        );
        assert_eq!(ini.section("default").unwrap()["region"], "eu-west-1");
        let two = ini.section("profile two").unwrap();
        assert_eq!((two["key"].as_str(), two.contains_key("max_queue_size")), ("d", false));
        assert!(ini.section("stray").is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed(text: String) {
            Ini::parse(&text);
        }
    }
}
