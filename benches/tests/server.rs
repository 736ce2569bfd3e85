//! The load server answers as the two stores do, and fails as it was told to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rfuse_benches::client::{Answer, ask, control};
use rfuse_benches::pattern;
use rfuse_benches::server::{Behaviour, Catalogue, Server};

const AZURE: &str = "x-ms-version: 2026-02-06\r\n";

fn server(behaviour: Behaviour) -> Server {
    let mut catalogue = Catalogue::default();
    catalogue.add_object_word("b/dir/big=32T").expect("the test set-up works");
    catalogue.add_object_word("b/small=10000").expect("the test set-up works");
    catalogue.add_tree_word("tree=2500,11").expect("the test set-up works");
    Server::start(catalogue, behaviour, 0, 1).expect("the test set-up works")
}

fn get(at: SocketAddr, target: &str, lines: &str) -> Answer {
    ask(at, "GET", target, lines).expect("the test set-up works")
}

#[test]
fn a_range_of_a_huge_object_holds_the_pattern_in_both_dialects() {
    let server = server(Behaviour::default());
    let offset = (32u64 << 40) - 5000;
    let range = format!("range: bytes={offset}-{}\r\n", offset + 4095);
    let seed = pattern::seed_of("b", "dir/big");
    for (target, lines) in [("/b/dir/big", range.clone()), ("/acct/b/dir/big", format!("{AZURE}x-ms-{range}"))] {
        let answer = get(server.address(), target, &lines);
        assert_eq!(answer.status, 206);
        assert!(answer.head.contains(&format!("content-range: bytes {offset}-{}/{}", offset + 4095, 32u64 << 40)));
        assert_eq!(answer.body.len(), 4096);
        assert_eq!(pattern::first_difference(seed, offset, &answer.body), None);
    }
    let stats = server.stats();
    assert_eq!((stats.gets, stats.bytes, stats.requests()), (2, 8192, 2));
}

#[test]
fn a_range_is_clipped_at_the_end_and_refused_past_it() {
    let server = server(Behaviour::default());
    assert_eq!(get(server.address(), "/b/small", "range: bytes=9999-20000\r\n").body.len(), 1);
    assert_eq!(get(server.address(), "/b/small", "range: bytes=-7\r\n").body.len(), 7);
    assert_eq!(get(server.address(), "/b/small", "range: bytes=10000-10001\r\n").status, 416);
    assert_eq!(get(server.address(), "/b/small", "").body.len(), 10_000);
}

#[test]
fn another_version_is_412_and_a_missing_name_404() {
    let server = server(Behaviour::default());
    let head = ask(server.address(), "HEAD", "/b/small", "").unwrap();
    assert!(head.head.contains("content-length: 10000") && head.body.is_empty());
    let tag = head.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    assert_eq!(get(server.address(), "/b/small", &format!("if-match: {tag}\r\n")).status, 200);
    assert_eq!(get(server.address(), "/b/small", "if-match: \"other\"\r\n").status, 412);
    assert_eq!(get(server.address(), "/b/none", "").status, 404);
    assert_eq!(get(server.address(), "/none?list-type=2", "").status, 404);
    let missing = ask(server.address(), "HEAD", "/acct/b/none", AZURE).unwrap();
    assert!(missing.status == 404 && missing.head.contains("x-ms-error-code: BlobNotFound"));
}

#[test]
fn listings_are_paged_at_each_stores_own_limit() {
    let server = server(Behaviour::default());
    let (mut target, mut keys, mut pages) = ("/tree?list-type=2".to_owned(), 0, 0);
    loop {
        let text = String::from_utf8(get(server.address(), &target, "").body).unwrap();
        keys += text.matches("<Key>").count();
        pages += 1;
        let Some((_, rest)) = text.split_once("<NextContinuationToken>") else { break };
        target = format!("/tree?list-type=2&continuation-token={}", rest.split_once('<').unwrap().0);
    }
    assert_eq!((keys, pages), (2500, 3));
    let azure = get(server.address(), "/acct/tree?restype=container&comp=list&include=metadata", AZURE);
    let text = String::from_utf8(azure.body).unwrap();
    assert_eq!(text.matches("<Blob>").count(), 2500);
    assert!(
        text.contains("<Metadata><origin>generated</origin></Metadata>") && text.contains("<NextMarker></NextMarker>")
    );
    let rolled = get(server.address(), "/tree?list-type=2&delimiter=/", "");
    assert_eq!(String::from_utf8(rolled.body).unwrap().matches("<CommonPrefixes>").count(), 10);
}

#[test]
fn an_answer_never_comes_before_its_latency() {
    let server = server(Behaviour { latency: Duration::from_millis(20), ..Behaviour::default() });
    let started = Instant::now();
    get(server.address(), "/b/small", "range: bytes=0-0\r\n");
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert!(server.stats().latency_us >= 20_000.0);
}

#[test]
fn every_kind_of_fault_is_what_it_says() {
    let server = server(Behaviour::default());
    control(server.address(), "/__set?faults=100%25&seed=4").unwrap();
    let seed = pattern::seed_of("b", "dir/big");
    for _ in 0..60 {
        let before = server.stats().faults;
        let answer = ask(server.address(), "GET", "/b/dir/big", "range: bytes=8192-12287\r\n");
        let after = server.stats().faults;
        let kind = (0..5).find(|kind| after[*kind] > before[*kind]).unwrap();
        match (kind, answer) {
            (0, Ok(answer)) => assert_eq!(answer.status, 503),
            (1, Ok(answer)) => assert_eq!(answer.status, 500),
            (2, answer) => assert!(answer.is_err()),
            (3, Ok(answer)) => {
                assert!(answer.head.contains("content-length: 4096"));
                assert_eq!(answer.body.len(), 2048);
                assert_eq!(pattern::first_difference(seed, 8192, &answer.body), None);
            }
            (4, Ok(answer)) => {
                assert!(answer.status == 206 && answer.head.contains("content-range: bytes 4096-8191/"));
                assert_eq!(pattern::first_difference(seed, 4096, &answer.body), None);
            }
            (kind, answer) => panic!("fault {kind} gave {answer:?}"),
        }
    }
    assert!(server.stats().faults.iter().all(|count| *count > 0));
}

#[test]
fn a_hanging_server_answers_when_it_is_let_go() {
    let server = server(Behaviour::default());
    control(server.address(), "/__set?hang=yes&per-block=yes").unwrap();
    let at = server.address();
    let reader = std::thread::spawn(move || get(at, "/b/small", "range: bytes=0-9\r\n"));
    while server.stats().in_flight == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!reader.is_finished());
    control(server.address(), "/__set?hang=no").unwrap();
    assert_eq!(reader.join().unwrap().body.len(), 10);
    assert_eq!(server.stats().gets_per_block_max, 1);
    assert_eq!(control(server.address(), "/__reset").unwrap().requests(), 0);
    assert!(control(server.address(), "/__set?latency=fast").is_err());
}
