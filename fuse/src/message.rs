//! One table from what went wrong to what a person should do.
//!
//! Every failure a newcomer can meet has its own words and its own exit code; the same words go to the
//! terminal, the log and, through the daemon, back to whoever asked for the mount.

use rfuse_config::ConfigError;
use rfuse_fuse::kernel::{MountError, UnmountError};
use rfuse_fuse::session::SessionError;
use rfuse_store::{StoreError, StoreErrorKind};

use crate::assemble::AssembleError;
use crate::outcome::{Exit, Failure};

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let exit = match error {
            ConfigError::NoCredential { .. } => Exit::Credential,
            _ => Exit::Config,
        };
        Self::new(exit, "use the settings", error.to_string(), error.help())
    }
}

impl From<AssembleError> for Failure {
    fn from(error: AssembleError) -> Self {
        match error {
            AssembleError::Store(error) => error.into(),
            AssembleError::Mount(error) => error.into(),
            AssembleError::Session(error) => error.into(),
            AssembleError::Plan(error) => {
                let help = "`rfuse plan stats FILE` checks a plan; without --plan the mount works as ever";
                Self::new(Exit::Config, "mount", error.to_string(), help)
            }
            AssembleError::Io(doing, error) => {
                let help = "check the limits of this machine: memory, threads (ulimit -u) and open files (ulimit -n)";
                Self::new(Exit::Failed, "mount", format!("cannot {doing}: {error}"), help)
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (exit, help) = advice(error.kind);
        Self::new(exit, "reach the store", why(&error), help)
    }
}

/// What the kind means, then the store's own words.
fn why(error: &StoreError) -> String {
    use StoreErrorKind as Kind;
    let meaning = match error.kind {
        Kind::NotFound => "there is no such object",
        Kind::NoContainer => "there is no such container, bucket or directory",
        Kind::NoHost => "the host name does not exist, or this machine cannot resolve it",
        Kind::Denied => "the store refuses: this credential may not do that",
        Kind::Expired => "the credential has expired",
        Kind::BadCredential => {
            "the store does not accept the credential: unknown key, wrong signature or malformed token"
        }
        Kind::NoCredential => "no credential could be obtained",
        Kind::ClockSkew => "the clock of this machine is too far from the store's",
        Kind::Throttled => "the store asks for patience and did not recover in time",
        Kind::Unavailable => "the store fails (5xx)",
        Kind::Unreachable => "no connection: refused, unroutable, or a proxy is needed or refuses",
        Kind::Tls => "the TLS handshake failed",
        Kind::TimedOut => "no answer in the time allowed",
        Kind::Cut => "the connection broke in the middle of an answer",
        Kind::Malformed => "what answers does not speak the store's protocol",
        Kind::WrongEndpoint => "the store says that this is the wrong region or endpoint",
        Kind::Changed | Kind::Exists | Kind::PastEnd => "the object changed under the request",
        Kind::BadName => "the store cannot hold this name",
        Kind::Unsupported => "this store cannot do that",
        Kind::Full => "the store is full",
        Kind::Other => "the store says no",
    };
    format!("{meaning} ({error})")
}

fn advice(kind: StoreErrorKind) -> (Exit, &'static str) {
    use StoreErrorKind as Kind;
    match kind {
        Kind::NotFound | Kind::NoContainer => {
            (Exit::NotFound, "check the spelling of the URL; rfuse mounts what exists and creates nothing")
        }
        Kind::NoHost => {
            (Exit::Network, "check the account or --endpoint for a typing error, then DNS: getent hosts HOST")
        }
        Kind::Denied => (
            Exit::Credential,
            "a SAS needs read and list (sp=rl) on the container; an identity the role Storage Blob Data Reader, on S3 \
             s3:ListBucket and s3:GetObject; a firewall of the account refuses the same way",
        ),
        Kind::Expired => (
            Exit::Credential,
            "make a new one with at least read and list (sp=rl), put it into the file that --sas-file names; \
             the mount picks it up by itself",
        ),
        Kind::BadCredential => (
            Exit::Credential,
            "check that the token or key is whole, of this account, and not quoted; `rfuse config show` says where it \
             comes from",
        ),
        Kind::NoCredential => (
            Exit::Credential,
            "name one with --sas-file, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_KEY or --azure-auth, on S3 with \
             --aws-profile; --azure-auth or --aws-auth anonymous is for public data",
        ),
        Kind::ClockSkew => (Exit::Credential, "set the clock: timedatectl set-ntp true, then try again"),
        Kind::Throttled => (Exit::Network, "lower --requests-in-flight, or ask for a higher limit of the account"),
        Kind::Unavailable => (Exit::Network, "try again in a minute; the provider's status page knows more"),
        Kind::Unreachable => (
            Exit::Network,
            "check --endpoint and the port; behind a proxy set HTTPS_PROXY=http://HOST:PORT, and NO_PROXY for hosts \
             that need none",
        ),
        Kind::Tls => (
            Exit::Network,
            "is it plain HTTP on that port? else give the authority's certificate with --ca-file FILE.pem, and check \
             the host name and the clock",
        ),
        Kind::TimedOut | Kind::Cut => (
            Exit::Network,
            "check the way to the store: a firewall that drops packets looks like this; a private endpoint needs its \
             network, a proxy HTTPS_PROXY",
        ),
        Kind::Malformed => {
            (Exit::Network, "check --endpoint: it must be the store itself, not a web page or a proxy's login")
        }
        Kind::WrongEndpoint => (Exit::Config, "name the bucket's region with --region, or the service with --endpoint"),
        Kind::BadName => (Exit::Config, "check the prefix in the URL; write odd bytes as %XX"),
        Kind::Unsupported => (Exit::Config, "use another URL; az://, s3://, file:/// and mem: are spoken"),
        Kind::Changed | Kind::Exists | Kind::PastEnd | Kind::Full | Kind::Other => {
            (Exit::Failed, "run it again with --log-level debug, and look at the request id above with the provider")
        }
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Self {
        let why = error.to_string();
        let (exit, help): (Exit, String) = match &error {
            MountError::NoDevice => (
                Exit::NoFuse,
                "load the kernel module with `modprobe fuse`; give a container the device with --device /dev/fuse"
                    .into(),
            ),
            MountError::DeviceDenied => {
                (Exit::NoFuse, "chmod 666 /dev/fuse is the usual mode; a container needs --device /dev/fuse".into())
            }
            MountError::NotPermitted => (
                Exit::NoFuse,
                "mount as root, or install fuse3 for fusermount3; a container needs --cap-add SYS_ADMIN".into(),
            ),
            MountError::NoFusermount => {
                (Exit::NoFuse, "install the package fuse3 (apt-get install fuse3), or mount as root".into())
            }
            MountError::NoMountPoint(path) => (Exit::MountPoint, format!("create it: mkdir -p {}", path.display())),
            MountError::NotADirectory(_) => (Exit::MountPoint, "name a directory to mount on".into()),
            MountError::NotEmpty(_) => {
                (Exit::MountPoint, "name an empty directory, or hide what is in this one with --nonempty".into())
            }
            MountError::AlreadyMounted { target, .. } => {
                (Exit::MountPoint, format!("unmount it first: rfuse unmount {}", target.display()))
            }
            MountError::Fusermount(words) if words.contains("user_allow_other") => {
                (Exit::NoFuse, "put the line user_allow_other into /etc/fuse.conf, or leave --allow-other out".into())
            }
            MountError::Fusermount(words) if words.contains("no write access") => {
                (Exit::MountPoint, "mount on a directory of your own: mkdir ~/mnt".into())
            }
            MountError::Fusermount(_) | MountError::Other { .. } => {
                (Exit::MountPoint, "check the mount point's owner and permissions, and `findmnt DIR`".into())
            }
        };
        Self::new(exit, "mount", why, help)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let (exit, help) = match error {
            SessionError::KernelTooOld { .. } => (Exit::NoFuse, "use Linux 4.20 or later"),
            SessionError::Gone => (Exit::MountPoint, "somebody unmounted it at once; try again"),
            SessionError::Device(_) | SessionError::Thread(_) => {
                (Exit::Failed, "check the limits of this machine: threads (ulimit -u), open files (ulimit -n)")
            }
        };
        Self::new(exit, "mount", error.to_string(), help)
    }
}

impl From<UnmountError> for Failure {
    fn from(error: UnmountError) -> Self {
        let (exit, help) = match error {
            UnmountError::NotMounted => (Exit::NotFound, "`rfuse list` shows what is mounted"),
            UnmountError::Busy => {
                (Exit::Busy, "end those programs or leave the directory; --lazy detaches now, --force ends their reads")
            }
            UnmountError::NotPermitted => (Exit::MountPoint, "run it as who mounted, or as root"),
            UnmountError::NoFusermount => {
                (Exit::NoFuse, "install the package fuse3 (apt-get install fuse3), or unmount as root")
            }
            UnmountError::Fusermount(_) | UnmountError::Other(_) => (Exit::Failed, "`findmnt DIR` shows what is there"),
        };
        Self::new(exit, "unmount", error.to_string(), help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rfuse_store::Operation;
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    #[test]
    fn every_kind_of_store_error_has_three_whole_lines() {
        for kind in StoreErrorKind::ALL {
            let failure: Failure = StoreError::new(kind, Operation::List, "said the store").into();
            assert_eq!(failure.to_string().lines().count(), 3, "{kind:?}");
            assert!(failure.why.contains("said the store") && failure.help.len() > 20, "{kind:?}");
        }
    }

    #[test]
    fn a_newcomers_failures_are_told_apart() {
        use StoreErrorKind as Kind;
        let usual = [
            Kind::NoContainer,
            Kind::NoHost,
            Kind::Denied,
            Kind::Expired,
            Kind::BadCredential,
            Kind::NoCredential,
            Kind::ClockSkew,
            Kind::Unreachable,
            Kind::Tls,
        ];
        let texts: BTreeSet<String> = usual
            .iter()
            .map(|&kind| {
                let failure: Failure = StoreError::new(kind, Operation::List, "x").into();
                failure.help
            })
            .collect();
        assert_eq!(texts.len(), usual.len());
    }

    #[test]
    fn exit_codes_are_stable() {
        use StoreErrorKind as Kind;
        let store = |kind| Failure::from(StoreError::new(kind, Operation::List, "x")).exit as u8;
        assert_eq!(
            [
                Kind::NoContainer,
                Kind::NoHost,
                Kind::Denied,
                Kind::Expired,
                Kind::ClockSkew,
                Kind::Tls,
                Kind::Unreachable
            ]
            .map(store),
            [5, 6, 4, 4, 4, 6, 6]
        );
        let mount = |error: MountError| Failure::from(error).exit as u8;
        assert_eq!(mount(MountError::NoDevice), 8);
        assert_eq!(mount(MountError::DeviceDenied), 8);
        assert_eq!(mount(MountError::NotPermitted), 8);
        assert_eq!(mount(MountError::NoFusermount), 8);
        assert_eq!(mount(MountError::NoMountPoint(PathBuf::from("/x"))), 7);
        assert_eq!(mount(MountError::NotEmpty(PathBuf::from("/x"))), 7);
        let already = MountError::AlreadyMounted { target: "/x".into(), origin: "a".into(), kind: "fuse.rfuse".into() };
        assert_eq!(mount(already), 7);
        assert_eq!(Failure::from(ConfigError::NoCredential { why: "x".into() }).exit as u8, 4);
        assert_eq!(Failure::from(ConfigError::UnknownScheme { scheme: "x".into() }).exit as u8, 3);
        assert_eq!(Failure::from(UnmountError::Busy).exit as u8, 9);
        assert_eq!(Failure::from(UnmountError::NotMounted).exit as u8, 5);
    }
}
