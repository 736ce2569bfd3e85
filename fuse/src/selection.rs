//! Which bytes of which files of a mount a person means: by path, folder, pattern or list.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use rfuse_block::ByteRange;
use rfuse_config::ByteSize;
use rfuse_config::control::FileRange;
use rfuse_prefetch::access::AccessPlan;

use crate::outcome::{Exit, Failure};
use crate::planning;

/// Words of the command line that choose files.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Selection {
    /// Files, folders or patterns such as 'logs/**/*.mcap', below DIR; none: all of it
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Only these bytes of each file: 0..64MiB, 1GiB.. or ..1MiB
    #[arg(long, value_name = "START..END", value_parser = span)]
    range: Option<Span>,
    /// A list of what is meant: an access plan, a trace, or a path a line
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

/// Bytes from the first up to the second; none: to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span(u64, Option<u64>);

impl Span {
    /// What of a file of `size` bytes lies in it.
    fn of(self, path: String, size: u64) -> Option<FileRange> {
        let end = self.1.unwrap_or(size).min(size);
        (self.0 < end).then(|| FileRange { path, offset: self.0, length: end - self.0 })
    }
}

fn span(word: &str) -> Result<Span, String> {
    let wrong = || format!("`{word}` is no range: write START..END, as 0..64MiB, 1GiB.. or ..1MiB");
    let (start, end) = word.split_once("..").ok_or_else(wrong)?;
    let number = |word: &str| ByteSize::parse(word).map(|size| size.0).map_err(|error| error.to_string());
    let start = if start.is_empty() { 0 } else { number(start)? };
    let end = if end.is_empty() { None } else { Some(number(end)?) };
    if end.is_some_and(|end| end <= start) {
        return Err(format!("`{word}` holds no byte: its end is not behind its start"));
    }
    Ok(Span(start, end))
}

impl Selection {
    /// The ranges that are meant in the mount on `dir`, clipped to the files' sizes, in the order of their paths; of a
    /// list, in its own order.
    ///
    /// # Errors
    /// A path leads nowhere, or the list cannot be read.
    pub(crate) fn ranges(&self, dir: &Path) -> Result<Vec<FileRange>, Failure> {
        let mut ranges = match &self.manifest {
            Some(manifest) => self.listed(dir, manifest)?,
            None => Vec::new(),
        };
        if self.manifest.is_none() || !self.paths.is_empty() {
            let sizes = self.files(dir)?;
            let span = self.range.unwrap_or_default();
            ranges.extend(sizes.into_iter().filter_map(|(path, size)| span.of(path, size)));
        }
        Ok(ranges)
    }

    /// The paths as they were given, below `dir`; folders and patterns as the files they stand for.
    ///
    /// # Errors
    /// A pattern is none.
    pub(crate) fn names(&self, dir: &Path) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for path in &self.paths {
            let below = below(dir, path)?;
            match fs::symlink_metadata(dir.join(&below)) {
                // What is not there any more is still a name.
                Err(_) if !is_pattern(&below) => names.push(below),
                Ok(meta) if meta.is_file() => names.push(below),
                _ => names.extend(self.expand(dir, path)?.into_keys()),
            }
        }
        if let Some(manifest) = &self.manifest {
            names.extend(self.listed(dir, manifest)?.into_iter().map(|range| range.path));
            names.dedup();
        }
        Ok(names)
    }

    /// The paths as they were given, below `dir`; patterns as what they stand for.
    ///
    /// # Errors
    /// A path lies elsewhere, or a pattern is none.
    pub(crate) fn plain(&self, dir: &Path) -> Result<Vec<String>, Failure> {
        let mut plain = Vec::new();
        for path in &self.paths {
            let below = below(dir, path)?;
            match is_pattern(&below) {
                true => plain.extend(self.expand(dir, path)?.into_keys()),
                false => plain.push(below),
            }
        }
        Ok(plain)
    }

    /// Every file that is meant by path, with its size.
    fn files(&self, dir: &Path) -> Result<BTreeMap<String, u64>, Failure> {
        if self.paths.is_empty() {
            return self.expand(dir, "");
        }
        let mut all = BTreeMap::new();
        for path in &self.paths {
            all.extend(self.expand(dir, path)?);
        }
        Ok(all)
    }

    fn expand(&self, dir: &Path, path: &str) -> Result<BTreeMap<String, u64>, Failure> {
        let below = below(dir, path)?;
        let found = dir.join(&below);
        let mut files = BTreeMap::new();
        match fs::metadata(&found) {
            Ok(_) => collect(dir, &found, &mut files).map_err(|error| unreadable(&found, &error))?,
            Err(_) if is_pattern(&below) => {
                let pattern = format!("{}/{below}", glob::Pattern::escape(&dir.to_string_lossy()));
                let wrong = |error: glob::PatternError| {
                    Failure::new(Exit::Usage, "find files", format!("{path} is no pattern: {error}"), "* ** ? [a-z]")
                };
                for found in glob::glob(&pattern).map_err(wrong)? {
                    let found = found.map_err(|error| unreadable(error.path(), error.error()))?;
                    collect(dir, &found, &mut files).map_err(|error| unreadable(&found, &error))?;
                }
                if files.is_empty() {
                    return Err(nothing(path, "nothing matches it".to_owned()));
                }
            }
            Err(error) => return Err(nothing(path, error.to_string())),
        }
        Ok(files)
    }

    fn listed(&self, dir: &Path, manifest: &Path) -> Result<Vec<FileRange>, Failure> {
        if let Ok(plan) = planning::read(manifest) {
            return Ok(planned(&plan));
        }
        let text = fs::read_to_string(manifest).map_err(|error| unreadable(manifest, &error))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let span = self.range.unwrap_or_default();
        let mut ranges = Vec::new();
        for line in lines {
            ranges.extend(self.expand(dir, line)?.into_iter().filter_map(|(path, size)| span.of(path, size)));
        }
        Ok(ranges)
    }
}

/// What a plan reads, each byte once. A name that is not UTF-8 has no words here, and the mount says so.
fn planned(plan: &AccessPlan) -> Vec<FileRange> {
    let ranges = plan.distinct_ranges().into_iter();
    let one = |(file, range): (u32, ByteRange)| FileRange {
        path: String::from_utf8_lossy(plan.files[file as usize].as_bytes()).into_owned(),
        offset: range.start(),
        length: range.length(),
    };
    ranges.map(one).collect()
}

/// Adds the files in and below `path`; links lead elsewhere or to what is met anyway.
fn collect(dir: &Path, path: &Path, files: &mut BTreeMap<String, u64>) -> std::io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(dir, &entry?.path(), files)?;
        }
    } else if meta.is_file() {
        let name = path.strip_prefix(dir).unwrap_or(path).to_str().ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, "its name is not UTF-8, which this needs")
        })?;
        files.insert(name.to_owned(), meta.len());
    }
    Ok(())
}

/// `path`, which is absolute or below `dir`, as seen from `dir`.
fn below(dir: &Path, path: &str) -> Result<String, Failure> {
    let given = Path::new(path);
    let below = if given.is_absolute() { given.strip_prefix(dir).ok() } else { Some(given) };
    let plain = below.filter(|below| {
        below.components().all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
    });
    let outside = || {
        let why = format!("{path} does not lie in {}", dir.display());
        Failure::new(Exit::Usage, "find files", why, "give paths as seen from the mounted folder")
    };
    let parts = plain.ok_or_else(outside)?.components().filter_map(|part| match part {
        std::path::Component::Normal(part) => part.to_str(),
        _ => None,
    });
    Ok(parts.collect::<Vec<_>>().join("/"))
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

fn nothing(path: &str, why: String) -> Failure {
    Failure::new(Exit::NotFound, &format!("find {path}"), why, "give paths as seen from the mounted folder")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let help = "a list is an access plan, a trace, or a path a line";
    Failure::new(Exit::NotFound, &format!("read {}", path.display()), error.to_string(), help)
}

/// Bytes of all of them.
pub(crate) fn total(ranges: &[FileRange]) -> u64 {
    ranges.iter().map(|range| range.length).sum()
}

/// Files of all of them.
pub(crate) fn count(ranges: &[FileRange]) -> usize {
    let mut paths: Vec<&str> = ranges.iter().map(|range| range.path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths.len()
}

/// `3 files, 1.5 GiB`.
pub(crate) fn words(ranges: &[FileRange]) -> String {
    format!("{} files, {}", count(ranges), ByteSize(total(ranges)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, size) in [("a.bin", 10), ("b/c.bin", 20), ("b/d/e.log", 30), ("b/[x].bin", 5)] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; size]).unwrap();
        }
        dir
    }

    fn chosen(dir: &Path, paths: &[&str], range: Option<&str>) -> Vec<(String, u64, u64)> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let selection = Selection { paths, range: range.map(|word| span(word).unwrap()), manifest: None };
        selection.ranges(dir).unwrap().into_iter().map(|range| (range.path, range.offset, range.length)).collect()
    }

    #[test]
    fn paths_folders_and_patterns_become_files_with_their_bytes() {
        let dir = folder();
        let all = chosen(dir.path(), &[], None);
        assert_eq!(all.len(), 4);
        let absolute = dir.path().join("b/d");
        let given = ["a.bin", "./b/d", absolute.to_str().unwrap(), "**/*.log"];
        let some = chosen(dir.path(), &given, Some("4..25"));
        assert_eq!(some, [("a.bin".into(), 4, 6), ("b/d/e.log".into(), 4, 21)]);
        assert_eq!(chosen(dir.path(), &["b/[x].bin"], None), [("b/[x].bin".into(), 0, 5)], "a name before a pattern");
        assert_eq!(chosen(dir.path(), &["b/[a-c].bin"], None), [("b/c.bin".into(), 0, 20)]);
    }

    #[test]
    fn what_is_not_there_or_lies_elsewhere_is_said() {
        let dir = folder();
        for path in ["none", "*.none", "../x", "/etc/passwd"] {
            let selection = Selection { paths: vec![path.to_owned()], ..Selection::default() };
            assert!(selection.ranges(dir.path()).is_err(), "{path}");
        }
        assert!(span("5..5").is_err() && span("7").is_err() && span("4kb..").is_err());
    }

    #[test]
    fn a_list_is_a_plan_or_paths() {
        let dir = folder();
        let list = dir.path().join("list");
        let listed = |text: &str| {
            fs::write(&list, text).unwrap();
            let selection = Selection { manifest: Some(list.clone()), ..Selection::default() };
            selection
                .ranges(dir.path())
                .unwrap()
                .into_iter()
                .map(|one| (one.path, one.offset, one.length))
                .collect::<Vec<_>>()
        };
        assert_eq!(listed("# mine\na.bin\n\nb/d\n"), [("a.bin".into(), 0, 10), ("b/d/e.log".into(), 0, 30)]);
        let plan = "# rfuse plan v1\na.bin\t0\t4\nb/c.bin\t8\t4\na.bin\t4\t4\na.bin\t2\t2\n";
        assert_eq!(listed(plan), [("a.bin".into(), 0, 8), ("b/c.bin".into(), 8, 4)]);
    }
}
