//! Volumes that pods write: what a closed file is worth, and what becomes of one that was not closed.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fixture::{Mode, Node, Volume, descendants, kill, may_mount, read_anew, start_service, text, wait_for};

fn written(node: &Node) -> Volume {
    Volume { mode: Mode::MultiNodeMultiWriter, ..Volume::at(&node.bucket("hello")) }
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn what_a_pod_has_closed_is_in_the_store_and_in_the_other_pod_and_leaves_nothing_on_the_node() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = written(&node);
    node.stage(&volume).unwrap();
    let [a, b] = ["a", "b"].map(|pod| node.publish(&volume, pod).unwrap());
    let root = std::fs::metadata(&a).unwrap();
    assert_eq!(root.mode() & 0o777, 0o777, "whoever the pod runs as");
    std::fs::create_dir(a.join("run-1")).unwrap();
    let result = "result ".repeat(300_000);
    std::fs::write(a.join("run-1/out"), &result).unwrap();
    assert!(std::fs::read_to_string(node.path("bucket/run-1/out")).unwrap() == result, "the store has it");
    assert!(read_anew(&b.join("run-1/out")).unwrap() == result, "the other pod has it");
    std::fs::remove_file(b.join("object")).unwrap();
    assert!(!node.path("bucket/object").exists());
    for pod in ["a", "b"] {
        node.unpublish(&volume, pod).unwrap();
    }
    node.unstage(&volume).unwrap();
    assert!(node.mounts_below().is_empty());
    assert_eq!(entries(&node.path("spool")), 0);
    wait_for("the end of its process", || node.servers().is_empty());
}

#[test]
fn reading_only_is_kept_by_the_bind_of_a_pod_and_by_the_process_of_a_volume() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let erofs = |path: &Path| std::fs::write(path, "x").unwrap_err().raw_os_error() == Some(30);
    let volume = written(&node);
    node.stage(&volume).unwrap();
    let writer = node.publish(&volume, "writer").unwrap();
    let reader = node.publish(&Volume { readonly: true, ..volume.clone() }, "reader").unwrap();
    assert!(erofs(&reader.join("new")));
    std::fs::write(writer.join("new"), "y").unwrap();
    assert_eq!(read_anew(&reader.join("new")).unwrap(), "y");
    // Somebody with the power to do so takes the kernel's flag away: the process refuses all the same.
    for (id, volume) in [
        ("mode", Volume { mode: Mode::MultiNodeReaderOnly, ..volume.clone() }),
        ("option", Volume { flags: vec!["ro".into()], ..volume }),
    ] {
        let volume = Volume { id: id.into(), ..volume };
        node.stage(&volume).unwrap();
        let staged = node.staging(id);
        assert!(erofs(&staged.join("other")), "{id}");
        let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
        rustix::mount::mount_remount(&staged, flags, c"").unwrap();
        assert!(erofs(&staged.join("other")), "{id}: {}", text(&staged));
        assert!(!node.path("bucket/other").exists());
        assert!(erofs(&node.publish(&volume, id).unwrap().join("other")), "{id}");
    }
}

#[test]
fn a_plugin_or_worker_that_is_killed_in_mid_write_costs_no_byte() {
    if !may_mount() {
        return;
    }
    let mut node = Node::start();
    let volume = written(&node);
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let mut file = std::fs::File::create(target.join("out")).unwrap();
    file.write_all(&[b'a'; 100_000]).unwrap();
    node.restart_plugin();
    file.write_all(&[b'b'; 100_000]).unwrap();
    let worker = node.worker().unwrap();
    kill(worker);
    wait_for("another worker", || node.worker().is_some_and(|now| now != worker));
    file.write_all(&[b'c'; 100_000]).unwrap();
    file.sync_all().unwrap();
    drop(file);
    let stored = std::fs::read(node.path("bucket/out")).unwrap();
    assert!(stored == [[b'a'; 100_000], [b'b'; 100_000], [b'c'; 100_000]].concat(), "{} bytes", stored.len());
    wait_for("the volume at the new worker", || node.unpublish(&volume, "a").is_ok());
    node.unstage(&volume).unwrap();
    assert_eq!(entries(&node.path("spool")), 0);
}

#[test]
fn a_process_killed_in_mid_write_is_told_or_made_good_and_what_was_written_is_stored_at_the_end() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = written(&node);
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let mut file = std::fs::File::create(target.join("out")).unwrap();
    file.write_all(&[b'a'; 100_000]).unwrap();
    let server = node.servers()[0];
    kill(server);
    wait_for("another process", || node.servers().first().is_some_and(|now| *now != server));
    // A program either goes on, or hears that it cannot; never neither.
    let rest = file.write_all(&[b'b'; 100_000]).and_then(|()| file.sync_all());
    drop(file);
    // Another file is not concerned.
    std::fs::write(target.join("next"), "next").unwrap();
    assert_eq!(std::fs::read_to_string(node.path("bucket/next")).unwrap(), "next");
    node.unpublish(&volume, "a").unwrap();
    node.unstage(&volume).unwrap();
    let stored = std::fs::read(node.path("bucket/out")).unwrap();
    let (first, all) = ([b'a'; 100_000].to_vec(), [[b'a'; 100_000], [b'b'; 100_000]].concat());
    let right = if rest.is_ok() { stored == all } else { stored == first };
    assert!(right, "{rest:?}, {} bytes", stored.len());
    assert_eq!(entries(&node.path("spool")), 0);
}

#[test]
fn a_file_written_anew_wins_over_what_a_killed_process_left_of_it_and_that_is_kept_and_said() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = written(&node);
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let mut file = std::fs::File::create(target.join("out")).unwrap();
    file.write_all(b"half").unwrap();
    let server = node.servers()[0];
    kill(server);
    wait_for("another process", || node.servers().first().is_some_and(|now| *now != server));
    let told = file.write_all(b" and half").and_then(|()| file.sync_all()).is_err();
    drop(file);
    std::fs::write(target.join("out"), "anew").unwrap();
    node.unpublish(&volume, "a").unwrap();
    node.unstage(&volume).unwrap();
    assert_eq!(std::fs::read_to_string(node.path("bucket/out")).unwrap(), "anew");
    if told {
        assert_eq!(entries(&node.path("spool")), 1);
        assert!(node.logs().contains("they stay on this node"), "it is not said");
    }
}

#[test]
fn a_mount_service_that_is_killed_in_mid_write_stores_the_rest_when_the_volume_comes_back() {
    if !may_mount() {
        return;
    }
    let mut node = Node::start();
    let volume = written(&node);
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let mut file = std::fs::File::create(target.join("out")).unwrap();
    file.write_all(&[b'a'; 100_000]).unwrap();
    let family = descendants(node.service.id());
    kill(node.service.id());
    family.into_iter().for_each(kill);
    let _ = node.service.wait();
    file.write_all(b"more").unwrap_err();
    drop(file);
    node.service = start_service(node.folder.path());
    wait_for("the volume at the new service", || node.publish(&volume, "b").is_ok());
    assert_eq!(std::fs::read(node.path("bucket/out")).unwrap(), [b'a'; 100_000]);
    let stored = node.target("b").join("out");
    assert_eq!(std::fs::metadata(stored).unwrap().len(), 100_000);
    for pod in ["a", "b"] {
        node.unpublish(&volume, pod).unwrap();
    }
    node.unstage(&volume).unwrap();
    assert_eq!(entries(&node.path("spool")), 0);
}

#[test]
fn an_inline_volume_is_written_unless_its_pod_says_read_only() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let mut volume = Volume { inline: true, mode: Mode::SingleNodeWriter, ..written(&node) };
    volume.attributes.insert("csi.storage.k8s.io/ephemeral".into(), "true".into());
    let target = node.publish(&volume, "a").unwrap();
    std::fs::write(target.join("out"), "x").unwrap();
    assert_eq!(std::fs::read_to_string(node.path("bucket/out")).unwrap(), "x");
    node.unpublish(&volume, "a").unwrap();
    assert_eq!(entries(&node.path("spool")), 0);
    let reader = Volume { id: "csi-2".into(), readonly: true, ..volume };
    let target = node.publish(&reader, "b").unwrap();
    assert_eq!(std::fs::write(target.join("out"), "y").unwrap_err().raw_os_error(), Some(30));
}

#[test]
fn the_cache_folder_of_the_node_is_found_again_by_the_next_process_and_the_next_volume() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let mut volume = Volume::at(&node.bucket(&"x".repeat(1 << 20)));
    volume.attributes.insert("cacheDir".into(), "node".into());
    volume.attributes.insert("cacheAdmit".into(), "always".into());
    let blocks = node.path("cache/blocks");
    for id in ["one", "two"] {
        let volume = Volume { id: id.into(), ..volume.clone() };
        node.stage(&volume).unwrap();
        let target = node.publish(&volume, id).unwrap();
        assert!(read_anew(&target.join("object")).unwrap().len() == 1 << 20);
        wait_for("a segment of the cache", || entries(&blocks) > 2);
    }
    assert_eq!(node.servers().len(), 2);
}

#[test]
fn a_plan_that_lies_in_the_volume_is_followed_and_one_that_does_not_is_said() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let mut volume = Volume::at(&node.bucket(&"x".repeat(1 << 20)));
    std::fs::write(node.path("bucket/plan"), "# rfuse plan v1\nobject\t0\t4096\nobject\t8192\t4096\n").unwrap();
    volume.attributes.insert("plan".into(), "plan".into());
    node.stage(&volume).unwrap();
    wait_for("the plan", || node.logs().contains("following a plan"));
    volume.id = "other".into();
    volume.attributes.insert("plan".into(), "none".into());
    node.stage(&volume).unwrap();
    wait_for("the reason", || node.logs().contains("the plan of the volume is not followed"));
    let target = node.publish(&volume, "a").unwrap();
    assert_eq!(read_anew(&target.join("object")).unwrap().len(), 1 << 20);
}
