//! Whose certificates are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::{Operation, StoreError, StoreErrorKind};

/// A TLS configuration with the system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them) and
/// those in the PEM file `extra`. A machine without any authority gets an empty list: plain http still works
/// and https fails with a message that names the reason.
pub(super) fn client_config(extra: Option<&Path>) -> Result<Arc<ClientConfig>, StoreError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a certificate authority of the system could not be loaded");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra {
        add_file(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls_error(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), StoreError> {
    let unreadable =
        |why: &dyn std::fmt::Display| tls_error(format!("the CA file {} cannot be read: {why}", path.display()));
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
        let certificate = certificate.map_err(|error| unreadable(&error))?;
        roots.add(certificate).map_err(|error| unreadable(&error))?;
        added += 1;
    }
    if added == 0 { Err(unreadable(&"it holds no PEM certificate")) } else { Ok(()) }
}

fn tls_error(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Tls, Operation::Head, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_ca_file_is_named() {
        let error = client_config(Some(Path::new("/no/such/ca.pem"))).expect_err("there is no such file");
        assert_eq!(error.kind, StoreErrorKind::Tls);
        assert!(error.message.contains("/no/such/ca.pem"), "{error}");
    }

    #[test]
    fn a_ca_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a certificate\n").unwrap();
        let error = client_config(Some(file.path())).expect_err("it is empty");
        assert!(error.message.contains("holds no PEM certificate"), "{error}");
    }
}
