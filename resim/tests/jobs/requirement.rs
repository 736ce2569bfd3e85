//! Every word of `--require`, met and missed by a real run.

use crate::fixture::{data, resim, text};

#[test]
fn every_requirement_can_be_met_and_missed() {
    let output = tempfile::tempdir().unwrap();
    let folder = text(data());
    let replay = ["replay", folder, text(output.path()), "--device=cpu", "--json", "--to=500ms"];
    let realtime = ["replay", folder, text(output.path()), "--device=cpu", "--json", "--to=300ms", "--speed=realtime"];
    let train = ["train", folder, "--device=cpu", "--json", "--batch=16"];
    let load = ["load", folder, "--device=cpu", "--json"];
    for (words, met, missed) in [
        (&replay[..], "gbps>0", "gbps>=1000"),
        (&replay, "wait<=100%", "wait<0%"),
        (&replay, "busy>0%", "busy>100%"),
        (&replay, "frames>=0.01", "frames>=1000000"),
        (&replay, "p50<=1h", "p50<500ns"),
        (&replay, "p90<=1h", "p90<500ns"),
        (&replay, "p99<=1h", "p99<500ns"),
        (&replay, "checksum", "steps>=0"),
        (&replay, "recall>=1", "recall>1"),
        (&replay, "false<=0", "false<0"),
        (&realtime, "late<=1000", "late<0"),
        (&train, "records>=0.01, steps>=0.01", "records>=1e12"),
        (&load, "blocks>0", "recall>=0"),
    ] {
        let ran = resim(&[words, &["--require", met]].concat());
        assert_eq!(ran.passed()["passed"], true, "{met}");
        let ran = resim(&[words, &["--require", missed]].concat());
        assert_eq!(ran.code, 10, "{missed}: {}", ran.stdout);
        assert!(ran.stderr.contains(missed) && ran.stderr.lines().count() == 3, "{}", ran.stderr);
        let verdict = ran.verdict();
        assert_eq!((&verdict["passed"], &verdict["complete"]), (&false.into(), &true.into()), "{missed}");
    }
}
