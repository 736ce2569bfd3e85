//! SAS tokens: used, refused, expired, renewed.

use crate::azurite::{ACCOUNT, Container, in_seconds, sas};
use crate::fixture::{Node, Volume, may_mount, read_anew, wait_for};
use tonic::Code;

const FAR: &str = "2099-01-01T00:00:00Z";
const FARTHER: &str = "2099-06-01T00:00:00Z";

fn secret(token: &str) -> [(&str, &str); 2] {
    [("azurestorageaccountname", ACCOUNT), ("azurestorageaccountsastoken", token)]
}

#[test]
fn a_volume_described_as_for_blob_csi_is_read_with_a_sas() {
    let (true, Some(container)) = (may_mount(), Container::make("static")) else { return };
    container.upload("run/object", b"hello");
    let node = Node::start();
    let token = format!("?{}\n", sas("rl", FAR));
    let mut volume = Volume::at("").with_secret(&secret(&token));
    volume.attributes = crate::fixture::pairs(&[
        ("protocol", "fuse2"),
        ("storageAccount", ACCOUNT),
        ("containerName", &container.name),
        ("use-adls", "true"),
        ("endpoint", container.url.rsplit_once('/').unwrap().0),
    ]);
    volume.flags = vec!["-o allow_other".into(), "--block-cache-block-size=0.00390625".into()];
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    assert_eq!(read_anew(&target.join("run/object")).unwrap(), "hello");
}

#[test]
fn a_wrong_sas_is_refused_with_names_and_leaves_no_mount() {
    let (true, Some(container)) = (may_mount(), Container::make("wrong")) else { return };
    let node = Node::start();
    let wrong = sas("rl", FAR).replace("sig=", "sig=AAAA");
    let volume = Volume::at(&container.url).with_secret(&secret(&wrong));
    let refused = node.stage(&volume).unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    for word in [ACCOUNT, &container.name, "Secret"] {
        assert!(refused.message().contains(word), "{word}: {}", refused.message());
    }
    assert!(!refused.message().contains("AAAA"), "{}", refused.message());
    assert_eq!(refused.message(), node.stage(&volume).unwrap_err().message(), "equal events add up");
    assert!(node.mounts_below().is_empty());
    let other = Volume::at(&container.url).with_secret(&[("azurestorageaccountname", "acme"), ("accountkey", "eA==")]);
    assert_eq!(node.stage(&other).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_renewed_sas_is_taken_by_the_running_mount_and_a_wrong_one_is_not() {
    let (true, Some(container)) = (may_mount(), Container::make("renewed")) else { return };
    container.upload("object", b"hello");
    let node = Node::start();
    let first = sas("rl", FAR);
    let volume = Volume::at(&container.url).with_secret(&secret(&first));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let server = node.servers();
    let wrong = sas("rl", FARTHER).replace("sig=", "sig=AAAA");
    let refused = node.publish(&volume.clone().with_secret(&secret(&wrong)), "a").unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello", "the one before stays in use");
    let renewed = sas("rl", FARTHER);
    node.publish(&volume.clone().with_secret(&secret(&renewed)), "a").unwrap();
    assert!(node.logs().contains("new credential tested and in use"));
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    assert_eq!(node.servers(), server, "nothing is started anew");
    // Another kind of credential needs another process, on the same mount.
    let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let with_key = volume.with_secret(&[("azurestorageaccountname", ACCOUNT), ("azurestorageaccountkey", key)]);
    node.publish(&with_key, "a").unwrap();
    wait_for("another process", || node.servers().first() != server.first() && !node.servers().is_empty());
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
}

#[test]
fn an_expired_sas_is_eacces_and_heals_at_the_next_publish() {
    let (true, Some(container)) = (may_mount(), Container::make("expired")) else { return };
    let files = 64;
    for number in 0..files {
        container.upload(&format!("object-{number}"), b"hello");
    }
    let node = Node::start();
    let short = sas("rl", &in_seconds(4));
    let mut volume = Volume::at(&container.url).with_secret(&secret(&short));
    // What was listed is believed; only content is asked for.
    volume.attributes.insert("metadataTtl".into(), "1h".into());
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), files);
    // Each file is read once, so that no cache answers.
    let mut number = 0;
    let mut refused = None;
    wait_for("the end of the SAS", || {
        std::thread::sleep(std::time::Duration::from_millis(250));
        number += 1;
        refused = std::fs::read(target.join(format!("object-{number}"))).err();
        refused.is_some()
    });
    assert_eq!(refused.unwrap().kind(), std::io::ErrorKind::PermissionDenied);
    let event = node.publish(&volume, "a").unwrap_err();
    assert_eq!(event.code(), Code::Unauthenticated);
    for word in ["expired", ACCOUNT, &container.name, "nodePublishSecretRef"] {
        assert!(event.message().contains(word), "{word}: {}", event.message());
    }
    assert_eq!(event.message(), node.publish(&volume, "a").unwrap_err().message(), "equal events add up");
    let renewed = sas("rl", FAR);
    node.publish(&volume.with_secret(&secret(&renewed)), "a").unwrap();
    assert_eq!(std::fs::read(target.join("object-63")).unwrap(), b"hello");
}
