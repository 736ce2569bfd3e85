//! What went wrong below HTTP, in words that say what to do.
//!
//! Texts name the host at most: never a path, a query or a header.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::client::legacy;
use rustls::CertificateError;

use super::connector::ResolveError;
use crate::{Operation, StoreError, StoreErrorKind};

/// Why a connection did not open.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ConnectFailure {
    kind: StoreErrorKind,
    message: String,
}

impl ConnectFailure {
    /// Sorts `error`, met while connecting to `peer`, by what the user can do about it.
    pub(super) fn classify(error: &(dyn Error + 'static), peer: &str, via_proxy: bool) -> Self {
        if let Some(tls) = find::<rustls::Error>(error) {
            return Self { kind: StoreErrorKind::Tls, message: tls_text(tls, peer) };
        }
        if let Some(ResolveError(why)) = find::<ResolveError>(error) {
            return Self::unresolved(why, peer, via_proxy);
        }
        if via_proxy {
            return Self { kind: StoreErrorKind::Unreachable, message: proxy_text(error, peer) };
        }
        let io = find::<io::Error>(error);
        let (kind, why) = match io.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => {
                (StoreErrorKind::Unreachable, "it refuses the connection; check host and port".to_owned())
            }
            Some(io::ErrorKind::TimedOut) => {
                (StoreErrorKind::TimedOut, "it does not answer; check firewall and HTTPS_PROXY".to_owned())
            }
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                (StoreErrorKind::Unreachable, "it closed the connection during the handshake".to_owned())
            }
            _ => (StoreErrorKind::Unreachable, root_text(error)),
        };
        Self { kind, message: format!("cannot connect to {peer}: {why}") }
    }

    /// Nothing came of it in `limit`.
    pub(super) fn slow(peer: &str, via_proxy: bool, limit: Duration) -> Self {
        let what = if via_proxy { "through the proxy; check HTTPS_PROXY" } else { "; check firewall and HTTPS_PROXY" };
        let message = format!("no connection to {peer} within {limit:?} {what}").replace(" ;", ";");
        Self { kind: StoreErrorKind::TimedOut, message }
    }

    fn unresolved(why: &io::Error, peer: &str, via_proxy: bool) -> Self {
        let text = why.to_string();
        if via_proxy {
            let message = "the name of the proxy does not resolve; check HTTPS_PROXY and HTTP_PROXY".to_owned();
            return Self { kind: StoreErrorKind::Unreachable, message };
        }
        // getaddrinfo has no error kinds in std; EAI_AGAIN means that no name server answered.
        if text.contains("Temporary failure") || text.contains("Try again") {
            let message = format!("no name server answers for {peer}; check the network and /etc/resolv.conf");
            return Self { kind: StoreErrorKind::Unreachable, message };
        }
        let message = format!("the host {peer} does not exist; check the account or endpoint name");
        Self { kind: StoreErrorKind::NoHost, message }
    }
}

/// An error of the pooled client, as ours.
pub(super) fn from_client(operation: Operation, error: &legacy::Error) -> StoreError {
    if let Some(failure) = find::<ConnectFailure>(error) {
        return StoreError::new(failure.kind, operation, failure.message.clone());
    }
    match find::<hyper::Error>(error) {
        Some(hyper) => from_hyper(operation, hyper),
        None => StoreError::new(StoreErrorKind::Cut, operation, "the connection broke before the answer came"),
    }
}

/// An error of a connection in use, as ours.
pub(super) fn from_hyper(operation: Operation, error: &hyper::Error) -> StoreError {
    if error.is_parse() {
        return StoreError::new(
            StoreErrorKind::Malformed,
            operation,
            "the answer is not HTTP; is this the right port?",
        );
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return StoreError::new(StoreErrorKind::Cut, operation, format!("TLS broke: {tls}"));
    }
    StoreError::new(StoreErrorKind::Cut, operation, "the connection broke before the whole answer came")
}

/// Nothing came for `waited`.
pub(super) fn silence(operation: Operation, waited: Duration) -> StoreError {
    StoreError::new(StoreErrorKind::TimedOut, operation, format!("the store sent nothing for {waited:?}"))
}

fn tls_text(error: &rustls::Error, peer: &str) -> String {
    let why = match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            CertificateError::UnknownIssuer => {
                "its certificate is signed by an authority unknown here; install it, or name its PEM file as the CA \
                 file (a TLS-inspecting proxy?)"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name; check the endpoint".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired; check this machine's clock too".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; check this machine's clock".to_owned()
            }
            // The type of this one is not exported.
            CertificateError::Other(why) if format!("{why:?}").contains("CaUsedAsEndEntity") => {
                "its certificate is one for an authority; make one for a server, with basicConstraints=CA:FALSE"
                    .to_owned()
            }
            other => format!("its certificate is refused ({other})"),
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS; is it http://?".to_owned(),
        other => other.to_string(),
    };
    format!("no TLS with {peer}: {why}")
}

fn proxy_text(error: &(dyn Error + 'static), peer: &str) -> String {
    // hyper-util does not export the type of a tunnel error, only its text.
    let text = chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    if text.contains("proxy authorization required") {
        return "the proxy wants a password: write it as HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT".to_owned();
    }
    if text.contains("tunnel error: unsuccessful") {
        return format!("the proxy refuses to connect to {peer}; add it to NO_PROXY if it is reached directly");
    }
    format!("cannot connect to {peer} through the proxy: {}; check HTTPS_PROXY and HTTP_PROXY", root_text(error))
}

/// The text of the innermost error, which is the system's own and holds no address.
fn root_text(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

/// The first error of type `T` among `error` and its causes.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    chain(error).find_map(|link| link.downcast_ref::<T>())
}

/// `error` and its causes, outermost first. `io::Error::source` skips the error it wraps, so that one is
/// taken out by hand.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&link| match link.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => link.source(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_below_nested_io_errors() {
        let inner = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, inner));
        let failure = ConnectFailure::classify(&error, "blob.example", false);
        assert_eq!(failure.kind, StoreErrorKind::Tls);
        assert!(failure.message.contains("authority unknown here"), "{failure}");
    }

    #[test]
    fn an_unknown_name_is_no_host_but_a_silent_name_server_is_worth_a_retry() {
        let unknown = ResolveError(io::Error::other("Name or service not known"));
        assert_eq!(ConnectFailure::classify(&unknown, "h", false).kind, StoreErrorKind::NoHost);
        let silent = ResolveError(io::Error::other("Temporary failure in name resolution"));
        assert_eq!(ConnectFailure::classify(&silent, "h", false).kind, StoreErrorKind::Unreachable);
    }
}
