//! The GPU kernels of the sample jobs, compiled from CUDA C to PTX.
//!
//! The PTX is checked in, so that building needs neither CUDA nor Python. CI compiles the sources again with the
//! pinned compiler and compares; each file's first line has the hash of what it was made from, which a unit test of
//! the job checks without a compiler.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::shell::{command, root, run_quietly, step};
use crate::tools::{self, Nvrtc};

/// The sources, without their extension; each is compiled with `shim.h` before it.
const SOURCES: [&str; 2] = ["perception", "training"];
/// The GPUs whose assembler must take the PTX: V100, T4, A100, A10, H100.
const GPUS: [&str; 5] = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90"];
/// Compiling one takes a second.
const LIMIT: Duration = Duration::from_secs(120);

/// What to do with the result.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Compare with what is checked in, and change nothing.
    #[arg(long)]
    check: bool,
}

impl Options {
    /// The comparison.
    pub(crate) fn check() -> Self {
        Self { check: true }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let folder = root().join("resim/kernels");
    let nvrtc = tools::nvrtc()?;
    let scratch = TempDir::with_prefix("rfuse-kernels-")?;
    let mut stale = Vec::new();
    for name in SOURCES {
        let made = compile(&folder, name, &nvrtc, scratch.path())?;
        assemble(&scratch.path().join(name), &nvrtc)?;
        let path = folder.join(name).with_extension("ptx");
        if std::fs::read_to_string(&path).ok().as_ref() == Some(&made) {
            continue;
        }
        stale.push(name);
        if !options.check {
            std::fs::write(&path, made)?;
        }
    }
    let kernels =
        format!("{} compiled to PTX and assembled for five GPUs", SOURCES.map(|name| format!("{name}.cu")).join(", "));
    match (options.check, stale.is_empty()) {
        (_, true) => step("kernels", format_args!("{kernels}, as checked in")),
        (false, false) => step("kernels", format_args!("{kernels}, {} written", stale.join(", "))),
        (true, false) => {
            bail!("{}.ptx is not what its source compiles to: run cargo xtask kernels", stale.join(".ptx, "))
        }
    }
    Ok(())
}

/// What a driver does at start, done by the tool of the same compiler: PTX to code, for each kind of GPU.
fn assemble(ptx: &Path, nvrtc: &Nvrtc) -> Result<()> {
    for gpu in GPUS {
        let words = ["--gpu-name", gpu, "--output-file", "/dev/null", &ptx.to_string_lossy()];
        run_quietly(&mut command(&nvrtc.assembler, &words), LIMIT).with_context(|| gpu.to_owned())?;
    }
    Ok(())
}

fn compile(folder: &Path, name: &str, nvrtc: &Nvrtc, scratch: &Path) -> Result<String> {
    let source = folder.join(name).with_extension("cu");
    let output = scratch.join(name);
    let program = folder.join("compile.py");
    let words = [&program, &nvrtc.library, folder, &source, &output].map(|path| path.to_string_lossy());
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    run_quietly(&mut command(&nvrtc.python, &words), LIMIT)?;
    let mut hash = Sha256::new();
    for part in [&folder.join("shim.h"), &source] {
        hash.update(std::fs::read(part).with_context(|| part.display().to_string())?);
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let ptx = std::fs::read_to_string(&output)?;
    Ok(format!("// made by cargo xtask kernels from {hash}\n{ptx}"))
}
