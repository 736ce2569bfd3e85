//! Whatever dies, programs go on reading, and no pod starts on a dead mount.

use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::fixture::{Node, Volume, kill, may_mount, read_anew, start_service, wait_for};

/// Programs that open, read and close without end, and count what fails.
struct Readers {
    stop: Arc<AtomicBool>,
    reads: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Readers {
    fn start(file: &std::path::Path, expected: &str, count: usize) -> Self {
        let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..count)
            .map(|_| {
                let (file, expected) = (file.to_owned(), expected.to_owned());
                let (stop, reads) = (Arc::clone(&stop), Arc::clone(&reads));
                std::thread::spawn(move || {
                    let mut failures = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        match read_anew(&file) {
                            Ok(text) if text == expected => drop(reads.fetch_add(1, Ordering::Relaxed)),
                            Ok(text) => failures.push(format!("other bytes: {text:?}")),
                            Err(error) => failures.push(error.to_string()),
                        }
                    }
                    failures
                })
            })
            .collect();
        Self { stop, reads, threads }
    }

    /// Waits until they have read some more.
    fn go_on(&self) {
        let before = self.reads.load(Ordering::Relaxed);
        wait_for("readers go on", || self.reads.load(Ordering::Relaxed) > before + 20);
    }

    fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

#[test]
fn a_plugin_that_is_killed_costs_no_read() {
    if !may_mount() {
        return;
    }
    let mut node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let readers = Readers::start(&target.join("object"), "hello", 4);
    for _ in 0..3 {
        readers.go_on();
        node.restart_plugin();
        // As a kubelet that was restarted as well.
        node.stage(&volume).unwrap();
        node.publish(&volume, "a").unwrap();
    }
    readers.go_on();
    assert_eq!(readers.failures(), Vec::<String>::new());
    node.unpublish(&volume, "a").unwrap();
    node.unstage(&volume).unwrap();
    assert!(node.mounts_below().is_empty());
}

#[test]
fn a_worker_of_the_mount_service_that_is_killed_costs_no_read() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let readers = Readers::start(&target.join("object"), "hello", 4);
    for round in 0..3 {
        let (worker, server) = (node.worker().unwrap(), node.servers());
        kill(worker);
        wait_for("another worker", || node.worker().is_some_and(|now| now != worker));
        readers.go_on();
        assert_eq!(node.servers(), server, "the process that serves has not noticed");
        // The new worker knows the old volume, and takes new ones.
        wait_for("the volume at the new worker", || node.publish(&volume, &format!("later-{round}")).is_ok());
    }
    assert_eq!(readers.failures(), Vec::<String>::new());
    // It also restarts what it has not started.
    let server = node.servers()[0];
    kill(server);
    wait_for("another process", || node.servers().first().is_some_and(|now| *now != server));
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
}

#[test]
fn a_process_that_is_killed_is_replaced_on_the_same_mount_and_programs_find_their_files_again() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let before = node.mounts_below();
    for round in 0..10 {
        assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
        let server = node.servers()[0];
        kill(server);
        // Whoever reads now waits for the next process; nothing is mounted anew.
        wait_for("programs read again", || read_anew(&target.join("object")).is_ok_and(|text| text == "hello"));
        let later = node.publish(&volume, &format!("pod-{round}")).unwrap();
        assert_eq!(read_anew(&later.join("object")).unwrap(), "hello");
        node.unpublish(&volume, &format!("pod-{round}")).unwrap();
    }
    assert_eq!(node.mounts_below(), before);
    node.unpublish(&volume, "a").unwrap();
    node.unstage(&volume).unwrap();
}

#[test]
fn a_reader_that_waits_while_the_process_dies_gets_an_answer() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let volume = Volume::at(&node.bucket(&"x".repeat(4096)));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let mut file = std::fs::File::open(target.join("object")).unwrap();
    let server = node.servers()[0];
    kill(server);
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    // An old descriptor either goes on or says that it cannot (issue 8 makes it go on); it never hangs.
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        let _ = send.send(file.read_to_string(&mut text).map(|_| text.len()));
    });
    match receive.recv_timeout(crate::fixture::LIMIT).unwrap() {
        Ok(length) => assert_eq!(length, 4096),
        Err(error) => assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::STALE.raw_os_error())),
    }
    assert_eq!(read_anew(&target.join("object")).unwrap().len(), 4096);
}

#[test]
fn a_mount_service_that_is_gone_wholly_is_repaired_at_the_next_publish_and_teardown_works_without() {
    if !may_mount() {
        return;
    }
    let mut node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let end_service = |node: &mut Node| {
        let family = crate::fixture::descendants(node.service.id());
        kill(node.service.id());
        let _ = node.service.wait();
        family.into_iter().for_each(kill);
        wait_for("the mount is dead", || std::fs::read(target.join("object")).is_err());
    };
    end_service(&mut node);
    let refused = node.publish(&volume, "b").unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "no pod starts on a dead mount");
    assert!(node.stats(&volume, &target).unwrap().volume_condition.unwrap().abnormal);
    node.service = start_service(node.folder.path());
    wait_for("the repair", || node.publish(&volume, "a").is_ok());
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    let later = node.publish(&volume, "b").unwrap();
    assert_eq!(read_anew(&later.join("object")).unwrap(), "hello");
    assert_eq!(node.mounts_below().len(), 3);
    end_service(&mut node);
    for pod in ["a", "b"] {
        node.unpublish(&volume, pod).unwrap();
    }
    node.unstage(&volume).unwrap();
    assert!(node.mounts_below().is_empty());
}

#[test]
fn a_store_that_never_answers_is_said_in_bounded_time_and_leaves_nothing() {
    if !may_mount() {
        return;
    }
    let node = Node::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut volume = Volume::at(&format!("http://{}/acme/logs", silent.local_addr().unwrap()));
    volume = volume.with_secret(&[("azurestorageaccountname", "acme"), ("azurestorageaccountsastoken", "sv=1&sig=x")]);
    volume.attributes.insert("callTimeout".into(), "2s".into());
    let refused = node.stage(&volume).unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{}", refused.message());
    assert!(node.mounts_below().is_empty());
    wait_for("the end of its process", || node.servers().is_empty());
    node.unstage(&volume).unwrap();
}

#[test]
fn a_store_that_stops_answering_holds_up_neither_figures_nor_teardown() {
    let (true, Some(container)) = (may_mount(), crate::azurite::Container::make("silent")) else { return };
    container.upload("object", b"hello");
    let node = Node::start();
    let relay = Relay::start(&container.url);
    let token = crate::azurite::sas("rl", "2099-01-01T00:00:00Z");
    let url = container.url.replace(&relay.store, &relay.address);
    let mut volume = Volume::at(&url)
        .with_secret(&[("azurestorageaccountname", crate::azurite::ACCOUNT), ("azurestorageaccountsastoken", &token)]);
    volume.attributes.insert("metadataTtl".into(), "1ms".into());
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    relay.stop();
    let object = target.join("object");
    let reader = std::thread::spawn(move || std::fs::metadata(object));
    let begun = std::time::Instant::now();
    node.stats(&volume, &target).unwrap();
    node.publish(&volume, "b").unwrap();
    for pod in ["a", "b"] {
        node.unpublish(&volume, pod).unwrap();
    }
    node.unstage(&volume).unwrap();
    assert!(begun.elapsed() < crate::fixture::LIMIT, "{:?}", begun.elapsed());
    assert!(node.mounts_below().is_empty());
    assert!(reader.join().unwrap().is_err(), "the store did answer");
}

/// Passes bytes on to a store until it is stopped; then it is silent and keeps connections open.
struct Relay {
    address: String,
    store: String,
    silent: Arc<AtomicBool>,
}

impl Relay {
    fn start(url: &str) -> Self {
        let store = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let silent = Arc::new(AtomicBool::new(false));
        let (to, quiet) = (store.clone(), Arc::clone(&silent));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = std::net::TcpStream::connect(&to) else { return };
                for (mut from, mut into) in
                    [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
                {
                    let quiet = Arc::clone(&quiet);
                    std::thread::spawn(move || {
                        let mut bytes = [0; 65_536];
                        while let Ok(length @ 1..) = from.read(&mut bytes) {
                            while quiet.load(Ordering::Relaxed) {
                                std::thread::sleep(std::time::Duration::from_millis(20));
                            }
                            if std::io::Write::write_all(&mut into, &bytes[..length]).is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self { address, store, silent }
    }

    fn stop(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_plugin_that_is_killed_while_it_stages_leaves_nothing_in_the_way_of_the_next() {
    if !may_mount() {
        return;
    }
    let mut node = Node::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let volume = Volume::at(&node.bucket("hello"));
    let mut stuck = Volume::at(&format!("http://{}/acme/logs", silent.local_addr().unwrap()));
    stuck.attributes.insert("azureAuth".into(), "anonymous".into());
    let (socket, request) = (node.path("csi.sock"), node.stage_request(&stuck));
    let call = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { crate::fixture::connect(&socket).await.node_stage_volume(request).await.is_err() })
    });
    wait_for("its process", || node.servers().len() == 1);
    let first = node.servers();
    node.restart_plugin();
    assert!(call.join().unwrap());
    // The same handle and paths; the store of the first would have kept its process for 25 s.
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    assert!(node.servers().iter().all(|server| !first.contains(server)));
    assert_eq!(node.mounts_below().len(), 2);
    node.unpublish(&volume, "a").unwrap();
    node.unstage(&volume).unwrap();
    assert!(node.mounts_below().is_empty());
}

#[test]
fn a_mount_service_that_is_asked_to_end_serves_its_last_volume_first() {
    if !may_mount() {
        return;
    }
    let mut node = Node::start();
    let volume = Volume::at(&node.bucket("hello"));
    node.stage(&volume).unwrap();
    let target = node.publish(&volume, "a").unwrap();
    let keeper = rustix::process::Pid::from_child(&node.service);
    rustix::process::kill_process(keeper, rustix::process::Signal::TERM).unwrap();
    wait_for("the word in its log", || node.logs().contains("waiting for the last volume"));
    assert_eq!(read_anew(&target.join("object")).unwrap(), "hello");
    assert!(node.service.try_wait().unwrap().is_none());
    node.unpublish(&volume, "a").unwrap();
    node.unstage(&volume).unwrap();
    wait_for("its end", || node.service.try_wait().unwrap().is_some());
    let socket = crate::fixture::text(&node.path("mounts.sock"));
    // As a child of nobody it would be found nowhere but among all.
    let is_worker = |pid: u32| {
        let line = crate::fixture::command_of(pid);
        line.contains("mount-worker") && line.contains(&socket)
    };
    wait_for("the end of its worker", || !crate::fixture::descendants(1).into_iter().any(is_worker));
}

#[test]
fn a_plugin_that_ends_late_leaves_the_registration_of_the_next_alone_and_one_that_is_lost_comes_back() {
    if !may_mount() {
        return;
    }
    let mut node = Node::start();
    let socket = node.path("registration/csi.rfuse.io-reg.sock");
    wait_for("the registration socket", || socket.exists());
    // The next is there before the first is asked to end, as when a pod is deleted by force.
    let mut first = std::mem::replace(&mut node.plugin, crate::fixture::start_plugin(node.folder.path()));
    let answers = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    wait_for("the next plugin", || node.logs().matches("ready endpoint").count() == 2);
    rustix::process::kill_process(rustix::process::Pid::from_child(&first), rustix::process::Signal::TERM).unwrap();
    first.wait().unwrap();
    assert!(answers(), "the socket of the next is gone");
    std::fs::remove_file(&socket).unwrap();
    wait_for("the socket once more", answers);
}
