//! An access plan: what a job will read, in its order, as text that a mount can read too.
//!
//! The first line is `# rfuse plan v1`; every other line is a path below the input, the offset and the length of a
//! read, with tabs between them. Lines that begin with `#` are remarks.

use std::io::Write;
use std::path::Path;

use crate::outcome::{Exit, Failure};
use crate::output::Output;

/// The first line.
pub(crate) const HEAD: &str = "# rfuse plan v1";

/// One read of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step<'a> {
    pub(crate) path: &'a str,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Writes a plan.
///
/// # Errors
/// The file cannot be written, or a path has a tab or a line break in it.
pub(crate) fn write<'a>(path: &Path, remark: &str, steps: impl Iterator<Item = Step<'a>>) -> Result<u64, Failure> {
    let mut output = Output::create(path)?;
    let mut count = 0;
    let failed = |error: std::io::Error| Failure::file("write", path, &error);
    writeln!(output, "{HEAD}\n# {remark}").map_err(failed)?;
    for step in steps {
        if step.path.contains(['\t', '\n', '\r']) || step.path.starts_with('#') {
            let why = format!("the name {:?} cannot stand in a plan", step.path);
            let help = "rename the file: no tab, no line break, no # at the start";
            return Err(Failure::new(Exit::Failed, format!("write {}", path.display()), why, help));
        }
        writeln!(output, "{}\t{}\t{}", step.path, step.offset, step.length).map_err(failed)?;
        count += 1;
    }
    output.finish()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_line_a_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan");
        let step = |path, offset| Step { path, offset, length: 4096 };
        assert_eq!(write(&path, "seed 1", [step("a.bin", 0), step("b/c d.bin", 8192)].into_iter()).unwrap(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "# rfuse plan v1\n# seed 1\na.bin\t0\t4096\nb/c d.bin\t8192\t4096\n");
        assert!(write(&path, "", [step("a\tb", 0)].into_iter()).is_err());
    }
}
