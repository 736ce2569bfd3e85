//! Where a credential is looked for, in which order.
//!
//! Protocol: "Credential provider chain" of the AWS SDK reference guide: environment, profile (with its roles,
//! single sign-on and commands), web identity, container, instance. The first source that is set up decides: a
//! source that fails does not silently give way to another identity. Tokens and answers of the issuers are
//! handled by `reqsign`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider, IMDSv2CredentialProvider,
};
use reqsign_core::{Context, ProvideCredential};
use rfuse_config::{AwsCredential, Secret};

use super::ini::Ini;
use super::profile::{self, ProfileFiles};
use crate::s3::signature::Signer;
use crate::s3::speakable::speakable;
use crate::{Operation, StoreError, StoreErrorKind};

/// A credential and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) token: Option<Secret>,
    pub(super) expiry: Option<SystemTime>,
    /// In words, for logs.
    pub(super) origin: String,
    /// The file that changes when the credential does.
    pub(super) file: Option<PathBuf>,
}

impl Loaded {
    /// What signs with this for `region`.
    pub(super) fn signer(&self, region: &str) -> Result<Signer, StoreError> {
        let signer = Signer::new(&self.id, self.secret.clone(), self.token.as_ref(), region);
        signer.ok_or_else(|| {
            let text =
                format!("{}: the key id or the token holds a line break or another control character", self.origin);
            StoreError::new(StoreErrorKind::BadCredential, Operation::Credential, text)
        })
    }

    pub(super) fn issued(credential: Credential, origin: impl Into<String>) -> Self {
        Self {
            id: credential.access_key_id,
            secret: Secret::new(credential.secret_access_key),
            token: credential.session_token.filter(|token| !token.is_empty()).map(Secret::new),
            expiry: credential.expires_in.map(|moment| moment.as_system_time()),
            origin: origin.into(),
            file: None,
        }
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Loaded(from {})", self.origin)
    }
}

/// One place, or the chain of them.
pub(super) struct Source {
    choice: AwsCredential,
    region: String,
    /// Keeps the session of the metadata service.
    instance: IMDSv2CredentialProvider,
}

impl Source {
    /// The source that `choice` names; roles are assumed in `region`.
    pub(super) fn of(choice: &AwsCredential, region: &str) -> Self {
        Self { choice: choice.clone(), region: region.to_owned(), instance: IMDSv2CredentialProvider::new() }
    }

    /// The credential that is there now; none for nobody.
    ///
    /// # Errors
    /// `NoCredential`, with what to do.
    pub(super) async fn load(&self, world: &Context) -> Result<Option<Loaded>, StoreError> {
        match &self.choice {
            AwsCredential::Anonymous => Ok(None),
            AwsCredential::Keys { id, secret, session_token } => Ok(Some(Loaded {
                id: id.clone(),
                secret: secret.clone(),
                token: session_token.clone(),
                expiry: None,
                origin: "a key pair given outright".to_owned(),
                file: None,
            })),
            AwsCredential::File { path, profile } => from_file(world, path, profile).await.map(Some),
            AwsCredential::Default { profile: Some(name) } => {
                let files = ProfileFiles::read(world).await;
                profile::load(world, &files, name, &self.region, &self.instance).await.map(Some)
            }
            AwsCredential::Default { profile: None } => self.chain(world).await.map(Some),
        }
    }

    async fn chain(&self, world: &Context) -> Result<Loaded, StoreError> {
        if let Some(loaded) = from_environment(world) {
            return Ok(loaded);
        }
        let files = ProfileFiles::read(world).await;
        let (name, named) = profile::chosen(world);
        if named || files.has(&name) {
            let found = profile::load(world, &files, &name, &self.region, &self.instance).await;
            if named || found.is_ok() || files.sets_up(&name) {
                return found;
            }
        }
        if variable(world, "AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
            return web_identity(world, &self.region).await;
        }
        if let Some(loaded) = container(world).await? {
            return Ok(loaded);
        }
        instance(world, &self.instance).await
    }
}

/// A variable that is set and not empty.
pub(super) fn variable(world: &Context, name: &str) -> Option<String> {
    world.env_var(name).filter(|value| !value.is_empty())
}

pub(super) fn from_environment(world: &Context) -> Option<Loaded> {
    Some(Loaded {
        id: variable(world, "AWS_ACCESS_KEY_ID")?,
        secret: Secret::new(variable(world, "AWS_SECRET_ACCESS_KEY")?),
        token: variable(world, "AWS_SESSION_TOKEN").map(Secret::new),
        expiry: None,
        origin: "the environment (AWS_ACCESS_KEY_ID)".to_owned(),
        file: None,
    })
}

async fn from_file(world: &Context, path: &Path, profile: &str) -> Result<Loaded, StoreError> {
    let shown = path.display();
    let text = world.file_read_as_string(&path.to_string_lossy()).await;
    let text = text.map_err(|_| no_credential(format!("the credential file {shown} cannot be read")))?;
    let ini = Ini::parse(&text);
    let section = ini.section(profile).or_else(|| ini.section(&format!("profile {profile}")));
    let section = section.ok_or_else(|| no_credential(format!("{shown} has no profile \"{profile}\"")))?;
    profile::static_keys(section, format!("profile \"{profile}\" of {shown}"), Some(path.to_owned())).ok_or_else(|| {
        no_credential(format!("profile \"{profile}\" of {shown} lacks aws_access_key_id or aws_secret_access_key"))
    })
}

/// The role of a Kubernetes service account (IRSA).
async fn web_identity(world: &Context, region: &str) -> Result<Loaded, StoreError> {
    let provider = AssumeRoleWithWebIdentityCredentialProvider::new()
        .with_region(region.to_owned())
        .with_regional_sts_endpoint()
        .with_role_session_name(variable(world, "AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "rfuse".to_owned()));
    let origin = "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)";
    let missing = "AWS_ROLE_ARN is not set beside AWS_WEB_IDENTITY_TOKEN_FILE";
    ask(&provider, world, origin).await?.ok_or_else(|| no_credential(missing.to_owned()))
}

/// The role of an ECS task or of an EKS pod identity; none outside of both.
pub(super) async fn container(world: &Context) -> Result<Option<Loaded>, StoreError> {
    ask(&ECSCredentialProvider::new(), world, "the container's role").await
}

/// The role of an EC2 instance: the last of the chain, so that its failure is that of the chain.
pub(super) async fn instance(world: &Context, provider: &IMDSv2CredentialProvider) -> Result<Loaded, StoreError> {
    let nothing = |why: &str| {
        no_credential(format!(
            "no AWS credential was found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or mount as \
             anonymous ({why})"
        ))
    };
    match ask(provider, world, "the instance's role").await {
        Ok(Some(loaded)) => Ok(loaded),
        Ok(None) => Err(nothing("the instance metadata service is disabled")),
        Err(error) => Err(nothing(&error.message)),
    }
}

/// What `provider` has; none when it is not set up here.
pub(super) async fn ask<P>(provider: &P, world: &Context, origin: &str) -> Result<Option<Loaded>, StoreError>
where
    P: ProvideCredential<Credential = Credential>,
{
    match provider.provide_credential(world).await {
        Ok(credential) => Ok(credential.map(|credential| Loaded::issued(credential, origin))),
        Err(error) => {
            let text = error.to_string();
            let why = speakable(&text).map_or_else(|| error.kind().to_string(), str::to_owned);
            Err(no_credential(format!("{origin} gives no credential: {why}")))
        }
    }
}

pub(super) fn no_credential(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::NoCredential, Operation::Credential, message)
}
