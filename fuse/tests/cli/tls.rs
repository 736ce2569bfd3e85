//! TLS: whom we trust, and a mount that reads through it.

use crate::support::{Azurite, Certificate, Mounted, Proxy, Shell, TlsServer, can_mount, text};

fn check<'a>(endpoint: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["check", "az://devstoreaccount1/c", "--tries", "1", "--endpoint", endpoint][..], more].concat()
}

#[test]
fn an_authority_nobody_knows_is_a_tls_failure_that_says_how_to_trust_it() {
    let Some(certificate) = Certificate::new() else { return };
    let endpoint = format!("{}/devstoreaccount1", TlsServer::start(&certificate).url());
    let said = Shell::new().fail(6, &check(&endpoint, &[]));
    assert!(said.contains("an authority unknown here") && said.contains("--ca-file"), "{said}");
    // Trusted, the server is heard: it knows no container.
    let file = certificate.path();
    let trusting = ["--ca-file", text(&file)];
    assert!(Shell::new().fail(5, &check(&endpoint, &trusting)).contains("no such container"));
    let by_variable = Shell::new().set("SSL_CERT_FILE", certificate.path());
    assert!(by_variable.fail(5, &check(&endpoint, &[])).contains("no such container"));
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let Some(certificate) = Certificate::new() else { return };
    let endpoint = TlsServer::start(&certificate).url().replace("127.0.0.1", "localhost");
    let endpoint = format!("{endpoint}/devstoreaccount1");
    let said = Shell::new().fail(6, &check(&endpoint, &["--ca-file", text(&certificate.path())]));
    assert!(said.contains("for another name"), "{said}");
}

#[test]
fn a_mount_reads_from_a_real_store_through_tls() {
    if !can_mount() {
        return;
    }
    let Some((azurite, certificate)) = Azurite::with_tls() else { return };
    let content: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[0]).collect();
    azurite.put("data.bin", content.clone());
    let shell = Shell::new();
    let refused = shell.fail(6, &["check", &azurite.url(), "--endpoint", &azurite.endpoint, "--tries", "1"]);
    assert!(refused.contains("an authority unknown here"), "{refused}");
    let shell = Shell::new().set("SSL_CERT_FILE", &certificate);
    let mounted = Mounted::of(&shell, &azurite.url(), &["--endpoint", &azurite.endpoint]);
    assert!(std::fs::read(mounted.path("data.bin")).unwrap() == content);
    assert!(mounted.stats().store.received_bytes >= 1_000_003);
}

#[test]
fn a_mount_reads_through_a_proxy_that_opens_tunnels() {
    if !can_mount() {
        return;
    }
    let Some((azurite, certificate)) = Azurite::with_tls() else { return };
    azurite.put("data.txt", "through a tunnel");
    let host = azurite.endpoint.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap();
    let proxy = Proxy::to(host.to_owned());
    let shell = Shell::new().set("SSL_CERT_FILE", &certificate).set("HTTPS_PROXY", proxy.url());
    let mounted = Mounted::of(&shell, &azurite.url(), &["--endpoint", &azurite.endpoint]);
    assert_eq!(std::fs::read_to_string(mounted.path("data.txt")).unwrap(), "through a tunnel");
    assert!(proxy.tunnels() >= 1);
}
