//! Why a call was not done, in the classes of the CSI specification.

use rfuse_host::handover::Refusal;
use tonic::{Code, Status};

use crate::redact::redact;

/// A call that was not done. The text says what, why and what to do; it is the text of the pod's event, so equal
/// causes have equal texts.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    code: Code,
    text: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:ident),* $(,)?) => {
        impl Fault {
            $($(#[$doc])* pub fn $name(text: impl Into<String>) -> Self {
                Self { code: Code::$code, text: redact(&text.into()) }
            })*
        }
    };
}

kinds! {
    /// A field is missing or makes no sense.
    invalid = InvalidArgument,
    /// No such volume, or no such place of it.
    not_found = NotFound,
    /// It is there already with other options.
    exists = AlreadyExists,
    /// Another call for the same volume is under way.
    aborted = Aborted,
    /// Something has to be done before.
    precondition = FailedPrecondition,
    /// The store does not accept the credential.
    unauthenticated = Unauthenticated,
    /// The mount service or the store does not answer; trying again may help.
    unavailable = Unavailable,
    /// Something else.
    internal = Internal,
}

impl Fault {
    /// The class.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, fault.text)
    }
}

/// The codes are those of `rfuse mount`.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        tracing::warn!(why = redact(&refusal.why), "cannot {}", refusal.what);
        let text =
            format!("cannot {}: {}; {}", without_path(&refusal.what), without_request(&refusal.why), advice(&refusal));
        match refusal.exit {
            2 | 3 => Self::invalid(text),
            4 => Self::unauthenticated(text),
            5 => Self::not_found(text),
            6 => Self::unavailable(text),
            8 => Self::precondition(text),
            _ => Self::internal(text),
        }
    }
}

/// `why` without the number of the request, which is another one each time; the log has it.
fn without_request(why: &str) -> String {
    match why.split_once(", request ") {
        Some((before, rest)) => {
            let end = rest.find([')', ',', ';']).unwrap_or(rest.len());
            format!("{before}{}", &rest[end..])
        }
        None => why.to_owned(),
    }
}

/// `what` without the kubelet's long path, which says nothing to whoever reads an event.
fn without_path(what: &str) -> &str {
    what.split_once(" on /").map_or(what, |(before, _)| before)
}

/// What to do in a cluster, where the advice for a terminal does not fit.
fn advice(refusal: &Refusal) -> String {
    match refusal.exit {
        4 => "correct the Secret that nodeStageSecretRef and nodePublishSecretRef name; a SAS needs at least read and \
              list (sp=rl) on the container"
            .to_owned(),
        3 => "correct the volumeAttributes or mountOptions of the volume".to_owned(),
        5 => "correct the container or bucket in the volumeAttributes; rfuse mounts what exists".to_owned(),
        _ => refusal.help.clone(),
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_request_makes_no_event_another() {
        let why = |id: &str| format!("the store refuses (status 403, code X, request {id}); so");
        assert_eq!(without_request(&why("1-2")), "the store refuses (status 403, code X); so");
        assert_eq!(without_request(&why("1")), without_request(&why("2")));
        assert_eq!(without_request("plain"), "plain");
    }

    #[test]
    fn a_refused_credential_is_unauthenticated_and_says_where_to_correct_it() {
        let refusal = Refusal {
            exit: 4,
            what: "mount az://acme/logs on /x".into(),
            why: "the SAS has expired (?sig=canary&se=1)".into(),
            help: "--sas-file".into(),
        };
        let status = Status::from(Fault::from(refusal));
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("az://acme/logs") && status.message().contains("nodePublishSecretRef"));
        assert!(!status.message().contains("canary"));
    }
}
