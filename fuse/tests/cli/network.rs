//! What can be wrong on the way to a store: each with its own words and exit code.

use std::io::Write;
use std::net::TcpListener;

use crate::support::{Azurite, Scripted, Shell};

#[test]
fn a_refused_port_is_a_network_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let endpoint = format!("http://127.0.0.1:{port}/devstoreaccount1");
    let quick = ["--tries", "1", "--call-timeout", "5s"];
    let arguments = ["check", "az://devstoreaccount1/c", "--endpoint", &endpoint];
    let said = Shell::new().fail(6, &[&arguments[..], &quick[..]].concat());
    assert!(said.contains("no connection"), "{said}");
}

#[test]
fn https_to_a_port_that_speaks_http_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let endpoint = format!("https://127.0.0.1:{port}/devstoreaccount1");
    let arguments =
        ["check", "az://devstoreaccount1/c", "--endpoint", &endpoint, "--tries", "1", "--call-timeout", "5s"];
    let said = Shell::new().fail(6, &arguments);
    assert!(said.contains("TLS"), "{said}");
}

#[test]
fn a_host_that_does_not_exist_is_said_so() {
    let arguments = [
        "check",
        "az://acme/c",
        "--azure-auth",
        "anonymous",
        "--endpoint",
        "http://no-such-host.invalid",
        "--tries",
        "1",
    ];
    let said = Shell::new().fail(6, &[&arguments[..], &["--call-timeout", "8s"]].concat());
    assert!(said.contains("host name does not exist"), "{said}");
}

#[test]
fn a_container_that_does_not_exist_is_said_so() {
    let Ok(azurite) = std::env::var("RFUSE_TEST_AZURITE") else {
        eprintln!("SKIPPED: RFUSE_TEST_AZURITE is not set");
        return;
    };
    let shell = Shell::new();
    let said = shell.fail(5, &["check", "az://devstoreaccount1/no-such-container", "--endpoint", &azurite]);
    assert!(said.contains("no such container"), "{said}");
    let mut wrong = shell.command();
    wrong.env("AZURE_STORAGE_KEY", "d3Jvbmc=").args([
        "check",
        "az://devstoreaccount1/some-container",
        "--endpoint",
        &azurite,
    ]);
    assert_eq!(wrong.output().unwrap().status.code(), Some(4));
}

#[test]
fn a_bucket_that_does_not_exist_is_said_so() {
    let server = rfuse_store::testing::S3Server::start(10).unwrap();
    let (id, secret) = server.key_pair();
    let shell = Shell::new().set("AWS_ACCESS_KEY_ID", id).set("AWS_SECRET_ACCESS_KEY", secret);
    let at = ["--endpoint", &server.url(), "--region", "us-east-1"];
    let said = shell.fail(5, &[&["check", "s3://not-there"][..], &at].concat());
    assert!(said.contains("no such container, bucket") && said.contains("check its name"), "{said}");
    let forged = Shell::new().set("AWS_ACCESS_KEY_ID", id).set("AWS_SECRET_ACCESS_KEY", "another");
    let said = forged.fail(4, &[&["check", "s3://odd-names"][..], &at].concat());
    assert!(said.contains("secret access key does not belong"), "{said}");
}

#[test]
fn a_sas_says_what_it_lacks_and_when_it_ended() {
    let Some(azurite) = Azurite::new() else { return };
    azurite.put("a", "x");
    let shell = Shell::new();
    let try_with = |sas: rfuse_config::Secret| {
        let file = shell.path("sas");
        std::fs::write(&file, sas.reveal()).unwrap();
        let file = file.to_str().unwrap().to_owned();
        for verb in
            [vec!["check", &azurite.url()], vec!["mount", &azurite.url(), shell.folder("mnt").to_str().unwrap()]]
        {
            let said = shell.fail(4, &[&verb[..], &["--endpoint", &azurite.endpoint, "--sas-file", &file]].concat());
            let signature = sas.reveal().split("sig=").nth(1).unwrap();
            assert!(!said.contains(signature), "{said}");
            if verb[0] == "mount" {
                return said;
            }
        }
        unreachable!()
    };
    let said = try_with(azurite.sas("r", 600));
    assert!(said.contains("(l)") && said.contains("sp=rl"), "{said}");
    let said = try_with(azurite.sas("rl", -7200));
    assert!(said.contains("expired") && said.contains("make a new one") && said.contains("sp=rl"), "{said}");
}

const LONG_AGO: &str = "Date: Thu, 01 Jan 2015 00:00:00 GMT\r\n";

#[test]
fn a_wrong_clock_is_told_from_a_wrong_credential() {
    let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>";
    let s3 = Scripted::refusing("403 Forbidden", LONG_AGO, body);
    let shell = Shell::new().set("AWS_ACCESS_KEY_ID", "a").set("AWS_SECRET_ACCESS_KEY", "b");
    let said = shell.fail(4, &["check", "s3://bucket", "--endpoint", &s3.url(), "--region", "us-east-1"]);
    assert!(
        said.contains("clock") && said.contains("timedatectl") && said.contains("the store's 2015-01-01"),
        "{said}"
    );
    let headers = format!("{LONG_AGO}x-ms-error-code: AuthenticationFailed\r\n");
    let azure = Scripted::refusing("403 Forbidden", &headers, "");
    let endpoint = format!("{}/devstoreaccount1", azure.url());
    let said = Shell::new().fail(4, &["check", "az://devstoreaccount1/c", "--endpoint", &endpoint]);
    assert!(said.contains("the store's 2015-01-01") && said.contains("timedatectl"), "{said}");
}

#[test]
fn a_proxy_that_wants_a_password_says_so() {
    let proxy = Scripted::refusing("407 Proxy Authentication Required", "Proxy-Authenticate: Basic\r\n", "");
    let shell = Shell::new().set("HTTPS_PROXY", proxy.url());
    let said = shell.fail(6, &["check", "az://acme/c", "--azure-auth", "anonymous", "--tries", "1"]);
    assert!(
        said.contains("the proxy wants a password") && said.contains("HTTPS_PROXY=http://USER:PASSWORD@"),
        "{said}"
    );
}

#[test]
fn a_proxy_that_refuses_or_is_not_there_is_told_apart_from_the_store() {
    let refusing = Scripted::refusing("403 Forbidden", "", "");
    let arguments = ["check", "az://acme/c", "--azure-auth", "anonymous", "--tries", "1"];
    let said = Shell::new().set("HTTPS_PROXY", refusing.url()).fail(6, &arguments);
    assert!(said.contains("the proxy refuses") && said.contains("NO_PROXY"), "{said}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = Shell::new().set("HTTPS_PROXY", gone).fail(6, &arguments);
    assert!(said.contains("through the proxy") && said.contains("HTTPS_PROXY"), "{said}");
}

#[test]
fn where_a_proxy_is_needed_the_way_to_name_it_is_said() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    // A network in which nothing can be reached.
    let shell = Shell::by(["unshare", "--net"].map(str::to_owned).to_vec());
    let arguments = ["--azure-auth", "anonymous", "--tries", "1", "--call-timeout", "5s", "--connect-timeout", "3s"];
    for place in [vec!["check", "az://acme/c"], vec!["check", "az://acme/c", "--endpoint", "http://192.0.2.1"]] {
        let said = shell.fail(6, &[&place[..], &arguments[..]].concat());
        assert!(said.contains("HTTPS_PROXY"), "{said}");
    }
}
