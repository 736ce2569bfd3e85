//! What the people who own a pod should read in `kubectl describe pod`, as events of kinds of their own.
//!
//! A call's failure is an event by itself, which the kubelet makes. These are for what is no failure of a call: a
//! credential that will end soon, a process that was started again, an option that means nothing. Whoever has
//! something to say goes on at once; a task tells the Kubernetes API. Bounds: 64 events wait, beyond it they are
//! dropped and logged; 1,024 are remembered, so that the same is said once in ten minutes.

mod api;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::redact::redact;
use api::Api;

/// Events that wait at most.
const WAITING_MAX: usize = 64;
/// Events remembered at most; beyond it all are forgotten.
const KNOWN_MAX: usize = 1024;
/// The same is not said again for this long.
const QUIET: Duration = Duration::from_secs(600);

/// Whom an event is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Pod {
    /// The pod of a publish call, which the kubelet names in the volume context if the CSIDriver asks for it.
    pub(crate) fn of(context: &HashMap<String, String>) -> Option<Self> {
        let word = |name: &str| {
            context.get(&format!("csi.storage.k8s.io/pod.{name}")).filter(|word| !word.is_empty()).cloned()
        };
        Some(Self { namespace: word("namespace")?, name: word("name")?, uid: word("uid")? })
    }
}

/// What happened; the reasons that events have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The credential ends soon.
    CredentialExpiring,
    /// It has ended.
    CredentialExpired,
    /// A new one is in use.
    CredentialRenewed,
    /// The process of the volume was started again, or the volume was mounted anew.
    MountRestarted,
    /// Something in the volume's description means nothing here.
    UnknownMountOption,
}

impl Reason {
    /// `Normal` for what is as it should be.
    fn kind(self) -> &'static str {
        if self == Self::CredentialRenewed { "Normal" } else { "Warning" }
    }
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) pod: Pod,
    pub(crate) reason: Reason,
    /// What, why, and what to do.
    pub(crate) message: String,
}

impl Event {
    /// The same event has the same name, so that the API adds it up.
    fn name(&self) -> String {
        let text = format!("{}\n{:?}\n{}", self.pod.uid, self.reason, self.message);
        let hash: String = Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        // An object's name is a DNS subdomain of at most 253 characters.
        let pod: String = self.pod.name.chars().take(200).collect();
        format!("{pod}.{hash}")
    }
}

/// Takes events; without an API to tell, the log has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(Option<Sender<Event>>);

impl Events {
    /// Events that the Kubernetes API is told, as the service account of this pod; logged where there is none.
    pub(crate) fn open(node: &str) -> Self {
        let api = match Api::of_this_pod() {
            Ok(api) => api,
            Err(error) => {
                tracing::info!(%error, "no Kubernetes API is told of events; they are in this log");
                return Self(None);
            }
        };
        let (send, receive) = mpsc::channel(WAITING_MAX);
        tokio::spawn(tell(api, receive, node.to_owned()));
        Self(Some(send))
    }

    /// Says it; never waits.
    pub(crate) fn say(&self, pod: Option<&Pod>, reason: Reason, message: impl Into<String>) {
        let message = redact(&message.into());
        let Some(pod) = pod else {
            tracing::info!(?reason, message, "no pod is named, so there is no event");
            return;
        };
        let event = Event { pod: pod.clone(), reason, message };
        match &self.0 {
            Some(send) => {
                if let Err(error) = send.try_send(event) {
                    tracing::warn!(%error, ?reason, "too many events at once");
                }
            }
            None => tracing::info!(pod = event.pod.name, ?reason, event.message, "event"),
        }
    }
}

/// What was said, when and how often.
#[derive(Debug, Default)]
struct Known(HashMap<String, (Instant, u32)>);

impl Known {
    /// How often the event called `name` has been said, this time included; none when it was said just now.
    fn next(&mut self, name: &str, now: Instant) -> Option<u32> {
        if self.0.len() >= KNOWN_MAX && !self.0.contains_key(name) {
            self.0.clear();
        }
        let count = match self.0.get(name) {
            Some((said, _)) if now.duration_since(*said) < QUIET => return None,
            Some((_, count)) => count + 1,
            None => 1,
        };
        self.0.insert(name.to_owned(), (now, count));
        Some(count)
    }
}

async fn tell(api: Api, mut events: Receiver<Event>, node: String) {
    let mut known = Known::default();
    while let Some(event) = events.recv().await {
        let name = event.name();
        let Some(count) = known.next(&name, Instant::now()) else { continue };
        if let Err(error) = api.put(&event, &name, count, &node).await {
            tracing::warn!(pod = event.pod.name, reason = ?event.reason, message = event.message, %error, "no event could be made");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(message: &str) -> Event {
        let pod = Pod { namespace: "default".into(), name: "reader".into(), uid: "u-1".into() };
        Event { pod, reason: Reason::CredentialExpiring, message: message.into() }
    }

    #[test]
    fn the_same_is_one_event_and_is_said_once_in_ten_minutes() {
        assert_eq!(event("a").name(), event("a").name());
        assert_ne!(event("a").name(), event("b").name());
        let (mut known, begun) = (Known::default(), Instant::now());
        let name = event("a").name();
        assert_eq!(known.next(&name, begun), Some(1));
        assert_eq!(known.next(&name, begun + QUIET / 2), None);
        assert_eq!(known.next(&event("b").name(), begun), Some(1));
        assert_eq!(known.next(&name, begun + QUIET), Some(2));
        for number in 0..2 * KNOWN_MAX {
            known.next(&number.to_string(), begun);
        }
        assert!(known.0.len() <= KNOWN_MAX);
    }

    #[test]
    fn a_pod_is_known_only_if_all_of_it_is_named() {
        let mut context: HashMap<String, String> = ["namespace", "name", "uid"]
            .iter()
            .map(|word| (format!("csi.storage.k8s.io/pod.{word}"), format!("the-{word}")))
            .collect();
        assert_eq!(Pod::of(&context).unwrap().uid, "the-uid");
        context.remove("csi.storage.k8s.io/pod.uid");
        assert_eq!(Pod::of(&context), None);
    }
}
