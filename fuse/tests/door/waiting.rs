//! A store that does not answer: signals and deadlines end the wait, and nobody is left behind.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rfuse_fuse::kernel::{Unmount, unmount};
use rfuse_store::MemoryStore;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::fixture::{LONG, Mounted, Setup, ended, until};

fn hanging(setup: &Setup) -> Option<Mounted> {
    let memory = MemoryStore::new();
    memory.put_pattern("f", 1 << 20, 1);
    let mounted = Mounted::new(memory, setup)?;
    mounted.gate.shut();
    Some(mounted)
}

/// A process that reads the first page, direct or through the page cache.
fn reader(mounted: &Mounted, direct: bool) -> Child {
    let mut command = Command::new("dd");
    command.arg(format!("if={}", mounted.path("f").display())).args(["of=/dev/null", "bs=4096", "count=1"]);
    if direct {
        command.arg("iflag=direct");
    }
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    until("the read has reached the store", || mounted.gate.waiting() > 0);
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// The deadline is a minute here, so whatever ends within seconds was not ended by it.
#[test]
fn a_signal_ends_a_read_and_its_request_to_the_store() {
    for number in [Signal::TERM, Signal::KILL] {
        let Some(mounted) = hanging(&Setup { direct_io: true, ..Setup::default() }) else { return };
        let mut child = reader(&mounted, false);
        signal(&child, number);
        assert_eq!(ended(&mut child).signal(), Some(number.as_raw()));
        until("the request to the store is dropped", || mounted.gate.waiting() == 0);
        until("the kernel has its answer", || mounted.counters.outstanding() == 0);
    }
}

/// The kernel waits for `O_DIRECT` without listening to signals (docs/decisions/0011).
#[test]
fn a_killed_o_direct_reader_is_gone_at_the_deadline() {
    let Some(mounted) = hanging(&Setup { deadline: Duration::from_secs(1), ..Setup::default() }) else { return };
    let mut child = reader(&mounted, true);
    signal(&child, Signal::KILL);
    assert_eq!(ended(&mut child).signal(), Some(Signal::KILL.as_raw()));
    until("the request to the store is dropped", || mounted.gate.waiting() == 0);
}

#[test]
fn a_program_that_catches_the_signal_gets_its_turn() {
    let Some(mounted) = hanging(&Setup { direct_io: true, ..Setup::default() }) else { return };
    let script = "import os, signal, sys\ndef late(*_):\n    sys.exit(7)\nsignal.signal(signal.SIGUSR1, late)\n\
                  os.read(os.open(sys.argv[1], os.O_RDONLY), 4096)\n";
    let Ok(mut child) = Command::new("python3").args(["-c", script]).arg(mounted.path("f")).spawn() else {
        eprintln!("SKIPPED: needs python3");
        return;
    };
    until("the read has reached the store", || mounted.gate.waiting() > 0);
    signal(&child, Signal::USR1);
    assert_eq!(ended(&mut child).code(), Some(7));
    until("the request to the store is dropped", || mounted.gate.waiting() == 0);
}

#[test]
fn a_signal_ends_a_buffered_read() {
    for number in [Signal::TERM, Signal::KILL] {
        let Some(mounted) = hanging(&Setup::default()) else { return };
        let mut child = reader(&mounted, false);
        signal(&child, number);
        assert_eq!(ended(&mut child).signal(), Some(number.as_raw()));
    }
}

#[test]
fn two_readers_of_a_store_that_hangs_get_eio_at_the_deadline() {
    let deadline = Duration::from_secs(1);
    for direct_io in [false, true] {
        let Some(mounted) = hanging(&Setup { deadline, direct_io, ..Setup::default() }) else { return };
        let start = Instant::now();
        let results: Vec<_> = std::thread::scope(|scope| {
            let read = || File::open(mounted.path("f")).unwrap().read_at(&mut [0; 4096], 0);
            let readers: Vec<_> = (0..2).map(|_| scope.spawn(read)).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        for result in results {
            assert_eq!(Errno::from_io_error(&result.unwrap_err()), Some(Errno::IO));
        }
        assert!(start.elapsed() >= deadline && start.elapsed() < LONG);
        until("the requests to the store are dropped", || mounted.gate.waiting() == 0);
        // What hung does not poison the file.
        mounted.gate.open();
        assert_eq!(File::open(mounted.path("f")).unwrap().read_at(&mut [0; 4096], 0).unwrap(), 4096);
    }
}

#[test]
fn a_second_reader_of_a_page_that_hangs_can_be_killed() {
    let Some(mounted) = hanging(&Setup::default()) else { return };
    let mut first = reader(&mounted, false);
    let mut second = reader(&mounted, false);
    std::thread::sleep(Duration::from_millis(100));
    signal(&second, Signal::KILL);
    assert_eq!(ended(&mut second).signal(), Some(Signal::KILL.as_raw()));
    signal(&first, Signal::KILL);
    assert_eq!(ended(&mut first).signal(), Some(Signal::KILL.as_raw()));
}

#[test]
fn force_unmounts_while_the_store_hangs() {
    let Some(mounted) = hanging(&Setup::default()) else { return };
    let mut child = reader(&mounted, true);
    unmount(&mounted.mount.target, Unmount::Force).unwrap();
    assert!(!ended(&mut child).success());
    mounted.join();
}
