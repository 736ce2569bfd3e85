//! A trace of one job is the plan of the next.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rfuse_store::pattern;

use crate::support::{Mounted, Shell, can_mount, eventually, text};

const SIZE: u64 = 8 << 20;

/// Reads every other page of `f` from its end to its beginning, in steps of three; what was wrong.
fn job(dir: &Path) {
    let file = File::open(dir.join("f")).unwrap();
    let mut page = [0; 4096];
    for at in (0..300).map(|step| (SIZE / 4096 - 1 - step * 7 % 2039) * 4096) {
        file.read_exact_at(&mut page, at).unwrap();
        assert!(page[..] == pattern::bytes(1, at, 4096), "at {at}");
    }
}

fn plan_numbers(shell: &Shell, dir: &Path) -> serde_json::Value {
    let stats: serde_json::Value = serde_json::from_str(&shell.succeed(&["stats", "--json", text(dir)])).unwrap();
    stats["ahead"]["plan"].clone()
}

#[test]
fn what_was_traced_is_there_before_it_is_read_the_next_time() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    fs::write(shell.path("source").join("f"), pattern::bytes(1, 0, SIZE as usize)).unwrap();
    let (trace, dir) = (shell.path("job.trace"), text(&mounted.dir));
    shell.succeed(&["trace", "start", dir, text(&trace)]);
    shell.fail(1, &["trace", "start", dir, text(&trace)]);
    job(&mounted.dir);
    assert!(shell.succeed(&["trace", "stop", dir]).starts_with("300 reads in "));
    shell.fail(1, &["trace", "stop", dir]);
    shell.succeed(&["unmount", dir]);

    let shown = shell.succeed(&["plan", "show", text(&trace)]);
    assert_eq!(shown.lines().next(), Some("# rfuse plan v1"));
    assert_eq!(shown.lines().nth(1), Some(format!("f\t{}\t4096", SIZE - 4096).as_str()));
    assert_eq!(shown.lines().count(), 301);
    let figures: serde_json::Value =
        serde_json::from_str(&shell.succeed(&["plan", "stats", "--json", text(&trace)])).unwrap();
    assert_eq!((figures["reads"].as_u64(), figures["bytes"].as_u64()), (Some(300), Some(300 * 4096)));
    let both = shell.path("both.plan");
    shell.succeed(&["plan", "merge", text(&trace), text(&trace), "-o", text(&both)]);
    assert!(shell.succeed(&["plan", "stats", text(&both)]).contains("600 of 1 files"));

    let source = format!("file://{}", text(&shell.path("source")));
    shell.succeed(&["mount", "--plan", text(&trace), &source, dir]);
    assert!(eventually(|| plan_numbers(&shell, &mounted.dir)["asked_bytes"].as_u64() >= Some(256 * 4096)));
    job(&mounted.dir);
    let plan = plan_numbers(&shell, &mounted.dir);
    assert_eq!((plan["position"].as_u64(), plan["strayed"].as_u64()), (Some(300), Some(0)), "{plan}");
    let stats: serde_json::Value = serde_json::from_str(&shell.succeed(&["stats", "--json", dir])).unwrap();
    let (total, hits) = (stats["reads"]["total"].as_u64().unwrap(), stats["reads"]["from_memory"].as_u64().unwrap());
    assert!(hits * 10 >= total * 8, "{hits} of {total} reads were there before they came");
    assert_eq!(stats["cache"]["fetched_bytes"].as_u64(), Some(300 * 4096), "each byte once");
    shell.succeed(&["plan", "drop", dir]);
    assert!(plan_numbers(&shell, &mounted.dir).is_null());
    shell.succeed(&["plan", "load", dir, text(&both)]);
    assert_eq!(plan_numbers(&shell, &mounted.dir)["steps"].as_u64(), Some(600));
    shell.succeed(&["unmount", dir]);
}

#[test]
fn a_plan_that_cannot_be_followed_is_no_reason_for_a_mount_without_one() {
    if !can_mount() {
        return;
    }
    let shell = Shell::new();
    let mounted = Mounted::new(&shell);
    let plan = shell.path("bad.plan");
    fs::write(&plan, "# rfuse plan v1\nf\tx\t4096\n").unwrap();
    let said = shell.fail(3, &["plan", "load", text(&mounted.dir), text(&plan)]);
    assert!(said.contains("line 2: the offset is not a number"), "{said}");
    shell.succeed(&["unmount", text(&mounted.dir)]);
    let source = format!("file://{}", text(&shell.path("source")));
    let said = shell.fail(3, &["mount", "--plan", text(&plan), &source, text(&mounted.dir)]);
    assert!(said.contains("line 2") && said.contains("rfuse plan stats"), "{said}");
    assert!(!mounted.is_mounted());
}
