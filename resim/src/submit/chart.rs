//! The chart `rfuse-jobs`, inside of the binary: submitting needs no checkout.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::outcome::Failure;

/// Every file of the chart by its name.
const FILES: [(&str, &str); 10] = [
    (".helmignore", include_str!("../../../deploy/charts/rfuse-jobs/.helmignore")),
    ("Chart.yaml", include_str!("../../../deploy/charts/rfuse-jobs/Chart.yaml")),
    ("values.yaml", include_str!("../../../deploy/charts/rfuse-jobs/values.yaml")),
    ("values.schema.json", include_str!("../../../deploy/charts/rfuse-jobs/values.schema.json")),
    ("templates/_helpers.tpl", include_str!("../../../deploy/charts/rfuse-jobs/templates/_helpers.tpl")),
    ("templates/generate.yaml", include_str!("../../../deploy/charts/rfuse-jobs/templates/generate.yaml")),
    ("templates/health-check.yaml", include_str!("../../../deploy/charts/rfuse-jobs/templates/health-check.yaml")),
    ("templates/jobs.yaml", include_str!("../../../deploy/charts/rfuse-jobs/templates/jobs.yaml")),
    ("templates/service.yaml", include_str!("../../../deploy/charts/rfuse-jobs/templates/service.yaml")),
    ("templates/NOTES.txt", include_str!("../../../deploy/charts/rfuse-jobs/templates/NOTES.txt")),
];

/// A chart on disk; the built-in one is removed again.
pub(super) struct Chart {
    path: PathBuf,
    _folder: Option<TempDir>,
}

impl Chart {
    /// Another chart, or the built-in one written into a folder for temporary files.
    pub(super) fn open(other: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = other {
            std::fs::metadata(path).map_err(|error| Failure::file("read the chart", path, &error))?;
            return Ok(Self { path: path.to_path_buf(), _folder: None });
        }
        let temporary = std::env::temp_dir();
        let failed = |error| Failure::file("write the chart into", &temporary, &error);
        let folder = TempDir::with_prefix("rfuse-jobs-").map_err(failed)?;
        let path = folder.path().join("rfuse-jobs");
        std::fs::create_dir_all(path.join("templates")).map_err(failed)?;
        for (name, text) in FILES {
            std::fs::write(path.join(name), text).map_err(failed)?;
        }
        Ok(Self { path, _folder: Some(folder) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_chart_is_the_whole_chart() {
        let chart = Chart::open(None).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/charts/rfuse-jobs");
        let names = |folder: &Path| {
            let list = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = list(folder).chain(list(&folder.join("templates"))).collect();
            names.sort();
            names
        };
        assert_eq!(names(chart.path()), names(&source));
        let kept = chart.path().to_path_buf();
        drop(chart);
        assert!(!kept.exists());
    }
}
