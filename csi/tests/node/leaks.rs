//! A signature is nowhere but in memory.

use crate::azurite::{ACCOUNT, Container, sas, signature};
use crate::fixture::{Node, Volume, descendants, may_mount, read_anew};

#[test]
fn no_signature_is_in_any_environment_argument_mount_table_log_or_file() {
    let (true, Some(container)) = (may_mount(), Container::make("leaks")) else { return };
    container.upload("object", b"hello");
    let node = Node::start();
    let tokens = [sas("rl", "2099-01-01T00:00:00Z"), sas("rl", "2099-02-01T00:00:00Z")];
    let secret = |token: &str| {
        Volume::at(&container.url).with_secret(&[("accountname", ACCOUNT), ("azurestorageaccountkey", token)])
    };
    let volume = secret(&tokens[0]);
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    node.publish(&secret(&tokens[1]), "a").unwrap();
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    // Where it does not belong: in an attribute, and in one that is not known.
    for name in ["url", "storageAccount", "wat"] {
        let mut odd = Volume { id: name.to_owned(), ..secret(&tokens[0]) };
        odd.attributes.insert(name.to_owned(), format!("{}?{}", container.url, tokens[0]));
        let refused = node.stage(&odd).unwrap_err();
        assert!(!refused.message().contains(signature(&tokens[0])), "{}", refused.message());
    }
    crate::fixture::kill(node.servers()[0]);
    crate::fixture::wait_for("another process", || node.servers().len() == 1);
    let mut places = vec![("log".to_owned(), node.logs().into_bytes())];
    let processes = descendants(node.service.id()).into_iter().chain([node.plugin.id(), node.service.id()]);
    for pid in processes {
        for file in ["environ", "cmdline", "mountinfo", "status"] {
            let path = format!("/proc/{pid}/{file}");
            places.push((path.clone(), std::fs::read(path).unwrap_or_default()));
        }
    }
    let mut folders = vec![node.folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !node.mounts_below().contains(&entry.path()) {
                folders.push(entry.path());
            } else if kind.is_file() {
                places.push((entry.path().display().to_string(), std::fs::read(entry.path()).unwrap()));
            }
        }
    }
    assert!(places.len() > 10);
    for token in &tokens {
        let encoded = signature(token);
        let plain = encoded.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        for needle in [encoded.as_bytes(), plain.as_bytes()] {
            for (place, bytes) in &places {
                assert!(!bytes.windows(needle.len()).any(|window| window == needle), "a signature is in {place}");
            }
        }
    }
}
