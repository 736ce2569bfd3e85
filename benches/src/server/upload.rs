//! Uploads under way: the parts that were sent, until somebody makes an object of them or gives them up.

use std::collections::{BTreeMap, HashMap};

use super::answer::Refusal;
use super::content::Content;

/// Uploads at most; the next one is refused.
const UPLOADS_MAX: usize = 4096;

/// Of both dialects: those of S3 have a name of their own, the blocks of Azure belong to the object.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    named: HashMap<String, Named>,
    blocks: HashMap<(String, String), HashMap<String, Content>>,
    begun: u64,
}

#[derive(Debug)]
struct Named {
    object: (String, String),
    parts: BTreeMap<u32, Content>,
}

impl Uploads {
    /// Begins one; its name.
    pub(super) fn begin(&mut self, bucket: &str, name: &str) -> Result<String, Refusal> {
        if self.named.len() >= UPLOADS_MAX {
            return Err(Refusal::Full);
        }
        self.begun += 1;
        let id = format!("upload-{}", self.begun);
        let object = (bucket.to_owned(), name.to_owned());
        self.named.insert(id.clone(), Named { object, parts: BTreeMap::new() });
        Ok(id)
    }

    /// Takes in a part.
    pub(super) fn part(&mut self, id: &str, number: u32, content: Content) -> Result<(), Refusal> {
        self.named.get_mut(id).ok_or(Refusal::NoUpload)?.parts.insert(number, content);
        Ok(())
    }

    /// What the parts `numbers` are together.
    pub(super) fn joined(&self, id: &str, object: (&str, &str), numbers: &[u32]) -> Result<Content, Refusal> {
        let named = self.named.get(id).ok_or(Refusal::NoUpload)?;
        if (named.object.0.as_str(), named.object.1.as_str()) != object || !numbers.is_sorted() || numbers.is_empty() {
            return Err(Refusal::Malformed);
        }
        let mut whole = Content::default();
        for number in numbers {
            whole.append(named.parts.get(number).ok_or(Refusal::Malformed)?);
        }
        Ok(whole)
    }

    /// Ends one; whether there was one.
    pub(super) fn end(&mut self, id: &str) -> bool {
        self.named.remove(id).is_some()
    }

    /// Takes in a block.
    pub(super) fn block(&mut self, bucket: &str, name: &str, id: &str, content: Content) -> Result<(), Refusal> {
        let object = (bucket.to_owned(), name.to_owned());
        if self.blocks.len() >= UPLOADS_MAX && !self.blocks.contains_key(&object) {
            return Err(Refusal::Full);
        }
        self.blocks.entry(object).or_default().insert(id.to_owned(), content);
        Ok(())
    }

    /// What the blocks `ids` are together.
    pub(super) fn listed(&self, bucket: &str, name: &str, ids: &[&str]) -> Result<Content, Refusal> {
        let mut whole = Content::default();
        let blocks = self.blocks.get(&(bucket.to_owned(), name.to_owned()));
        for id in ids {
            whole.append(blocks.and_then(|blocks| blocks.get(*id)).ok_or(Refusal::Malformed)?);
        }
        Ok(whole)
    }

    /// The blocks of an object are gone: it was written.
    pub(super) fn forget_blocks(&mut self, bucket: &str, name: &str) {
        self.blocks.remove(&(bucket.to_owned(), name.to_owned()));
    }
}
