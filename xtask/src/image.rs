//! Container images without a container engine: a root folder, and an archive that any runtime imports.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::dockerfiles;
use crate::shell::{cargo, command, output_of, root, run, run_quietly, step};

/// What `cargo xtask image` can be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which image.
    #[arg(value_enum, default_value = "driver")]
    which: Which,
    /// Optimised programs; building them takes minutes.
    #[arg(long)]
    release: bool,
    /// Name and tag in the archive; rfuse-csi:dev or rfuse-jobs:dev when not given.
    #[arg(long)]
    name: Option<String>,
}

/// The images that are shipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Which {
    /// Plugin, controller and mount service.
    Driver,
    /// The sample jobs.
    Jobs,
}

/// An image: its name, the folder that is its root, and the same as an archive.
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) root: PathBuf,
    pub(crate) archive: PathBuf,
    pub(crate) entrypoint: Vec<String>,
}

const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);
const COPY_LIMIT: Duration = Duration::from_secs(120);
/// Libraries that libcuda.so names and that are empty since the C library has all of it.
const STUBS: [&str; 3] =
    ["/lib/x86_64-linux-gnu/libdl.so.2", "/lib/x86_64-linux-gnu/libpthread.so.0", "/lib/x86_64-linux-gnu/librt.so.1"];
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(crate) fn run_job(options: &Options) -> Result<()> {
    let name = |usual: &str| options.name.clone().unwrap_or_else(|| usual.to_owned());
    let image = match options.which {
        Which::Driver => driver(&name("rfuse-csi:dev"), options.release)?,
        Which::Jobs => jobs(&name("rfuse-jobs:dev"), options.release)?,
    };
    step("image", format_args!("{} in {} and {}", image.name, image.root.display(), image.archive.display()));
    Ok(())
}

/// The image of plugin, controller and mount service.
pub(crate) fn driver(name: &str, release: bool) -> Result<Image> {
    let folder = programs("driver", &["rfuse-fuse", "rfuse-csi"], &["rfuse", "rfuse-csi"], release)?;
    let dockerfile = fs::read_to_string(root().join("deploy/images/Dockerfile"))?;
    covered(&folder, &dockerfiles::libraries_copied(&dockerfile).context("the Dockerfile has another base")?)?;
    if Path::new(CERTIFICATES).exists() {
        copy(Path::new(CERTIFICATES), &folder.join(&CERTIFICATES[1..]))?;
    }
    finish(name, folder, &["/usr/bin/rfuse-csi"])
}

/// The image of the sample jobs. A GPU's driver library comes in at start and needs the stubs of the C library,
/// which new programs are not linked to any more.
pub(crate) fn jobs(name: &str, release: bool) -> Result<Image> {
    let folder = programs("jobs", &["rfuse-resim"], &["rfuse-resim"], release)?;
    for library in STUBS.map(Path::new).into_iter().filter(|library| library.exists()) {
        copy(library, &folder.join(library.strip_prefix("/")?))?;
    }
    finish(name, folder, &["/usr/bin/rfuse-resim"])
}

/// Builds programs, and a folder with them and the libraries they are linked to.
fn programs(image: &str, packages: &[&str], programs: &[&str], release: bool) -> Result<PathBuf> {
    step("build", format_args!("{}{}", programs.join(" and "), if release { ", optimised" } else { "" }));
    let mut build = cargo(&["build", "--quiet"]);
    for package in packages {
        build.args(["--package", package]);
    }
    if release {
        build.arg("--release");
    }
    run(&mut build, BUILD_LIMIT)?;
    let built = target().join(if release { "release" } else { "debug" });
    let folder = fresh(image)?;
    for program in programs {
        install(&built.join(program), &folder, &format!("/usr/bin/{program}"))?;
        run_quietly(command("strip", &[]).arg(folder.join("usr/bin").join(program)), COPY_LIMIT)?;
    }
    Ok(folder)
}

/// Every library that the programs of an image need is copied by its Dockerfile too.
fn covered(image: &Path, copied: &[&str]) -> Result<()> {
    for folder in ["lib", "lib64", "usr/lib"] {
        let pattern = image.join(folder);
        let names = if pattern.exists() {
            output_of(command("find", &[]).arg(&pattern).args(["-type", "f"]))?
        } else {
            String::new()
        };
        for name in names.lines().filter_map(|path| path.rsplit('/').next()) {
            ensure!(copied.contains(&name), "the programs need {name}, and deploy/images/Dockerfile does not copy it");
        }
    }
    Ok(())
}

/// A small image with a shell, to play a user's program.
pub(crate) fn shell(name: &str) -> Result<Image> {
    crate::tools::debian(&[("busybox", "busybox-static")])?;
    let busybox = crate::tools::on_path("busybox").context("busybox is not on the path")?;
    let folder = fresh("shell")?;
    copy(&busybox, &folder.join("bin/busybox"))?;
    for applet in output_of(&mut command(&busybox, &["--list"]))?.lines() {
        if applet != "busybox" {
            std::os::unix::fs::symlink("busybox", folder.join("bin").join(applet))?;
        }
    }
    run(&mut cargo(&["build", "--quiet", "--package", "xtask", "--bin", "first-byte"]), BUILD_LIMIT)?;
    install(&target().join("debug/first-byte"), &folder, "/bin/first-byte")?;
    finish(name, folder, &["/bin/sh"])
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn fresh(name: &str) -> Result<PathBuf> {
    let folder = root().join("target/images").join(name);
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    for inside in ["etc", "tmp", "run", "usr/bin", "bin"] {
        fs::create_dir_all(folder.join(inside))?;
    }
    fs::write(folder.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")?;
    Ok(folder)
}

/// Copies a program and the libraries it is linked to.
fn install(program: &Path, folder: &Path, place: &str) -> Result<()> {
    copy(program, &folder.join(&place[1..]))?;
    for library in libraries(&output_of(command("ldd", &[]).arg(program))?) {
        copy(Path::new(&library), &folder.join(library.trim_start_matches('/')))?;
    }
    Ok(())
}

/// The files that ldd names: `NAME => FILE (…)`, or `FILE (…)` for the loader.
fn libraries(ldd: &str) -> Vec<String> {
    let words = ldd.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.map(str::to_owned).collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no parent")?)?;
    fs::copy(from, to).with_context(|| from.display().to_string())?;
    Ok(())
}

fn finish(name: &str, root: PathBuf, entrypoint: &[&str]) -> Result<Image> {
    let entrypoint: Vec<String> = entrypoint.iter().map(|word| (*word).to_owned()).collect();
    let archive = pack(name, &root, &entrypoint)?;
    Ok(Image { name: name.to_owned(), root, archive, entrypoint })
}

/// One layer, a configuration and a manifest: the archive that `docker load`, `ctr images import` and
/// `kind load image-archive` read.
fn pack(name: &str, root: &Path, entrypoint: &[String]) -> Result<PathBuf> {
    let work = root.with_extension("archive");
    fs::create_dir_all(&work)?;
    let layer = work.join("layer.tar");
    let order = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    run_quietly(command("tar", &order).arg("-cf").arg(&layer).arg("-C").arg(root).arg("."), COPY_LIMIT)?;
    let digest = Sha256::digest(fs::read(&layer)?);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no name for the architecture {other}"),
    };
    let config = serde_json::json!({
        "architecture": machine,
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/bin:/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    fs::write(work.join("config.json"), config.to_string())?;
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(work.join("manifest.json"), manifest.to_string())?;
    let archive = root.with_extension("tar");
    let parts = ["manifest.json", "config.json", "layer.tar"];
    run_quietly(command("tar", &[]).arg("-cf").arg(&archive).arg("-C").arg(&work).args(parts), COPY_LIMIT)?;
    fs::remove_dir_all(&work)?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_that_ldd_found() {
        let ldd = "\tlinux-vdso.so.1 (0x7f)\n\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x7f)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(libraries(ldd), ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(libraries("\tstatically linked\n").is_empty());
    }
}
