//! Runs that go well, or miss what was asked of them.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::fixture::{data, replay, resim, text};

#[test]
fn a_replay_finds_every_object_and_keeps_its_results() {
    let (ran, output) = replay(data(), &["--require", "checksum, recall>=1, false<=0, wait<=100%"]);
    let verdict = ran.passed();
    assert_eq!(verdict["passed"], true);
    // Ten scans and ten images of two cameras a second, two logs of two seconds.
    assert_eq!(verdict["count"], 2 * 2 * (10 + 20));
    assert_eq!(verdict["checksums"]["against"], "manifest");
    assert!(verdict["recall"]["scan"]["wanted"].as_u64().unwrap() >= 4 * 40, "{verdict}");
    assert!(verdict["recall"]["image"]["wanted"].as_u64().unwrap() > 20, "{verdict}");
    let table = SerializedFileReader::new(File::open(output.path().join("detections.parquet")).unwrap()).unwrap();
    let rows = table.metadata().file_metadata().num_rows() as u64;
    assert!(rows >= verdict["recall"]["scan"]["found"].as_u64().unwrap(), "{rows} rows");
    let log = std::fs::read(output.path().join("detections.mcap")).unwrap();
    let summary = mcap::Summary::read(&log).unwrap().unwrap();
    assert_eq!(summary.stats.unwrap().message_count, verdict["count"].as_u64().unwrap());
    let page = std::fs::read_to_string(output.path().join("report.html")).unwrap();
    assert!(page.contains("PASS") && page.contains("Where it read"));
    let kept = std::fs::read_to_string(output.path().join("verdict.json")).unwrap();
    assert_eq!(kept.trim(), ran.stdout.trim());
}

#[test]
fn answers_do_not_depend_on_threads() {
    let (one, _output) = replay(data(), &["--readers=1", "--decoders=1", "--ahead=1"]);
    let (many, _output) = replay(data(), &["--readers=8", "--decoders=3", "--ahead=32"]);
    assert_eq!(one.passed()["answer"], many.passed()["answer"]);
}

#[test]
fn a_window_of_time_and_topics_reads_less() {
    let (all, _output) = replay(data(), &[]);
    let (some, _output) = replay(data(), &["--topic=/lidar/top", "--from=0.5s", "--to=1s"]);
    let (all, some) = (all.passed(), some.passed());
    assert_eq!(some["count"], 2 * 5);
    assert!(some["bytes"].as_u64() < all["bytes"].as_u64());
    assert!(some.get("recall").is_none(), "no truth was read: {some}");
}

#[test]
fn parts_share_the_logs() {
    let (first, _output) = replay(data(), &["--part=0/2"]);
    let (second, _output) = replay(data(), &["--part=1/2"]);
    let (first, second) = (first.passed(), second.passed());
    assert_eq!((&first["files"][0], &second["files"][0]), (&"drive-0001.mcap".into(), &"drive-0002.mcap".into()));
    let (none, _output) = replay(data(), &["--part=2/3"]);
    assert_eq!(none.code, 5, "{}", none.stderr);
}

#[test]
fn realtime_takes_as_long_as_it_was_recorded() {
    let log = data().join("drive-0001.mcap");
    let (ran, _output) = replay(&log, &["--speed=realtime", "--to=1s"]);
    let verdict = ran.passed();
    assert!(verdict["seconds"].as_f64().unwrap() >= 0.9, "{verdict}");
    assert!(verdict["late_frames"].is_u64());
}

#[test]
fn a_missed_requirement_is_exit_code_10_and_everything_is_kept() {
    let (ran, output) = replay(data(), &["--require=gbps>=100000, checksum"]);
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("gbps>=100000"), "{}", ran.stderr);
    let verdict = ran.verdict();
    assert_eq!((&verdict["passed"], &verdict["complete"]), (&false.into(), &true.into()));
    assert_eq!(verdict["requirements"][1]["met"], true);
    assert!(output.path().join("report.html").exists());
}

#[test]
fn training_reads_the_same_whatever_the_way_and_the_workers() {
    let train = |more: &[&str]| {
        let mut arguments = vec!["train", text(data()), "--device=cpu", "--json", "--require=checksum", "--epochs=2"];
        arguments.extend(more);
        resim(&arguments).passed()
    };
    let mapped = train(&["--access=mmap", "--workers=1"]);
    assert_eq!(mapped["count"], 2 * 512);
    assert_eq!(mapped["checksums"]["checked"], 2 * 512);
    assert_eq!(mapped["answer"], train(&["--access=pread", "--workers=4"])["answer"]);
    assert_ne!(mapped["answer"], train(&["--seed=2"])["answer"]);
    assert_eq!(train(&["--steps=3"])["count"], 3 * 64);
}

#[test]
fn a_plan_names_every_record_once_an_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan");
    let ran = resim(&["train", text(data()), "--write-plan", text(&plan)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let plan = std::fs::read_to_string(plan).unwrap();
    let mut lines = plan.lines();
    assert_eq!(lines.next(), Some("# rfuse plan v1"));
    let mut offsets: Vec<u64> = lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            ["tokens-0001.bin", offset, "4096"] => offset.parse().unwrap(),
            ref other => panic!("{other:?}"),
        })
        .collect();
    assert!(!offsets.is_sorted(), "the plan is not shuffled");
    offsets.sort_unstable();
    assert!(offsets.into_iter().eq((0..512).map(|record| record * 4096)));
}

#[test]
fn plans_of_a_replay_and_a_load_name_what_these_read() {
    let folder = tempfile::tempdir().unwrap();
    let planned = |arguments: &[&str]| {
        let path = folder.path().join("plan");
        let ran = resim(&[arguments, &["--write-plan", text(&path)]].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let plan = std::fs::read_to_string(path).unwrap();
        let lengths = plan.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit('\t').next().unwrap());
        lengths.map(|length| length.parse::<u64>().unwrap()).sum::<u64>()
    };
    let (ran, output) = replay(data(), &["--topic=/lidar/top", "--to=1s"]);
    let replayed = planned(&["replay", text(data()), text(output.path()), "--topic=/lidar/top", "--to=1s"]);
    assert_eq!(ran.passed()["bytes"], replayed);
    let loaded = planned(&["load", text(data()), "--pattern=random", "--block=64KiB"]);
    assert_eq!(resim(&["load", text(data()), "--device=cpu", "--json"]).passed()["bytes"], loaded);
}

#[test]
fn a_load_copies_and_checks() {
    let copy = tempfile::tempdir().unwrap();
    let ran = resim(&["load", text(data()), "--copy", text(copy.path()), "--device=cpu", "--json", "--block=256KiB"]);
    let verdict = ran.passed();
    assert_eq!(verdict["bytes"], verdict["written_bytes"]);
    for name in ["drive-0001.mcap", "tokens-0001.bin"] {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(data()) == read(copy.path()), "{name} differs");
    }
    let random = resim(&["load", text(data()), "--pattern=random", "--device=cpu", "--json", "--block=64KiB"]);
    assert_eq!(random.passed()["answer"], verdict["answer"]);
}

#[test]
fn wrong_words_are_exit_code_2() {
    for arguments in [
        &["replay", "a", "b", "--require=speed>=1"][..],
        &["replay", "a", "b", "--device=gpu"],
        &["train", "a", "--record=3"],
        &["load", "a", "--copy=b", "--pattern=random"],
        &["generate", "a", "--logs=0"],
    ] {
        let ran = resim(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
    }
}
