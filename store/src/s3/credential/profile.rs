//! A named profile of the AWS configuration files, with what it refers to.
//!
//! A profile holds a key pair, or says how to get one: a role to assume with another profile's key pair or with
//! a token file, a single sign-on session whose login is in the cache of the AWS command line, or a command.

use std::path::PathBuf;

use reqsign_aws_v4::{
    AssumeRoleCredentialProvider, AssumeRoleWithWebIdentityCredentialProvider, IMDSv2CredentialProvider, RequestSigner,
    SSOCredentialProvider, StaticCredentialProvider,
};
use reqsign_core::Context;
use rfuse_config::Secret;

use super::ini::{Ini, Section};
use super::process;
use super::source::{Loaded, ask, container, instance, no_credential, variable};
use crate::StoreError;

/// Profiles that refer to each other at most.
const LONGEST_CHAIN: usize = 5;

/// Settings that say how to get a credential.
const SET_UP: [&str; 6] =
    ["aws_access_key_id", "role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file"];

/// `~/.aws/config` and `~/.aws/credentials`, or the files that the environment names instead.
pub(in crate::s3) struct ProfileFiles {
    config: Ini,
    credentials: Ini,
    credentials_path: PathBuf,
}

/// The profile that the environment chooses, and whether it does.
pub(in crate::s3) fn chosen(world: &Context) -> (String, bool) {
    match variable(world, "AWS_PROFILE").or_else(|| variable(world, "AWS_DEFAULT_PROFILE")) {
        Some(name) => (name, true),
        None => ("default".to_owned(), false),
    }
}

impl ProfileFiles {
    /// Reads both; one that is missing is empty.
    pub(in crate::s3) async fn read(world: &Context) -> Self {
        let config_path = path(world, "AWS_CONFIG_FILE", "~/.aws/config");
        let credentials_path = path(world, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
        let config = Ini::parse(&world.file_read_as_string(&config_path).await.unwrap_or_default());
        let credentials = Ini::parse(&world.file_read_as_string(&credentials_path).await.unwrap_or_default());
        Self { config, credentials, credentials_path: credentials_path.into() }
    }

    /// The region that profile `name` is for.
    pub(in crate::s3) fn region(&self, name: &str) -> Option<String> {
        self.profile(name)?.get("region").cloned()
    }

    /// Whether either file has a profile `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.profile(name).is_some()
    }

    /// Whether profile `name` says how to get a credential.
    pub(super) fn sets_up(&self, name: &str) -> bool {
        self.profile(name).is_some_and(|profile| SET_UP.iter().any(|setting| profile.contains_key(*setting)))
    }

    /// The settings of both files; those of the credentials file count more.
    fn profile(&self, name: &str) -> Option<Section> {
        let config = match name {
            "default" => self.config.section("default").or_else(|| self.config.section("profile default")),
            _ => self.config.section(&format!("profile {name}")),
        };
        let credentials = self.credentials.section(name);
        if config.is_none() && credentials.is_none() {
            return None;
        }
        let mut merged = config.cloned().unwrap_or_default();
        merged.extend(credentials.cloned().unwrap_or_default());
        Some(merged)
    }

    fn sso_session(&self, name: &str) -> Option<&Section> {
        self.config.section(&format!("sso-session {name}"))
    }
}

fn path(world: &Context, variable_name: &str, default: &str) -> String {
    let path = variable(world, variable_name).unwrap_or_else(|| default.to_owned());
    world.expand_home_dir(&path).unwrap_or(path)
}

/// The credential of profile `name`.
///
/// # Errors
/// `NoCredential` when the profile does not exist, says nothing of credentials, or its source has none.
pub(super) async fn load(
    world: &Context,
    files: &ProfileFiles,
    name: &str,
    region: &str,
    instance: &IMDSv2CredentialProvider,
) -> Result<Loaded, StoreError> {
    Resolver { world, files, region, instance }.resolve(name, 1).await
}

/// The key pair in `section`, if it has one.
pub(super) fn static_keys(section: &Section, origin: String, file: Option<PathBuf>) -> Option<Loaded> {
    Some(Loaded {
        id: section.get("aws_access_key_id")?.clone(),
        secret: Secret::new(section.get("aws_secret_access_key")?.as_str()),
        token: section
            .get("aws_session_token")
            .filter(|token| !token.is_empty())
            .map(|token| Secret::new(token.as_str())),
        expiry: None,
        origin,
        file,
    })
}

struct Resolver<'a> {
    world: &'a Context,
    files: &'a ProfileFiles,
    region: &'a str,
    instance: &'a IMDSv2CredentialProvider,
}

impl Resolver<'_> {
    async fn resolve(&self, name: &str, depth: usize) -> Result<Loaded, StoreError> {
        let origin = format!("profile \"{name}\"");
        if depth > LONGEST_CHAIN {
            return Err(no_credential(format!("{origin}: more than {LONGEST_CHAIN} profiles refer to each other")));
        }
        let profile = self.files.profile(name).ok_or_else(|| {
            no_credential(format!(
                "{origin} is neither in ~/.aws/config nor in ~/.aws/credentials (nor in the files that \
                                   AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name)"
            ))
        })?;
        if let Some(role) = profile.get("role_arn") {
            return self.assume(role, &profile, name, depth).await;
        }
        if let Some(loaded) = static_keys(&profile, origin.clone(), Some(self.files.credentials_path.clone())) {
            return Ok(loaded);
        }
        if profile.contains_key("sso_session") || profile.contains_key("sso_start_url") {
            return self.sso(&profile, name).await;
        }
        if let Some(command) = profile.get("credential_process") {
            return process::load(command, origin).await;
        }
        Err(no_credential(format!("{origin} says nothing of credentials: run aws configure --profile {name}")))
    }

    async fn assume(&self, role: &str, profile: &Section, name: &str, depth: usize) -> Result<Loaded, StoreError> {
        let origin = format!("profile \"{name}\" (role)");
        let session = profile.get("role_session_name").cloned().unwrap_or_else(|| "rfuse".to_owned());
        if profile.contains_key("mfa_serial") {
            return Err(no_credential(format!(
                "{origin} asks for an MFA code; put a session token into a profile instead"
            )));
        }
        if let Some(file) = profile.get("web_identity_token_file") {
            let provider = AssumeRoleWithWebIdentityCredentialProvider::with_config(role.to_owned(), file.into())
                .with_role_session_name(session)
                .with_region(self.region.to_owned())
                .with_regional_sts_endpoint();
            return self.asked(&provider, &origin).await;
        }
        let base = self.base(profile, name, depth).await?;
        let mut keys = StaticCredentialProvider::new(&base.id, base.secret.reveal());
        if let Some(token) = &base.token {
            keys = keys.with_session_token(token.reveal());
        }
        let signer = reqsign_core::Signer::new(self.world.clone(), keys, RequestSigner::new("sts", self.region));
        let mut provider = AssumeRoleCredentialProvider::new(role.to_owned(), signer)
            .with_role_session_name(session)
            .with_region(self.region.to_owned())
            .with_regional_sts_endpoint();
        if let Some(id) = profile.get("external_id") {
            provider = provider.with_external_id(id.clone());
        }
        if let Some(seconds) = profile.get("duration_seconds").and_then(|text| text.parse().ok()) {
            provider = provider.with_duration_seconds(seconds);
        }
        self.asked(&provider, &origin).await
    }

    /// The credential that may assume the role.
    async fn base(&self, profile: &Section, name: &str, depth: usize) -> Result<Loaded, StoreError> {
        let origin = format!("profile \"{name}\"");
        if let Some(source) = profile.get("source_profile") {
            if source == name {
                let missing = || no_credential(format!("{origin} is its own source_profile but holds no key pair"));
                return static_keys(profile, origin.clone(), None).ok_or_else(missing);
            }
            return Box::pin(self.resolve(source, depth + 1)).await;
        }
        match profile.get("credential_source").map(String::as_str) {
            Some("Ec2InstanceMetadata") => instance(self.world, self.instance).await,
            Some("EcsContainer") => {
                let missing =
                    || no_credential(format!("{origin} needs the container's role, but this is no container"));
                container(self.world).await?.ok_or_else(missing)
            }
            Some("Environment") => {
                let missing = || no_credential(format!("{origin} needs AWS_ACCESS_KEY_ID, which is not set"));
                super::source::from_environment(self.world).ok_or_else(missing)
            }
            _ => Err(no_credential(format!("{origin} names a role but no source_profile or credential_source"))),
        }
    }

    async fn sso(&self, profile: &Section, name: &str) -> Result<Loaded, StoreError> {
        let origin = format!("profile \"{name}\" (single sign-on)");
        let session_name = profile.get("sso_session");
        let session = session_name.and_then(|session| self.files.sso_session(session));
        let setting = |key: &str| {
            let found = profile.get(key).or_else(|| session.and_then(|session| session.get(key)));
            found.cloned().ok_or_else(|| no_credential(format!("{origin} lacks {key}; run aws configure sso")))
        };
        // The AWS command line files the login under the name of the session, or without one under the URL.
        let filed_under = match session_name {
            Some(session) => session.clone(),
            None => setting("sso_start_url")?,
        };
        let provider = SSOCredentialProvider::new()
            .with_account_id(setting("sso_account_id")?)
            .with_role_name(setting("sso_role_name")?)
            .with_region(setting("sso_region")?)
            .with_start_url(filed_under);
        let asked = self.asked(&provider, &origin).await;
        asked.map_err(|mut error| {
            error.message.push_str(&format!("; run aws sso login --profile {name}"));
            error
        })
    }

    async fn asked<P>(&self, provider: &P, origin: &str) -> Result<Loaded, StoreError>
    where
        P: reqsign_core::ProvideCredential<Credential = reqsign_aws_v4::Credential>,
    {
        let nothing = || no_credential(format!("{origin} gives no credential"));
        ask(provider, self.world, origin).await?.ok_or_else(nothing)
    }
}
