//! Checked texts become the structs of the rooms.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rfuse_block::BlockSize;

use crate::layers::Value;
use crate::setting::{parse_mode, parse_price, parse_share, parse_switch};
use crate::{
    Admit, AwsCredential, AzureCredential, ByteSize, CacheConfig, ConfigError, DiskConfig, FsConfig, Layers, Limits,
    Location, LogFormat, LogOptions, MountConfig, MountOptions, ParsedUrl, PrefetchConfig, Secret, Setting, Source,
    StoreConfig, connection_string, parse_duration,
};

/// The account of the Azurite emulator and its key, which Microsoft publishes; it opens nothing else.
const AZURITE: (&str, &str) =
    ("devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");

/// What this process knows about where it runs, besides its settings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surroundings {
    /// Who mounts.
    pub uid: u32,
    /// And their group.
    pub gid: u32,
    /// Kubernetes gave this pod a federated token (`AZURE_FEDERATED_TOKEN_FILE`).
    pub workload_identity: bool,
    /// A managed identity's endpoint is announced (`IDENTITY_ENDPOINT`, `MSI_ENDPOINT`).
    pub managed_identity: bool,
    /// Somebody is logged in to the Azure command line (`azureProfile.json`).
    pub azure_cli: bool,
    /// Where files are spooled unless a setting says otherwise.
    pub spool: Option<PathBuf>,
}

impl MountConfig {
    /// What `layers` say about a mount of `url`.
    ///
    /// # Errors
    /// [`ConfigError`] for values that do not fit together, for a credential file that cannot be read, and
    /// for Azure without any credential.
    pub fn resolve(layers: &Layers, url: &ParsedUrl, around: &Surroundings) -> Result<Self, ConfigError> {
        let store = store(layers, url, around)?;
        Ok(Self {
            cache: cache(layers, &store)?,
            store,
            fs: fs(layers, url, around),
            mount: mount(layers),
            log: log(layers),
        })
    }
}

fn store(layers: &Layers, url: &ParsedUrl, around: &Surroundings) -> Result<StoreConfig, ConfigError> {
    let mut store = StoreConfig::at(url.location.clone());
    store.endpoint = given(layers, "endpoint");
    store.region = given(layers, "region");
    store.path_style = parse_switch(layers.text("path-style"));
    store.requester_pays = switch(layers, "requester-pays");
    store.ca_file = path(layers, "ca-file");
    store.limits = limits(layers);
    match &url.location {
        Location::Azure { account, .. } => (store.azure, store.endpoint) = azure(layers, account, around)?,
        Location::S3 { .. } => store.aws = aws(layers)?,
        Location::Local(_) | Location::Memory => {}
    }
    Ok(store)
}

fn limits(layers: &Layers) -> Limits {
    let hedge = parse_share(layers.text("hedge-budget")).filter(|share| *share > 0.0);
    Limits {
        requests_in_flight: count(layers, "requests-in-flight"),
        tries: count(layers, "tries"),
        call_timeout: time(layers, "call-timeout"),
        connect_timeout: time(layers, "connect-timeout"),
        stall_timeout: time(layers, "stall-timeout"),
        hedge_budget: hedge,
    }
}

/// The credential and, because a connection string may name one, the endpoint.
fn azure(
    layers: &Layers,
    account: &str,
    around: &Surroundings,
) -> Result<(AzureCredential, Option<String>), ConfigError> {
    let endpoint = given(layers, "endpoint");
    let wanted = layers.text("azure-auth");
    let credential = match wanted {
        "anonymous" => AzureCredential::Anonymous,
        "cli" => AzureCredential::Cli,
        "managed-identity" => managed_identity(layers),
        "workload-identity" => AzureCredential::WorkloadIdentity,
        _ => match strongest(layers, wanted) {
            Some(("connection-string", value)) => return connection(value, account, endpoint),
            Some((name, value)) => static_credential(name, value)?,
            None if wanted == "auto" => found_around(layers, account, endpoint.as_deref(), around)?,
            None => {
                let why = format!("azure-auth is {wanted}, but no {wanted} is given");
                return Err(ConfigError::NoCredential { why });
            }
        },
    };
    Ok((credential, endpoint))
}

/// The credential setting of the highest layer; within a layer, the first of this list.
fn strongest<'a>(layers: &'a Layers, wanted: &str) -> Option<(&'static str, &'a Value)> {
    const ORDER: [(&str, &str); 5] = [
        ("sas-file", "sas"),
        ("sas", "sas"),
        ("account-key-file", "key"),
        ("account-key", "key"),
        ("connection-string", "connection-string"),
    ];
    let fitting = ORDER.iter().filter(|(_, auth)| wanted == "auto" || wanted == *auth);
    let mut best: Option<(&'static str, &Value)> = None;
    for (name, _) in fitting {
        if let Some(value) = layers.given(name)
            && best.is_none_or(|(_, best)| best.source.rank() < value.source.rank())
        {
            best = Some((name, value));
        }
    }
    best
}

fn static_credential(name: &str, value: &Value) -> Result<AzureCredential, ConfigError> {
    let text = value.text.reveal();
    match name {
        "sas-file" => Ok(AzureCredential::SasFile(PathBuf::from(text))),
        "sas" => Ok(AzureCredential::Sas(Secret::new(text.trim_start_matches('?')))),
        "account-key-file" => read_secret(Path::new(text)).map(AzureCredential::AccountKey),
        _ => Ok(AzureCredential::AccountKey(value.text.clone())),
    }
}

fn read_secret(path: &Path) -> Result<Secret, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            Err(ConfigError::NoCredential { why: format!("{} is empty", path.display()) })
        }
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(error) => Err(ConfigError::NoCredential { why: format!("cannot read {}: {error}", path.display()) }),
    }
}

fn connection(
    value: &Value,
    account: &str,
    endpoint: Option<String>,
) -> Result<(AzureCredential, Option<String>), ConfigError> {
    let refused = |why: String| ConfigError::BadValue {
        key: "connection-string".to_owned(),
        value: "***".to_owned(),
        origin: value.source.clone(),
        why,
    };
    let parsed = connection_string::parse(value.text.reveal()).map_err(|error| refused(error.to_string()))?;
    if parsed.account != account {
        return Err(refused(format!("it is for account {}, the URL for {account}", parsed.account)));
    }
    let credential = match (parsed.sas, parsed.key) {
        (Some(sas), _) => AzureCredential::Sas(sas),
        (None, Some(key)) => AzureCredential::AccountKey(key),
        (None, None) => AzureCredential::Anonymous,
    };
    Ok((credential, endpoint.or(parsed.endpoint)))
}

fn managed_identity(layers: &Layers) -> AzureCredential {
    AzureCredential::ManagedIdentity { client_id: given(layers, "azure-client-id") }
}

fn found_around(
    layers: &Layers,
    account: &str,
    endpoint: Option<&str>,
    around: &Surroundings,
) -> Result<AzureCredential, ConfigError> {
    if account == AZURITE.0 && endpoint.is_some() {
        return Ok(AzureCredential::AccountKey(Secret::new(AZURITE.1)));
    }
    if around.workload_identity {
        return Ok(AzureCredential::WorkloadIdentity);
    }
    // AZURE_CLIENT_ID alone says little (service principals use it too); a setting of ours says it all.
    let ours = layers
        .given("azure-client-id")
        .is_some_and(|value| !matches!(&value.source, Source::Environment(name) if name == "AZURE_CLIENT_ID"));
    if around.managed_identity || ours {
        return Ok(managed_identity(layers));
    }
    if around.azure_cli {
        return Ok(AzureCredential::Cli);
    }
    let why = format!(
        "no credential found for account {account}: no SAS, key, connection string, workload or managed identity, \
         and nobody is logged in to the Azure CLI"
    );
    Err(ConfigError::NoCredential { why })
}

fn aws(layers: &Layers) -> Result<AwsCredential, ConfigError> {
    let profile = given(layers, "aws-profile");
    let file = path(layers, "aws-credentials-file");
    match (layers.text("aws-auth"), file) {
        ("anonymous", _) => Ok(AwsCredential::Anonymous),
        (_, Some(path)) => Ok(AwsCredential::File { path, profile: profile.unwrap_or_else(|| "default".to_owned()) }),
        ("file", None) => {
            Err(ConfigError::NoCredential { why: "aws-auth is file, but no aws-credentials-file is given".to_owned() })
        }
        _ => Ok(AwsCredential::Default { profile }),
    }
}

fn cache(layers: &Layers, store: &StoreConfig) -> Result<CacheConfig, ConfigError> {
    // The check of the setting has made sure that it is a block size.
    let block_size = BlockSize::new(size(layers, "block-size")).unwrap_or_default();
    let memory = size(layers, "memory");
    let least = CacheConfig::least_memory(block_size);
    if memory < least {
        let blocks = ByteSize(block_size.bytes());
        return Err(ConfigError::BadValue {
            key: "memory".to_owned(),
            value: format!("{:?}", layers.text("memory")),
            origin: layers.given("memory").map_or(Source::Default, |value| value.source.clone()),
            why: format!("blocks of {blocks} need at least {}; write that, or a smaller block-size", ByteSize(least)),
        });
    }
    let fetch_max = size(layers, "fetch-max").max(block_size.bytes());
    Ok(CacheConfig { block_size, memory, fetch_max, disk: disk(layers, store) })
}

fn disk(layers: &Layers, store: &StoreConfig) -> Option<DiskConfig> {
    let dir = path(layers, "cache-dir")?;
    let (location, endpoint) = (&store.location, store.endpoint.as_deref().unwrap_or_default());
    // Objects in memory end with the process; their versions start again from one with the next.
    let life = if *location == Location::Memory { format!(" {}", std::process::id()) } else { String::new() };
    Some(DiskConfig {
        dir,
        size: size(layers, "cache-size"),
        reserve: size(layers, "cache-reserve"),
        quota: Some(size(layers, "cache-quota")).filter(|quota| *quota > 0).unwrap_or(u64::MAX),
        admit: if layers.text("cache-admit") == "always" { Admit::Always } else { Admit::Again },
        scope: format!("{location} {endpoint}{life}"),
    })
}

fn fs(layers: &Layers, url: &ParsedUrl, around: &Surroundings) -> FsConfig {
    let read_only = switch(layers, "read-only");
    let (file_mode, dir_mode) = if read_only { (0o444, 0o555) } else { (0o644, 0o755) };
    FsConfig {
        uid: layers.text("uid").parse().unwrap_or(around.uid),
        gid: layers.text("gid").parse().unwrap_or(around.gid),
        file_mode: parse_mode(layers.text("file-mode")).unwrap_or(file_mode),
        dir_mode: parse_mode(layers.text("dir-mode")).unwrap_or(dir_mode),
        metadata_ttl: time(layers, "metadata-ttl"),
        negative_ttl: time(layers, "negative-ttl"),
        entries_max: count(layers, "entries-max"),
        deadline: time(layers, "deadline"),
        prefetch: PrefetchConfig {
            window: size(layers, "prefetch-window"),
            push: size(layers, "page-push"),
            index_hints: switch(layers, "index-hints"),
            plan_window: size(layers, "plan-window"),
        },
        read_only,
        no_delete: switch(layers, "no-delete"),
        no_overwrite: switch(layers, "no-overwrite"),
        // Links and modes that a listing does not tell would show for some time and then not.
        posix: layers.text("posix") != "off" && !matches!(url.location, Location::S3 { .. }),
        folder_markers: matches!(url.location, Location::Azure { .. }),
        real_directories: matches!(url.location, Location::Local(_)),
        overwrite_on_conflict: layers.text("on-conflict") == "overwrite",
        spool: path(layers, "spool").or_else(|| around.spool.clone()),
        spool_max: size(layers, "spool-max"),
        part_size: size(layers, "part-size"),
        upload_memory: size(layers, "upload-memory"),
        origin: url.location.to_string(),
    }
}

fn mount(layers: &Layers) -> MountOptions {
    let threads: usize = count(layers, "threads");
    MountOptions {
        allow_other: switch(layers, "allow-other"),
        read_only: switch(layers, "read-only"),
        drain_timeout: time(layers, "drain-timeout"),
        allow_exec: switch(layers, "allow-exec"),
        nonempty: switch(layers, "nonempty"),
        read_ahead: size(layers, "read-ahead"),
        plan: path(layers, "plan"),
        direct_io: switch(layers, "direct-io"),
        request_price: parse_price(layers.text("request-price")),
        threads: (threads > 0).then_some(threads),
        max_background: count(layers, "max-background"),
    }
}

fn log(layers: &Layers) -> LogOptions {
    LogOptions {
        level: layers.text("log-level").to_owned(),
        format: match layers.text("log-format") {
            "json" => LogFormat::Json,
            "text" => LogFormat::Text,
            _ => LogFormat::Auto,
        },
        file: path(layers, "log-file"),
    }
}

/// The default of a setting, for the readers below: the layers hold nothing that fails its check, and a test
/// holds the defaults to theirs, so this is never needed for more than the types.
fn default_of(name: &str) -> &'static str {
    Setting::named(name).map_or("", |setting| setting.default)
}

fn given(layers: &Layers, name: &str) -> Option<String> {
    layers.given(name).map(|value| value.text.reveal().to_owned())
}

fn path(layers: &Layers, name: &str) -> Option<PathBuf> {
    given(layers, name).map(PathBuf::from)
}

fn switch(layers: &Layers, name: &'static str) -> bool {
    parse_switch(layers.text(name)).unwrap_or_else(|| default_of(name) == "true")
}

fn size(layers: &Layers, name: &'static str) -> u64 {
    let parse = |text: &str| ByteSize::parse(text).map(|size| size.0);
    parse(layers.text(name)).or_else(|_| parse(default_of(name))).unwrap_or(0)
}

fn time(layers: &Layers, name: &'static str) -> Duration {
    parse_duration(layers.text(name)).or_else(|_| parse_duration(default_of(name))).unwrap_or_default()
}

fn count<T: std::str::FromStr + Default>(layers: &Layers, name: &'static str) -> T {
    layers.text(name).parse().or_else(|_| default_of(name).parse()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cloud;
    use std::collections::BTreeMap;

    fn resolve(
        url: &str,
        flags: &[(&str, &str)],
        variables: &[(&str, &str)],
        around: &Surroundings,
    ) -> Result<MountConfig, ConfigError> {
        let url = ParsedUrl::parse(url, None)?;
        let mut layers = Layers::default();
        layers.url(&url)?;
        let variables: BTreeMap<_, _> = variables.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect();
        layers.environment(&variables, Some(Cloud::Azure))?;
        for (name, text) in flags {
            layers.set(Setting::named(name).unwrap(), text, Source::Flag((*name).to_owned()))?;
        }
        MountConfig::resolve(&layers, &url, around)
    }

    fn auth(url: &str, flags: &[(&str, &str)], variables: &[(&str, &str)], around: &Surroundings) -> AzureCredential {
        resolve(url, flags, variables, around).unwrap().store.azure
    }

    const NOBODY: Surroundings = Surroundings {
        uid: 0,
        gid: 0,
        workload_identity: false,
        managed_identity: false,
        azure_cli: false,
        spool: None,
    };

    #[test]
    fn without_a_word_every_room_gets_its_own_default() {
        let config = resolve("mem:", &[], &[], &NOBODY).unwrap();
        assert_eq!(config.store, StoreConfig::at(Location::Memory));
        assert_eq!(config.cache, CacheConfig::default());
        // The rooms by themselves change nothing; a mount may.
        let fs = FsConfig {
            read_only: false,
            file_mode: 0o644,
            dir_mode: 0o755,
            posix: true,
            origin: "mem:".to_owned(),
            ..FsConfig::default()
        };
        assert_eq!(config.fs, fs);
        assert_eq!(config.mount, MountOptions { read_only: false, ..MountOptions::default() });
        assert_eq!(config.log, LogOptions::default());
    }

    #[test]
    fn memory_below_the_least_that_works_is_refused_with_that() {
        let error = resolve("mem:", &[("memory", "4MiB"), ("block-size", "1MiB")], &[], &NOBODY).unwrap_err();
        let text =
            "--memory: memory = \"4MiB\": blocks of 1MiB need at least 5MiB; write that, or a smaller block-size";
        assert_eq!(error.to_string(), text);
        assert!(resolve("mem:", &[("memory", "5MiB"), ("block-size", "1MiB")], &[], &NOBODY).is_ok());
        assert!(resolve("mem:", &[("memory", "1MiB")], &[], &NOBODY).is_ok());
    }

    #[test]
    fn a_cache_folder_tells_stores_apart_and_keeps_nothing_of_a_store_that_ends_with_the_process() {
        let scope = |url: &str, flags: &[(&str, &str)]| {
            let flags = [&[("cache-dir", "/c")], flags].concat();
            resolve(url, &flags, &[("AWS_EC2_METADATA_DISABLED", "true")], &NOBODY).unwrap().cache.disk.unwrap().scope
        };
        let all = [
            scope("s3://b", &[]),
            scope("s3://b/p", &[]),
            scope("s3://b", &[("endpoint", "http://other")]),
            scope("file:///b", &[]),
            scope("mem:", &[]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{one}");
        }
        assert!(all[4].ends_with(&std::process::id().to_string()));
        assert!(resolve("mem:", &[], &[], &NOBODY).unwrap().cache.disk.is_none());
    }

    #[test]
    fn files_belong_to_who_mounts_unless_told_otherwise() {
        let around = Surroundings { uid: 7, gid: 8, ..NOBODY };
        let config = resolve("mem:", &[("gid", "9")], &[], &around).unwrap();
        assert_eq!((config.fs.uid, config.fs.gid), (7, 9));
    }

    #[test]
    fn the_highest_layer_chooses_the_credential() {
        let url = "az://acme/logs";
        let both = [("AZURE_STORAGE_KEY", "a2V5"), ("AZURE_STORAGE_SAS_TOKEN", "?sig=x")];
        assert_eq!(auth(url, &[], &both, &NOBODY), AzureCredential::Sas(Secret::new("sig=x")));
        assert_eq!(auth(url, &[("account-key", "b2")], &both, &NOBODY), AzureCredential::AccountKey(Secret::new("b2")));
        assert_eq!(
            auth(url, &[("azure-auth", "key")], &both, &NOBODY),
            AzureCredential::AccountKey(Secret::new("a2V5"))
        );
        assert_eq!(auth("az://acme/logs?sig=u", &[], &both, &NOBODY), AzureCredential::Sas(Secret::new("sig=u")));
        assert_eq!(auth(url, &[("azure-auth", "anonymous")], &both, &NOBODY), AzureCredential::Anonymous);
    }

    #[test]
    fn what_is_set_up_around_us_comes_after_what_is_given() {
        let all = Surroundings { workload_identity: true, managed_identity: true, azure_cli: true, ..NOBODY };
        let url = "az://acme/logs";
        assert_eq!(auth(url, &[], &[("RFUSE_SAS", "sig=x")], &all), AzureCredential::Sas(Secret::new("sig=x")));
        assert_eq!(auth(url, &[], &[], &all), AzureCredential::WorkloadIdentity);
        let cli = Surroundings { azure_cli: true, ..NOBODY };
        assert_eq!(auth(url, &[], &[("AZURE_CLIENT_ID", "id")], &cli), AzureCredential::Cli);
        let chosen = AzureCredential::ManagedIdentity { client_id: Some("id".to_owned()) };
        assert_eq!(auth(url, &[("azure-client-id", "id")], &[], &cli), chosen);
    }

    #[test]
    fn azure_without_a_credential_is_an_error_and_azurite_is_not() {
        let error = resolve("az://acme/logs", &[], &[], &NOBODY).unwrap_err();
        assert!(matches!(error, ConfigError::NoCredential { .. }), "{error}");
        let azurite =
            auth("az://devstoreaccount1/c", &[("endpoint", "http://127.0.0.1:1/devstoreaccount1")], &[], &NOBODY);
        assert!(matches!(azurite, AzureCredential::AccountKey(_)));
    }

    #[test]
    fn a_connection_string_for_another_account_is_refused_without_showing_it() {
        let string =
            "DefaultEndpointsProtocol=https;AccountName=other;AccountKey=Y2FuYXJ5;EndpointSuffix=core.windows.net";
        let error = resolve("az://acme/logs", &[("connection-string", string)], &[], &NOBODY).unwrap_err();
        assert!(error.to_string().contains("other"), "{error}");
        assert!(!format!("{error:?}").contains("Y2FuYXJ5"));
    }
}
