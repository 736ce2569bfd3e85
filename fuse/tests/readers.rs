//! The libraries people read with, on real mounts of real stores, value by value against a plain folder.
//!
//! `readers/read.py` makes the files and runs numpy, pyarrow, h5py, safetensors, mcap, zarr and tar readers.
//! It needs a Python with those libraries (`RFUSE_TEST_PYTHON`) and the servers of `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bytes::Bytes;
use rfuse_block::ObjectKey;
use rfuse_config::{AwsCredential, Location, Secret, StoreConfig};
use rfuse_store::{Precondition, PutOptions};

/// A mounted folder, unmounted when dropped.
struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    fn new(url: &str, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = rfuse();
        mount.args(["mount", url]).arg(folder.path()).args(flags).envs(variables.iter().copied());
        expect_success(&mount.output().unwrap(), "rfuse mount");
        Self { folder }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let ended = rfuse().arg("unmount").arg(self.folder.path()).output().unwrap();
        if !std::thread::panicking() {
            expect_success(&ended, "rfuse unmount");
        }
    }
}

fn rfuse() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rfuse"))
}

fn expect_success(output: &Output, what: &str) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&said));
}

/// A Python with the libraries, and `/dev/fuse`; or the reason why not, said loudly.
fn python() -> Option<PathBuf> {
    if !Path::new("/dev/fuse").exists() {
        eprintln!("SKIPPED: the readers need /dev/fuse");
        return None;
    }
    let python = std::env::var_os("RFUSE_TEST_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!(
            "SKIPPED: the readers need RFUSE_TEST_PYTHON, a Python with numpy, pyarrow, h5py, safetensors, mcap, zarr"
        );
    }
    python
}

fn script(python: &Path, arguments: &[&Path]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/read.py");
    let mut run = Command::new(python);
    run.arg(script).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    run.output().unwrap()
}

fn samples(python: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    expect_success(&script(python, &[Path::new("write"), folder.path()]), "read.py write");
    folder
}

fn compare(python: &Path, samples: &Path, mount: &Path) {
    let output = script(python, &[Path::new("compare"), samples, mount]);
    expect_success(&output, "read.py compare");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().filter(|line| line.ends_with(": same")).count(), 10, "{said}");
}

/// Puts every file below `folder` into the store, under its relative path.
fn upload(config: &StoreConfig, folder: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        rfuse_store::testing::create_container(config).await.unwrap();
        let store = rfuse_store::open(config).await.unwrap().store;
        let mut folders = vec![folder.to_path_buf()];
        while let Some(inside) = folders.pop() {
            for entry in std::fs::read_dir(inside).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let key = ObjectKey::from(path.strip_prefix(folder).unwrap().to_str().unwrap());
                let body = Bytes::from(std::fs::read(&path).unwrap());
                store.put(&key, body, &Precondition::None, &PutOptions::default()).await.unwrap();
            }
        }
    });
}

#[test]
fn every_reader_sees_the_same_on_a_mounted_folder() {
    let Some(python) = python() else { return };
    let samples = samples(&python);
    let mount = Mounted::new(&format!("file://{}", samples.path().display()), &[], &[]);
    compare(&python, samples.path(), mount.folder.path());
}

#[test]
fn every_reader_sees_the_same_on_azure_blob() {
    let Some(python) = python() else { return };
    let Ok(endpoint) = std::env::var("RFUSE_TEST_AZURITE") else {
        eprintln!("SKIPPED: the readers on Azure Blob need RFUSE_TEST_AZURITE");
        return;
    };
    let samples = samples(&python);
    let container = format!("readers-{}", std::process::id());
    let mut config = StoreConfig::at(Location::Azure {
        account: "devstoreaccount1".to_owned(),
        container: container.clone(),
        prefix: Vec::new(),
    });
    config.endpoint = Some(endpoint.clone());
    upload(&config, samples.path());
    let mount = Mounted::new(&format!("az://devstoreaccount1/{container}"), &["--endpoint", &endpoint], &[]);
    compare(&python, samples.path(), mount.folder.path());
}

#[test]
fn every_reader_sees_the_same_on_s3() {
    let Some(python) = python() else { return };
    let server =
        (std::env::var("RFUSE_TEST_S3"), std::env::var("RFUSE_TEST_S3_KEY"), std::env::var("RFUSE_TEST_S3_SECRET"));
    let (Ok(endpoint), Ok(key), Ok(secret)) = server else {
        eprintln!("SKIPPED: the readers on S3 need RFUSE_TEST_S3, RFUSE_TEST_S3_KEY and RFUSE_TEST_S3_SECRET");
        return;
    };
    let samples = samples(&python);
    let bucket = format!("readers-{}", std::process::id());
    let mut config = StoreConfig::at(Location::S3 { bucket: bucket.clone(), prefix: Vec::new() });
    config.endpoint = Some(endpoint.clone());
    config.aws = AwsCredential::Keys { id: key.clone(), secret: Secret::new(secret.as_str()), session_token: None };
    upload(&config, samples.path());
    let variables = [("AWS_ACCESS_KEY_ID", key.as_str()), ("AWS_SECRET_ACCESS_KEY", secret.as_str())];
    let mount = Mounted::new(&format!("s3://{bucket}"), &["--endpoint", &endpoint], &variables);
    compare(&python, samples.path(), mount.folder.path());
}
