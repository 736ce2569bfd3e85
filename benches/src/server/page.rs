//! One page of a listing, the same for both protocols.

use super::catalogue::Object;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct PageRequest {
    /// Only names that start with this.
    pub(super) prefix: String,
    /// Roll up what lies below the next `/`.
    pub(super) delimited: bool,
    /// Where the page before ended; empty at the start.
    pub(super) token: String,
    /// At most this many entries.
    pub(super) limit: usize,
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry<'a> {
    /// An object.
    Object(&'a Object),
    /// What every name below it starts with; ends in `/`.
    Prefix(&'a str),
}

/// The entries, and the token of the next page where there is one.
#[derive(Debug)]
pub(super) struct Page<'a> {
    /// In the order of names.
    pub(super) entries: Vec<Entry<'a>>,
    /// None at the end.
    pub(super) next: Option<String>,
}

impl<'a> Page<'a> {
    /// Cuts the page out of `objects`, which are in the order of their names.
    pub(super) fn of(objects: &'a [Object], request: &PageRequest) -> Self {
        let prefix = request.prefix.as_str();
        let mut at = objects.partition_point(|object| object.name.as_str() < prefix);
        at = at.max(resume(objects, &request.token));
        let mut page = Self { entries: Vec::new(), next: None };
        while let Some(object) = objects.get(at).filter(|object| object.name.starts_with(prefix)) {
            if page.entries.len() >= request.limit.max(1) {
                page.next = page.entries.last().map(token);
                break;
            }
            let rolled = request.delimited.then(|| object.name[prefix.len()..].find('/')).flatten();
            if let Some(slash) = rolled {
                let up_to = &object.name[..prefix.len() + slash + 1];
                page.entries.push(Entry::Prefix(up_to));
                at += objects[at..].partition_point(|object| object.name.starts_with(up_to));
            } else {
                page.entries.push(Entry::Object(object));
                at += 1;
            }
        }
        page
    }
}

/// The first object after the token: `o` and the last object's name, or `p` and the last prefix.
fn resume(objects: &[Object], token: &str) -> usize {
    match token.split_at_checked(1) {
        Some(("o", last)) => objects.partition_point(|object| object.name.as_str() <= last),
        Some(("p", last)) => {
            objects.partition_point(|object| object.name.as_str() < last || object.name.starts_with(last))
        }
        _ => 0,
    }
}

fn token(entry: &Entry<'_>) -> String {
    match entry {
        Entry::Object(object) => format!("o{}", object.name),
        Entry::Prefix(prefix) => format!("p{prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::*;

    fn names(catalogue: &Catalogue, prefix: &str, delimited: bool, limit: usize) -> (Vec<String>, usize) {
        let objects = catalogue.objects("b").unwrap();
        let mut request = PageRequest { prefix: prefix.into(), delimited, token: String::new(), limit };
        let (mut all, mut pages) = (Vec::new(), 0);
        loop {
            let page = Page::of(objects, &request);
            pages += 1;
            assert!(page.entries.len() <= limit);
            all.extend(page.entries.iter().map(|entry| match entry {
                Entry::Object(object) => object.name.clone(),
                Entry::Prefix(prefix) => (*prefix).to_owned(),
            }));
            match page.next {
                Some(next) => request.token = next,
                None => return (all, pages),
            }
        }
    }

    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for name in ["a", "b/", "b/c", "b/d/e", "b/d/f", "b/g", "c"] {
            catalogue.add("b", name, 1);
        }
        catalogue
    }

    #[test]
    fn pages_of_any_size_join_to_the_same_listing() {
        let catalogue = catalogue();
        for (prefix, delimited) in [("", false), ("", true), ("b/", true), ("b/d", true), ("nothing", true)] {
            let (whole, _) = names(&catalogue, prefix, delimited, 100);
            for limit in 1..5 {
                assert_eq!(names(&catalogue, prefix, delimited, limit).0, whole, "{prefix} in pages of {limit}");
            }
        }
    }

    #[test]
    fn a_delimiter_rolls_up_and_a_marker_is_an_object_below_itself() {
        let catalogue = catalogue();
        assert_eq!(names(&catalogue, "", true, 100).0, ["a", "b/", "c"]);
        assert_eq!(names(&catalogue, "b/", true, 100).0, ["b/", "b/c", "b/d/", "b/g"]);
    }
}
