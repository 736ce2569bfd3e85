//! Volumes written in a pod.

use crate::fixture::{Node, Volume, may_mount, read_anew};

#[test]
fn an_inline_volume_is_mounted_and_unmounted_with_its_pod() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let mut volume = Volume { inline: true, id: "csi-0123".into(), ..Volume::at(&node.bucket("hello")) };
    volume.attributes.insert("csi.storage.k8s.io/ephemeral".into(), "true".into());
    let target = node.publish(&volume, "a").unwrap();
    node.publish(&volume, "a").unwrap();
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    assert_eq!(node.mounts_below().len(), 1);
    node.unpublish(&volume, "a").unwrap();
    assert!(node.mounts_below().is_empty() && !target.exists());
    crate::fixture::wait_for("the end of its process", || node.servers().is_empty());
    let mut greedy = volume.clone();
    greedy.attributes.insert("mountOptions".into(), "--memory=64GiB".into());
    assert_eq!(node.publish(&greedy, "a").unwrap_err().code(), tonic::Code::InvalidArgument);
    assert!(node.mounts_below().is_empty());
}
