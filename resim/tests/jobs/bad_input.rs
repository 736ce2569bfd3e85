//! Runs that meet something broken: said clearly, what was whole is kept, what is not whole says so.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use crate::fixture::{damaged_copy, data, replay, resim, text};

/// Changes one byte.
fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_truncated_log_is_named_and_the_others_are_replayed() {
    let input = damaged_copy(|folder| {
        let path = folder.join("drive-0001.mcap");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    });
    let (ran, output) = replay(input.path(), &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("drive-0001.mcap") && ran.stderr.contains("truncated"), "{}", ran.stderr);
    let verdict = ran.verdict();
    assert_eq!((&verdict["complete"], &verdict["passed"]), (&false.into(), &false.into()));
    assert_eq!(verdict["count"], 2 * 30, "the other log was replayed");
    assert!(output.path().join("detections.parquet").exists());
}

#[test]
fn a_log_without_an_index_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mcap");
    let options = mcap::WriteOptions::new().emit_chunk_indexes(false);
    let mut writer = options.create(BufWriter::new(File::create(&path).unwrap())).unwrap();
    let channel = writer.add_channel(0, "/a", "json", &std::collections::BTreeMap::new()).unwrap();
    let header = mcap::records::MessageHeader { channel_id: channel, sequence: 0, log_time: 1, publish_time: 1 };
    writer.write_to_known_channel(&header, b"{}").unwrap();
    writer.finish().unwrap();
    let (ran, _output) = replay(folder.path(), &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no index") && ran.stderr.contains("mcap recover"), "{}", ran.stderr);
}

#[test]
fn a_wrong_byte_in_a_log_is_found_and_the_rest_is_replayed() {
    let input = damaged_copy(|folder| flip(&folder.join("drive-0002.mcap"), 400_000));
    let (ran, _output) = replay(input.path(), &["--require=checksum"]);
    assert_eq!(ran.code, 1);
    let verdict = ran.verdict();
    assert_eq!(verdict["checksums"]["wrong"], 1);
    assert_eq!(verdict["requirements"][0]["met"], false);
    assert!(verdict["problems"][0].as_str().unwrap().contains("drive-0002.mcap"), "{verdict}");
    assert!(verdict["count"].as_u64().unwrap() > 60);
    // Without a manifest the log's own checksum says so.
    std::fs::remove_file(input.path().join("manifest.json")).unwrap();
    let (ran, _output) = replay(input.path(), &[]);
    assert_eq!((ran.code, &ran.verdict()["checksums"]["wrong"]), (1, &1.into()), "{}", ran.stderr);
}

#[test]
fn a_wrong_byte_in_tokens_is_found() {
    let input = damaged_copy(|folder| flip(&folder.join("tokens-0001.bin"), 1_234_567));
    let ran = resim(&["train", text(input.path()), "--device=cpu", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.verdict()["checksums"]["wrong"], 1);
    assert!(ran.stderr.contains("byte 1234567"), "{}", ran.stderr);
    let ran = resim(&["load", text(input.path()), "--device=cpu", "--json"]);
    assert_eq!((ran.code, &ran.verdict()["checksums"]["wrong"]), (1, &1.into()));
}

#[test]
fn a_token_file_of_another_length_than_the_manifest_says_is_refused() {
    let input = damaged_copy(|folder| {
        let file = File::options().write(true).open(folder.join("tokens-0001.bin")).unwrap();
        file.set_len(1 << 20).unwrap();
    });
    let ran = resim(&["train", text(input.path()), "--device=cpu"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("manifest says 2097152"), "{}", ran.stderr);
}

#[test]
fn a_full_output_volume_is_said_and_what_was_measured_is_told() {
    let output = tempfile::tempdir().unwrap();
    // Every write to this device fails as on a full volume.
    std::os::unix::fs::symlink("/dev/full", output.path().join("detections.mcap.partial")).unwrap();
    let ran = resim(&["replay", text(data()), text(output.path()), "--device=cpu", "--json"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("No space left") && ran.stderr.contains("make room"), "{}", ran.stderr);
    let verdict = ran.verdict();
    assert_eq!(verdict["complete"], false);
    assert!(verdict["count"].as_u64().unwrap() > 0);
    assert!(!output.path().join("detections.mcap").exists());
    assert!(output.path().join("detections.parquet.partial").exists(), "the other result is kept and marked");
}

#[test]
fn what_is_not_there_is_exit_code_5() {
    let folder = tempfile::tempdir().unwrap();
    for input in [folder.path().join("missing"), folder.path().to_path_buf()] {
        let (ran, _output) = replay(&input, &[]);
        assert_eq!(ran.code, 5, "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
    }
}

#[test]
fn a_gpu_that_is_not_there_is_said() {
    if Path::new("/dev/nvidiactl").exists() {
        eprintln!("SKIPPED: this machine has a GPU");
        return;
    }
    let output = tempfile::tempdir().unwrap();
    let ran = resim(&["replay", text(data()), text(output.path()), "--device=cuda:0"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("no GPU") && ran.stderr.contains("--device cpu"), "{}", ran.stderr);
}
