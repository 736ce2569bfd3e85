//! The life of a static volume, call by call.

use crate::fixture::{Mode, Node, Volume, may_mount, pairs, read_anew};
use tonic::Code;

#[test]
fn a_volume_is_read_in_two_pods_through_one_process_and_leaves_nothing_behind() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let targets = ["a", "b"].map(|pod| node.publish(&volume, pod).unwrap());
    for target in &targets {
        assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    }
    assert_eq!(node.servers().len(), 1);
    for pod in ["a", "b"] {
        node.unpublish(&volume, pod).unwrap();
    }
    assert!(targets.iter().all(|target| !target.exists()));
    node.unstage(&volume).unwrap();
    assert_eq!(node.mounts_below(), Vec::<std::path::PathBuf>::new());
    crate::fixture::wait_for("the end of its process", || node.servers().is_empty());
}

#[test]
fn every_call_can_be_repeated() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    for _ in 0..2 {
        for _ in 0..3 {
            node.stage(&volume).unwrap();
        }
        for _ in 0..3 {
            node.publish(&volume, "a").unwrap();
        }
        assert_eq!(node.mounts_below().len(), 2, "mounts do not stack");
        for _ in 0..3 {
            node.unpublish(&volume, "a").unwrap();
        }
        for _ in 0..3 {
            node.unstage(&volume).unwrap();
        }
        assert!(node.mounts_below().is_empty());
    }
}

#[test]
fn one_handle_with_other_options_is_refused_and_names_the_option() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let mut other = volume.clone();
    other.attributes.insert("blockSize".into(), "8KiB".into());
    let refused = node.stage(&other).unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(refused.message().contains("block-size") && refused.message().contains("8KiB"), "{}", refused.message());
    let refused = node.stage(&Volume { mode: Mode::MultiNodeMultiWriter, ..volume.clone() }).unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    node.stage(&volume).unwrap();
}

#[test]
fn what_is_missing_is_said_in_the_class_of_the_specification() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    assert_eq!(node.publish(&volume, "a").unwrap_err().code(), Code::FailedPrecondition, "not staged");
    node.unstage(&volume).unwrap();
    node.unpublish(&volume, "a").unwrap();
    let nowhere = Volume::at("file:///no/such/folder");
    assert_eq!(node.stage(&nowhere).unwrap_err().code(), Code::NotFound);
    assert!(node.mounts_below().is_empty(), "a mount that is not served is not left behind");
    let typing_error = Volume { attributes: pairs(&[("ulr", "s3://b")]), ..volume.clone() };
    assert_eq!(node.stage(&typing_error).unwrap_err().code(), Code::InvalidArgument);
    node.stage(&volume).unwrap();
    node.publish(&volume, "a").unwrap();
    assert_eq!(node.unstage(&volume).unwrap_err().code(), Code::FailedPrecondition, "still published");
    node.publish(&Volume { readonly: true, mode: Mode::MultiNodeMultiWriter, ..volume.clone() }, "b").unwrap();
    let one_pod = Volume { mode: Mode::SingleNodeSingleWriter, ..volume };
    assert_eq!(node.publish(&one_pod, "c").unwrap_err().code(), Code::FailedPrecondition, "one pod only");
}

#[test]
fn a_read_only_volume_is_read_only_and_a_group_owns_its_files() {
    use std::os::unix::fs::MetadataExt;
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume { group: "2000".into(), readonly: true, ..Volume::at(&node.bucket("hello")) };
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let error = std::fs::write(target.join("new"), "x").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    let object = std::fs::metadata(target.join("object")).unwrap();
    assert_eq!((object.gid(), object.mode() & 0o777), (2000, 0o440));
    assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o777, 0o550);
}

#[test]
fn room_and_condition_are_told_for_what_is_mounted_and_for_nothing_else() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let stats = node.stats(&volume, &target).unwrap();
    assert_eq!(stats.usage.len(), 2);
    assert!(!stats.volume_condition.unwrap().abnormal);
    assert_eq!(node.stats(&volume, &node.target("b")).unwrap_err().code(), Code::NotFound);
    let other = Volume { id: "other".into(), ..volume };
    assert_eq!(node.stats(&other, &target).unwrap_err().code(), Code::NotFound);
}

#[test]
fn a_link_planted_at_the_target_leads_nowhere() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let elsewhere = node.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, node.target("a")).unwrap();
    node.publish(&volume, "a").unwrap_err();
    assert_eq!(node.mounts_below().len(), 1, "nothing is mounted behind the link");
    node.unpublish(&volume, "a").unwrap();
    assert!(elsewhere.is_dir());
}

#[test]
fn many_pods_at_once_get_the_volume_that_is_theirs() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let tenants: Vec<Volume> = ["one", "two"]
        .iter()
        .map(|name| {
            let bucket = node.path(name);
            std::fs::create_dir_all(&bucket).unwrap();
            std::fs::write(bucket.join("object"), name).unwrap();
            Volume { id: (*name).to_owned(), ..Volume::at(&format!("file://{}", bucket.display())) }
        })
        .collect();
    tenants.iter().for_each(|volume| node.stage(volume).unwrap());
    let pods = 200;
    let published: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..pods)
            .map(|pod| {
                let (volume, request) =
                    (&tenants[pod % 2], node.publish_request(&tenants[pod % 2], &format!("pod-{pod}")));
                let socket = node.path("csi.sock");
                scope.spawn(move || {
                    let target = std::path::PathBuf::from(&request.target_path);
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime
                        .block_on(async { crate::fixture::connect(&socket).await.node_publish_volume(request).await })
                        .unwrap();
                    (volume.id.clone(), target)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    for (tenant, target) in &published {
        assert_eq!(&read_anew(&target.join("object")).unwrap(), tenant);
    }
    assert_eq!(node.mounts_below().len(), pods + 2);
    for (pod, volume) in (0..pods).map(|pod| (pod, &tenants[pod % 2])) {
        node.unpublish(volume, &format!("pod-{pod}")).unwrap();
    }
    tenants.iter().for_each(|volume| node.unstage(volume).unwrap());
    assert!(node.mounts_below().is_empty());
}
