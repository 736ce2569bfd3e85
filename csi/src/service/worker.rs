//! The worker of the mount service: answers the plugin.
//!
//! Bounds: 32 connections at once, 512 volumes, 5 s for a request to arrive.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rfuse_config::ByteSize;
use rfuse_host::handover::{self, DESCRIPTORS_MAX, Refusal, Serve};

use super::keeper::{KeeperLink, Kept};
use super::places::{Left, Places};
use super::supervised::{Keep, Supervised};
use super::words::{Needs, NodeStatus, Request, Response};
use super::{Options, VOLUMES_MAX, promise};

const CONNECTIONS_MAX: usize = 32;
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Every volume, by handle.
struct Registry {
    volumes: Mutex<HashMap<String, Arc<Supervised>>>,
    keeper: Option<KeeperLink>,
    rfuse: PathBuf,
    first_user: Option<u32>,
    places: Places,
}

/// Serves `options.socket` until the process ends; takes back what a keeper at standard input kept.
///
/// # Errors
/// When the socket cannot be made.
pub fn run(options: &Options, keeper: Option<UnixStream>) -> io::Result<()> {
    let (keeper, kept) = match keeper {
        Some(stream) => KeeperLink::open(stream).map(|(link, kept)| (Some(link), kept))?,
        None => (None, Vec::new()),
    };
    let registry = Arc::new(Registry {
        volumes: Mutex::default(),
        keeper,
        rfuse: options.rfuse.clone(),
        first_user: options.first_user,
        places: options.places.clone(),
    });
    for (kept, descriptors) in kept {
        registry.take_back(kept, descriptors);
    }
    let listener = bind(&options.socket)?;
    tracing::info!(socket = %options.socket.display(), volumes = registry.lock().len(), "mount service ready");
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if connections.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            connections.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (registry, connections) = (Arc::clone(&registry), Arc::clone(&connections));
        std::thread::spawn(move || {
            if let Err(error) = registry.converse(&stream) {
                tracing::debug!(%error, "a client left");
            }
            connections.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn bind(socket: &Path) -> io::Result<UnixListener> {
    // Left by a worker that died; the folder belongs to the service alone.
    let _ = std::fs::remove_file(socket);
    let listener = UnixListener::bind(socket)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", socket.display())))?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Registry {
    fn converse(self: &Arc<Self>, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(REQUEST_TIME))?;
        stream.set_write_timeout(Some(REQUEST_TIME))?;
        let (request, descriptors) = handover::receive(stream)?;
        let response = match request {
            Request::Ping => Response::Done,
            Request::Start { id, serve, needs } => done(self.start(&id, *serve, needs, descriptors)),
            Request::Renew { id, secrets } => match self.get(&id) {
                Some(volume) => match volume.renew(&secrets) {
                    Ok(renewal) => {
                        self.keep(&volume);
                        Response::Renewed(renewal)
                    }
                    Err(refusal) => Response::Refused(refusal),
                },
                None => Response::Refused(unknown(&id)),
            },
            Request::Credential { id } => match self.get(&id).map(|volume| volume.credential()) {
                Some(Ok(renewal)) => Response::Renewed(renewal),
                Some(Err(refusal)) => Response::Refused(refusal),
                None => Response::Refused(unknown(&id)),
            },
            Request::Status { id } => {
                Response::Volumes(self.get(&id).map(|volume| volume.status(false)).into_iter().collect())
            }
            Request::List { numbers } => {
                let volumes: Vec<_> = self.lock().values().cloned().collect();
                Response::Volumes(volumes.iter().map(|volume| volume.status(numbers)).collect())
            }
            Request::Stop { id } => match self.stop(&id) {
                Left::Nothing => Response::Done,
                Left::Files(spool) => Response::Unfinished { spool: spool.display().to_string() },
            },
            Request::Node => Response::Node(self.node()),
        };
        handover::send(stream, &response, &[])
    }

    fn start(
        self: &Arc<Self>,
        id: &str,
        mut serve: Serve,
        needs: Needs,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(), Refusal> {
        let url = serve.url.clone();
        let refused = |why: &str| Refusal {
            exit: 1,
            what: format!("mount {url}"),
            why: why.to_owned(),
            help: "the log of the mount service says more".to_owned(),
        };
        if descriptors.is_empty() || descriptors.len() > DESCRIPTORS_MAX {
            return Err(refused("no descriptor came with the request"));
        }
        let volume = {
            let mut volumes = self.lock();
            if volumes.contains_key(id) {
                return Err(refused("it is served already"));
            }
            if volumes.len() >= VOLUMES_MAX {
                return Err(refused(&format!(
                    "{VOLUMES_MAX} volumes are served already, which is all this node may have"
                )));
            }
            let user = self.furnish(id, &mut serve, needs, &volumes).map_err(|error| refused(&error.to_string()))?;
            let volume = Supervised::new(id.to_owned(), self.rfuse.clone(), user, serve, descriptors);
            volumes.insert(id.to_owned(), Arc::clone(&volume));
            volume
        };
        let begun = volume.begin(self.keeping(), self.over(id));
        match begun {
            Ok(()) => self.weigh(),
            Err(_) => self.forget(id, &volume),
        }
        begun
    }

    fn node(&self) -> NodeStatus {
        let volumes: Vec<_> = self.lock().values().cloned().collect();
        NodeStatus {
            unfinished: self.places.abandoned(volumes.iter().map(|volume| volume.id.as_str())),
            memory_promised: volumes.iter().map(|volume| promise::of(&volume.order().settings)).sum(),
            memory_limit: promise::limit(),
        }
    }

    /// Says so when volumes may take more than there is; they are served all the same, for few fill their caches.
    fn weigh(&self) {
        let NodeStatus { memory_promised, memory_limit, .. } = self.node();
        if let Some(limit) = memory_limit.filter(|limit| memory_promised > *limit) {
            let (promised, limit) = (ByteSize(memory_promised >> 20 << 20), ByteSize(limit));
            tracing::warn!(
                %promised, %limit,
                "the volumes of this node may take more memory than their container has; raise \
                 mounts.resources.limits.memory or lower the volumes' memory"
            );
        }
    }

    /// Gives a volume its folders; the user its processes run as.
    fn furnish(
        &self,
        id: &str,
        serve: &mut Serve,
        needs: Needs,
        volumes: &HashMap<String, Arc<Supervised>>,
    ) -> io::Result<Option<u32>> {
        // Those who share a folder are one user: the first. The others have one each.
        let mut user = match self.first_user {
            Some(first) if needs.cache && self.places.cache.is_some() => Some(first),
            Some(first) => free_user(first + 1, volumes, &self.places.owners()),
            None => None,
        };
        if needs.spool {
            let (path, owner) = self.places.spool(id, user)?;
            serve.settings.insert("spool".to_owned(), path.display().to_string());
            if owner != user && needs.cache {
                tracing::warn!(volume = id, spool = %path.display(), "unfinished files keep this volume from the disk cache");
            }
            user = owner;
        }
        if needs.cache && (self.first_user.is_none() || user == self.first_user) {
            // A cache that cannot be had is no reason for no volume.
            match self.places.cache(user) {
                Ok(Some(cache)) => {
                    serve.settings.insert("cache-dir".to_owned(), cache.dir.display().to_string());
                    serve.settings.insert("cache-size".to_owned(), cache.size.clone());
                }
                Ok(None) => {
                    tracing::warn!(volume = id, "this node has no cache folder; the volume has its memory only");
                }
                Err(error) => tracing::warn!(volume = id, %error, "the cache folder cannot be used"),
            }
        }
        Ok(user)
    }

    fn take_back(self: &Arc<Self>, kept: Kept, mut descriptors: Vec<OwnedFd>) {
        // The socket of the process came first.
        if descriptors.len() < 2 {
            return;
        }
        let stream = UnixStream::from(descriptors.remove(0));
        let volume = Supervised::new(kept.id.clone(), self.rfuse.clone(), kept.user, *kept.serve, descriptors);
        self.lock().insert(kept.id.clone(), Arc::clone(&volume));
        volume.resume(stream, kept.pid, self.keeping(), self.over(&kept.id));
    }

    fn stop(&self, id: &str) -> Left {
        if let Some(volume) = self.get(id) {
            volume.leave();
            self.forget(id, &volume);
        }
        let left = self.places.leave(id);
        if let Left::Files(spool) = &left {
            tracing::error!(volume = id, spool = %spool.display(), "files that were written are not stored; they stay on this node");
        }
        left
    }

    /// What is done when a volume is unmounted everywhere.
    fn over(self: &Arc<Self>, id: &str) -> impl FnOnce() + Send + 'static + use<> {
        let (this, id) = (Arc::clone(self), id.to_owned());
        move || {
            if let Some(volume) = this.get(&id) {
                this.forget(&id, &volume);
            }
        }
    }

    fn forget(&self, id: &str, volume: &Arc<Supervised>) {
        let mut volumes = self.lock();
        if volumes.get(id).is_some_and(|now| Arc::ptr_eq(now, volume)) {
            volumes.remove(id);
            if let Some(keeper) = &self.keeper {
                keeper.forget(id);
            }
        }
    }

    fn keeping(self: &Arc<Self>) -> Arc<Keep> {
        let this = Arc::clone(self);
        Arc::new(move |volume: &Supervised, stream: &UnixStream| this.keep_with(volume, Some(stream)))
    }

    fn keep(&self, volume: &Supervised) {
        self.keep_with(volume, None);
    }

    /// Gives the keeper what is needed to go on; without a new socket it keeps the one it has.
    fn keep_with(&self, volume: &Supervised, stream: Option<&UnixStream>) {
        let Some(keeper) = &self.keeper else { return };
        let kept =
            Kept { id: volume.id.clone(), serve: Box::new(volume.order()), pid: volume.pid(), user: volume.user() };
        let descriptors: Vec<BorrowedFd<'_>> = match stream {
            Some(stream) => [stream.as_fd()].into_iter().chain(volume.descriptors().iter().map(AsFd::as_fd)).collect(),
            None => Vec::new(),
        };
        keeper.keep(&kept, &descriptors);
    }

    fn get(&self, id: &str) -> Option<Arc<Supervised>> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Supervised>>> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first user from `first` on that no volume and no spool has.
fn free_user(first: u32, volumes: &HashMap<String, Arc<Supervised>>, owners: &[u32]) -> Option<u32> {
    let taken: Vec<_> = volumes.values().filter_map(|volume| volume.user()).collect();
    (first..).find(|user| !taken.contains(user) && !owners.contains(user))
}

fn done(outcome: Result<(), Refusal>) -> Response {
    match outcome {
        Ok(()) => Response::Done,
        Err(refusal) => Response::Refused(refusal),
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal {
        exit: 5,
        what: format!("renew the credential of volume {id}"),
        why: "the mount service does not serve it".to_owned(),
        help: "it is mounted anew when a pod that names its secret is published again".to_owned(),
    }
}
