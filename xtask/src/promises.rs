//! Every row of `docs/semantics.md` that promises something is shown by a test that is there.
//!
//! `xtask/promises.txt` has a line a row: its first cell, ` | `, and names of tests with commas between them;
//! `suite:NAME` is a suite of `cargo xtask test --conformance`, and `unproven` owns up to a promise no test shows yet.

use std::collections::{BTreeMap, BTreeSet};

/// The chapters whose tables are promises.
const CHAPTERS: [&str; 3] = ["## Reading", "## Names, sizes and times", "## Writing"];

/// In the place of a test: nobody has shown it yet.
const UNPROVEN: &str = "unproven";

/// What is wrong between the document, the list and the tests; `tests` are the names of all functions and suites.
pub(crate) fn check(document: &str, list: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let shown: BTreeMap<&str, &str> = list.lines().filter_map(|line| line.rsplit_once(" | ")).collect();
    let rows = rows(document);
    let mut broken = Vec::new();
    for row in &rows {
        match shown.get(row) {
            None => {
                broken.push(format!("docs/semantics.md promises {row:?}, and xtask/promises.txt has no test for it"));
            }
            Some(names) => broken.extend(
                names
                    .split(", ")
                    .filter(|name| *name != UNPROVEN && !tests.contains(*name))
                    .map(|name| format!("xtask/promises.txt: {row:?} is shown by {name}, and there is no such test")),
            ),
        }
    }
    let gone = shown.keys().filter(|row| !rows.contains(*row));
    broken.extend(gone.map(|row| format!("xtask/promises.txt has {row:?}, which docs/semantics.md does not promise")));
    broken
}

/// The first cells of the tables, without their heads.
fn rows(document: &str) -> Vec<&str> {
    let mut rows = Vec::new();
    let mut is_promise = false;
    let mut lines = document.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("## ") {
            is_promise = CHAPTERS.contains(&line);
        }
        let is_head = lines.peek().is_some_and(|next| next.starts_with("|--"));
        if is_promise && line.starts_with("| ") && !is_head {
            rows.extend(line.split(" | ").next().map(|cell| cell.trim_start_matches("| ").trim()));
        }
    }
    rows
}

/// The names of the functions in a source file.
pub(crate) fn functions(source: &str) -> impl Iterator<Item = String> + '_ {
    source.lines().filter_map(|line| {
        let name = line.split_once("fn ")?.1.split('(').next()?;
        Some(name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "## Names\n| key | a |\n|---|---|\n| no promise | b |\n## Writing\n\n| what | promise |\n\
                            |---|---|\n| a new file | is there |\n| `rename` | too |\n";

    fn wrong(list: &str) -> Vec<String> {
        check(DOCUMENT, list, &["a_new_file_is_there".to_owned(), "suite:fsx".to_owned()].into())
    }

    #[test]
    fn every_promise_needs_a_test_that_exists_and_nothing_else_is_listed() {
        assert!(wrong("a new file | a_new_file_is_there\n`rename` | suite:fsx, a_new_file_is_there").is_empty());
        assert_eq!(wrong("a new file | a_new_file_is_there").len(), 1);
        assert_eq!(wrong("a new file | a_new_file_is_there\n`rename` | dreams").len(), 1);
        assert_eq!(wrong("a new file | suite:fsx\n`rename` | suite:fsx\n`link` | suite:fsx").len(), 1);
    }

    #[test]
    fn functions_are_found_by_name() {
        let found: Vec<String> = functions("    async fn it_is_so(x: u8) {\nlet y = 1;\n").collect();
        assert_eq!(found, ["it_is_so"]);
    }
}
