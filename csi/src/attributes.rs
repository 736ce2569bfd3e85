//! The attributes of a volume: those of blob.csi.azure.com and ours, whatever their case.

use std::collections::{BTreeMap, HashMap};

use rfuse_config::{Location, ParsedUrl, SETTINGS, Setting, nearest, parse_switch};

use crate::fault::Fault;
use crate::mount_flags::{MountFlags, may_choose};
use crate::secrets::Credential;
use crate::volume::Volume;

/// What volumes of this node may ask for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// `file://` and `mem:` are places too; for tests.
    pub local: bool,
    /// Attributes that an inline volume may have besides those that are always allowed.
    pub inline: Vec<String>,
    /// Settings of volumes that say nothing else, such as `memory`.
    pub defaults: BTreeMap<String, String>,
    /// The node's cache folder, as a volume may name it besides `node`; none where there is none.
    pub cache: Option<String>,
    /// Volumes that do not name a cache folder have a share in the node's.
    pub cache_for_all: bool,
}

/// What an inline volume may ask for: whoever may make a pod may write it, so nothing that reaches past the
/// pod's own data or takes the node's memory is among them.
const INLINE: [&str; 11] = [
    "block-size",
    "fetch-max",
    "uid",
    "gid",
    "file-mode",
    "dir-mode",
    "metadata-ttl",
    "negative-ttl",
    "read-ahead",
    "region",
    "azure-auth",
];

/// What is asked of a volume, beside its attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The volume context.
    pub(crate) attributes: &'a HashMap<String, String>,
    /// The mount options of its capability.
    pub(crate) flags: &'a [String],
    /// The access mode allows no writing.
    pub(crate) read_only: bool,
    /// The group of the pod (`fsGroup`).
    pub(crate) group: Option<&'a str>,
    /// What its secret holds.
    pub(crate) credential: &'a Credential,
    /// It is written in the pod.
    pub(crate) inline: bool,
}

/// A volume, and what a person should know about how its description was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Described {
    pub(crate) volume: Volume,
    pub(crate) notes: Vec<String>,
}

/// Attributes of blob.csi.azure.com that change nothing here, and why.
const EMPTY: [(&str, &str); 20] = [
    ("protocol", "one protocol serves all"),
    ("useadls", "both kinds of account are read through the Blob endpoint"),
    ("ishnsenabled", "both kinds of account are read through the Blob endpoint"),
    ("secretname", "name the secret with nodeStageSecretRef; the driver reads none by itself"),
    ("secretnamespace", "name the secret with nodeStageSecretRef; the driver reads none by itself"),
    ("storeaccountkey", "the driver makes no secret"),
    ("getlatestaccountkey", "the driver asks no management API"),
    ("subscriptionid", "the driver asks no management API"),
    ("resourcegroup", "the driver asks no management API"),
    ("skuname", "the driver makes no account"),
    ("storageaccounttype", "the driver makes no account"),
    ("location", "the driver makes no account"),
    ("networkendpointtype", "the driver makes no account"),
    ("azurestorageidentityobjectid", "name the identity by AzureStorageIdentityClientID"),
    ("azurestorageidentityresourceid", "name the identity by AzureStorageIdentityClientID"),
    ("msiendpoint", "the endpoint of the machine is found by itself"),
    ("azurestorageaadendpoint", "workload identity takes it from its environment"),
    ("mountpermissions", "fileMode and dirMode rule permissions"),
    ("fsgroupchangepolicy", "the group comes with the mount; nothing is changed file by file"),
    ("ephemeral", "Kubernetes says so itself"),
];

/// Attributes that cannot be honoured, so that ignoring them would surprise.
const REFUSED: [(&str, &str); 6] = [
    ("keyvaulturl", "secrets are not read from a key vault; put the SAS into a Secret"),
    ("keyvaultsecretname", "secrets are not read from a key vault; put the SAS into a Secret"),
    (
        "azurestoragespnclientid",
        "a service principal with a secret is not spoken; use a SAS, workload or managed identity",
    ),
    (
        "azurestoragespntenantid",
        "a service principal with a secret is not spoken; use a SAS, workload or managed identity",
    ),
    (
        "mountwithworkloadidentitytoken",
        "tokens of the pod's own service account are not exchanged yet; use a SAS or the node's identity",
    ),
    ("clientid", "tokens of the pod's own service account are not exchanged yet; use a SAS or the node's identity"),
];

/// Reads the description of a volume.
///
/// # Errors
/// What is wrong with it, and what it should be.
pub(crate) fn describe(asked: &Asked<'_>, policy: &Policy) -> Result<Described, Fault> {
    let mut given = folded(asked.attributes)?;
    let mut notes = Vec::new();
    let inline_flags = given.remove("mountoptions").unwrap_or_default();
    let flags = MountFlags::read(asked.flags.iter().map(String::as_str).chain([inline_flags.as_str()]))?;
    if let (Some(unknown), true) = (flags.unknown.first(), asked.inline) {
        return Err(Fault::invalid(format!("mountOptions: {unknown} is not known")));
    }
    notes.extend(flags.notes.iter().map(|note| format!("mountOptions: {note}")));
    let disk_cache = disk_cache(given.remove("cachedir").as_deref(), policy, &mut notes)?;
    let plan = given.remove("plan").filter(|plan| !plan.is_empty()).map(|plan| stored_plan(&plan)).transpose()?;
    let place = place(&mut given, flags.container.as_deref(), asked.credential, policy)?;
    let mut settings = flags.settings;
    if let Some(endpoint) = place.endpoint {
        settings.entry("endpoint".to_owned()).or_insert(endpoint);
    }
    if let Some(region) = &asked.credential.region {
        settings.entry("region".to_owned()).or_insert_with(|| region.clone());
    }
    for (name, value) in given {
        attribute(&name, &value, &mut settings, &mut notes)?;
    }
    if asked.inline {
        refuse_beyond(&settings, policy)?;
    }
    for (name, value) in &policy.defaults {
        settings.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let group = asked.group.filter(|group| !group.is_empty());
    if let Some(group) = group {
        let number =
            group.parse::<u32>().map_err(|_| Fault::invalid(format!("the mount group {group} is no number")))?;
        settings.insert("gid".to_owned(), number.to_string());
    }
    let mut said = |name: &str| settings.remove(name).and_then(|word| parse_switch(&word));
    let read_only = asked.read_only || flags.read_only || said("read-only") == Some(true);
    let allow_exec = !flags.no_exec && said("allow-exec") != Some(false);
    if let Some((file, dir)) = modes(read_only, group.is_some()) {
        settings.entry("file-mode".to_owned()).or_insert_with(|| file.to_owned());
        settings.entry("dir-mode".to_owned()).or_insert_with(|| dir.to_owned());
    }
    // Not those of the process that serves, who is nobody in the pod's eyes.
    for owner in ["uid", "gid"] {
        settings.entry(owner.to_owned()).or_insert_with(|| "0".to_owned());
    }
    let volume = Volume { url: place.url, settings, read_only, allow_exec, plan, disk_cache };
    Ok(Described { volume, notes })
}

/// Whether a volume has a share in the node's cache folder. It names that folder and no other: which folders of a
/// node may be written in is for its administrator to say.
fn disk_cache(said: Option<&str>, policy: &Policy, notes: &mut Vec<String>) -> Result<bool, Fault> {
    match (said, &policy.cache) {
        (None | Some(""), folder) => Ok(folder.is_some() && policy.cache_for_all),
        (Some("none"), _) => Ok(false),
        (Some("node"), Some(_)) => Ok(true),
        (Some(path), Some(folder)) if path.trim_end_matches('/') == folder.trim_end_matches('/') => Ok(true),
        (Some(path), Some(folder)) => Err(Fault::invalid(format!(
            "attribute cacheDir = {path:?}: the nodes have the cache folder {folder}; write that, node or none"
        ))),
        (Some(_), None) => {
            notes.push("attribute cacheDir: the nodes have no cache folder (mounts.cache.path of the chart); memory is the cache".to_owned());
            Ok(false)
        }
    }
}

/// The file of the volume that holds its plan; the path is one inside the volume, because a volume names no file of
/// its node.
fn stored_plan(path: &str) -> Result<String, Fault> {
    let odd = path.starts_with('/') || path.split('/').any(|part| matches!(part, "" | "." | ".."));
    if odd {
        return Err(Fault::invalid(format!(
            "attribute plan = {path:?}: write the path of a file in the volume, such as plans/epoch"
        )));
    }
    Ok(path.to_owned())
}

/// Permission bits of files and folders where the volume says none and those of `rfuse` do not fit. Who may have a
/// volume is for Kubernetes to say: its pods may do what its access mode allows, whoever they run as, unless a
/// group was asked for.
fn modes(read_only: bool, for_a_group: bool) -> Option<(&'static str, &'static str)> {
    match (read_only, for_a_group) {
        (true, false) => None,
        (true, true) => Some(("0440", "0550")),
        (false, false) => Some(("0666", "0777")),
        (false, true) => Some(("0660", "0770")),
    }
}

/// Attributes by their names in small letters; Kubernetes' own are left out.
fn folded(attributes: &HashMap<String, String>) -> Result<BTreeMap<String, String>, Fault> {
    let mut folded: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in attributes.iter().filter(|(name, _)| !name.contains('/')) {
        let plain = name.to_ascii_lowercase().replace('-', "");
        if let Some(other) = folded.insert(plain, value.trim().to_owned())
            && other != value.trim()
        {
            return Err(Fault::invalid(format!(
                "the attribute {name} is given twice, in two spellings and with two values"
            )));
        }
    }
    Ok(folded)
}

#[derive(Debug)]
struct Place {
    url: String,
    endpoint: Option<String>,
}

/// Where the volume is: our `url`, or account and container as blob.csi.azure.com has them.
fn place(
    given: &mut BTreeMap<String, String>,
    container_flag: Option<&str>,
    credential: &Credential,
    policy: &Policy,
) -> Result<Place, Fault> {
    let mut take = |names: &[&str]| names.iter().filter_map(|name| given.remove(*name)).find(|text| !text.is_empty());
    if let Some(protocol) = take(&["protocol"]).filter(|protocol| protocol.eq_ignore_ascii_case("nfs")) {
        return Err(Fault::invalid(format!("protocol {protocol} is not spoken; leave it out, or write fuse2")));
    }
    let account = take(&["storageaccount", "storageaccountname"]);
    let container = take(&["containername"]).or_else(|| container_flag.map(str::to_owned));
    let (server, suffix) = (take(&["server"]), take(&["storageendpointsuffix"]));
    let url = take(&["url"]);
    let (text, endpoint) = match (url, container) {
        (Some(url), None) if account.is_none() => (url, None),
        (Some(_), _) => return Err(Fault::invalid("give url, or storageAccount and containerName, not both")),
        (None, None) => {
            return Err(Fault::invalid("the volume names no place; give url: az://ACCOUNT/CONTAINER or s3://BUCKET"));
        }
        (None, Some(container)) => {
            let account = account.or_else(|| credential.account.clone());
            let account = account
                .ok_or_else(|| Fault::invalid("neither attribute storageAccount nor the secret names the account"))?;
            let server =
                server.or_else(|| suffix.map(|suffix| format!("{account}.blob.{}", suffix.trim_start_matches('.'))));
            (format!("az://{account}/{container}"), server.map(|server| format!("https://{server}")))
        }
    };
    if text.contains('?') {
        return Err(Fault::invalid("the url holds a query; a SAS belongs into a Secret, never into a volume"));
    }
    let parsed = ParsedUrl::parse(&text, credential.account.as_deref()).map_err(|error| {
        Fault::invalid(format!("{error}; write az://ACCOUNT/CONTAINER[/PREFIX] or s3://BUCKET[/PREFIX]"))
    })?;
    match &parsed.location {
        Location::Local(_) | Location::Memory if !policy.local => {
            return Err(Fault::invalid("a folder of the node is no volume of this driver; use az:// or s3://"));
        }
        Location::Azure { account, .. } => {
            if let Some(other) = credential.account.as_ref().filter(|other| *other != account) {
                return Err(Fault::invalid(format!("the secret is for account {other}, the volume for {account}")));
            }
        }
        _ => {}
    }
    let endpoint = parsed.endpoint.clone().or(endpoint);
    Ok(Place { url: parsed.location.to_string(), endpoint })
}

fn attribute(
    name: &str,
    value: &str,
    settings: &mut BTreeMap<String, String>,
    notes: &mut Vec<String>,
) -> Result<(), Fault> {
    if let Some((_, why)) = EMPTY.iter().find(|(known, _)| *known == name) {
        notes.push(format!("attribute {name}: {why}"));
        return Ok(());
    }
    if let Some((_, why)) = REFUSED.iter().find(|(known, _)| *known == name) {
        return Err(Fault::invalid(format!("attribute {name}: {why}")));
    }
    let (setting, value) = match name {
        "azurestorageauthtype" => ("azure-auth", auth_type(value)?),
        "azurestorageidentityclientid" => ("azure-client-id", value.to_owned()),
        // The folder is the node's and has a size of its own; a volume has a share in it.
        "cachesize" => ("cache-quota", value.to_owned()),
        name => {
            let setting = SETTINGS.iter().find(|setting| setting.attribute().eq_ignore_ascii_case(name));
            let Some(setting) = setting.filter(|setting| may_choose(setting)) else { return Err(unknown(name)) };
            (setting.name, value.to_owned())
        }
    };
    if let Some(Err(why)) = Setting::named(setting).map(|setting| setting.check(&value)) {
        return Err(Fault::invalid(format!("attribute {name} = {value:?}: {why}")));
    }
    settings.insert(setting.to_owned(), value);
    Ok(())
}

fn auth_type(value: &str) -> Result<String, Fault> {
    match value.to_ascii_lowercase().as_str() {
        "key" => Ok("key".to_owned()),
        "sas" => Ok("sas".to_owned()),
        "msi" => Ok("managed-identity".to_owned()),
        _ => Err(Fault::invalid(format!("AzureStorageAuthType {value:?} is not spoken; use Key, SAS or MSI"))),
    }
}

fn unknown(name: &str) -> Fault {
    let ours = SETTINGS.iter().filter(|setting| may_choose(setting)).map(Setting::attribute);
    let known = ours.chain(["url", "storageAccount", "containerName", "server", "mountOptions"].map(str::to_owned));
    let hint = nearest(name, known).map_or(String::new(), |near| format!("; did you mean {near}?"));
    Fault::invalid(format!("the attribute {name} is not known{hint}"))
}

fn refuse_beyond(settings: &BTreeMap<String, String>, policy: &Policy) -> Result<(), Fault> {
    let allowed = |name: &str| INLINE.contains(&name) || policy.inline.iter().any(|more| more == name);
    match settings.keys().find(|name| !allowed(name)) {
        None => Ok(()),
        Some(name) => Err(Fault::invalid(format!(
            "an inline volume may not choose {name}; make a PersistentVolume, or let the cluster's administrator allow it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pairs: &[(&str, &str)], credential: &Credential, inline: bool) -> Result<Described, Fault> {
        let attributes = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let asked = Asked { attributes: &attributes, flags: &[], read_only: true, group: None, credential, inline };
        describe(&asked, &Policy::default())
    }

    fn plain(pairs: &[(&str, &str)]) -> Result<Described, Fault> {
        read(pairs, &Credential::default(), false)
    }

    #[test]
    fn the_published_volume_is_read_as_it_is() {
        let described = plain(&[
            ("protocol", "fuse2"),
            ("storageAccount", "avaksinput"),
            ("containerName", "resim"),
            ("use-adls", "true"),
            ("storage.kubernetes.io/csiProvisionerIdentity", "x"),
            ("csi.storage.k8s.io/pod.name", "p"),
        ]);
        let described = described.unwrap();
        assert_eq!(described.volume.url, "az://avaksinput/resim");
        let expected = [("gid", "0"), ("uid", "0")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(described.volume.settings, expected.into());
    }

    #[test]
    fn our_own_attributes_are_settings_whatever_their_case() {
        let described = plain(&[("URL", "s3://bucket/logs"), ("BLOCKSIZE", "8KiB"), ("readAhead", "1MiB")]).unwrap();
        assert_eq!(described.volume.url, "s3://bucket/logs/");
        assert_eq!(described.volume.settings["block-size"], "8KiB");
        assert_eq!(described.volume.settings["read-ahead"], "1MiB");
    }

    #[test]
    fn what_may_be_written_is_open_to_its_pods_and_what_may_not_is_read_only_by_any_word() {
        let written = |pairs: &[(&str, &str)], group| {
            let attributes = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let credential = Credential::default();
            let asked = Asked {
                attributes: &attributes,
                flags: &[],
                read_only: false,
                group,
                credential: &credential,
                inline: false,
            };
            describe(&asked, &Policy::default()).unwrap().volume
        };
        let volume = written(&[("url", "s3://b")], None);
        assert!(!volume.read_only && volume.allow_exec);
        assert_eq!((volume.settings["file-mode"].as_str(), volume.settings["dir-mode"].as_str()), ("0666", "0777"));
        let volume = written(&[("url", "s3://b"), ("fileMode", "0640")], Some("7"));
        assert_eq!((volume.settings["file-mode"].as_str(), volume.settings["dir-mode"].as_str()), ("0640", "0770"));
        let volume = written(&[("url", "s3://b"), ("readOnly", "yes"), ("allowExec", "no")], None);
        assert!(volume.read_only && !volume.allow_exec);
        assert!(!volume.settings.contains_key("read-only") && !volume.settings.contains_key("file-mode"));
    }

    #[test]
    fn a_volume_has_a_profile_and_a_share_of_the_cache_folder() {
        let settings =
            plain(&[("url", "s3://b"), ("profile", "resim"), ("cacheSize", "20GiB")]).unwrap().volume.settings;
        assert_eq!((settings["profile"].as_str(), settings["cache-quota"].as_str()), ("resim", "20GiB"));
        assert!(plain(&[("url", "s3://b"), ("profile", "fast")]).is_err());
        assert!(plain(&[("url", "s3://b"), ("cacheSize", "much")]).is_err());
    }

    #[test]
    fn a_plan_is_a_file_of_the_volume() {
        let described = plain(&[("url", "s3://b"), ("plan", "plans/epoch-3")]).unwrap();
        assert_eq!(described.volume.plan.as_deref(), Some("plans/epoch-3"));
        for outside in ["/etc/passwd", "../other/plan", "a//b"] {
            assert!(plain(&[("url", "s3://b"), ("plan", outside)]).is_err(), "{outside}");
        }
    }

    #[test]
    fn a_volume_shares_the_cache_folder_of_its_node_and_names_no_other() {
        let of = |said: &[(&str, &str)], policy: &Policy| {
            let mut attributes = HashMap::from([("url".to_owned(), "s3://b".to_owned())]);
            attributes.extend(said.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            let credential = Credential::default();
            let asked = Asked {
                attributes: &attributes,
                flags: &[],
                read_only: true,
                group: None,
                credential: &credential,
                inline: false,
            };
            describe(&asked, policy).map(|described| (described.volume.disk_cache, described.notes.len()))
        };
        let none = Policy::default();
        let some = Policy { cache: Some("/mnt/nvme/rfuse".into()), ..Policy::default() };
        let all = Policy { cache_for_all: true, ..some.clone() };
        assert_eq!(of(&[], &none).unwrap(), (false, 0));
        assert_eq!(of(&[("cacheDir", "node")], &none).unwrap(), (false, 1), "memory is cache enough");
        assert_eq!(of(&[], &some).unwrap(), (false, 0));
        assert_eq!(of(&[("cacheDir", "/mnt/nvme/rfuse/")], &some).unwrap(), (true, 0));
        assert_eq!(of(&[], &all).unwrap(), (true, 0));
        assert_eq!(of(&[("cacheDir", "none")], &all).unwrap(), (false, 0));
        assert!(of(&[("cacheDir", "/etc")], &all).unwrap_err().to_string().contains("/mnt/nvme/rfuse"));
    }

    #[test]
    fn two_spellings_with_two_values_are_refused_and_with_one_are_not() {
        assert!(plain(&[("url", "s3://a"), ("URL", "s3://b")]).unwrap_err().to_string().contains("twice"));
        assert!(plain(&[("url", "s3://a"), ("URL", "s3://a")]).is_ok());
    }

    #[test]
    fn the_account_may_come_from_the_secret_and_must_not_contradict_it() {
        let secret = Credential { account: Some("acme".into()), ..Credential::default() };
        assert_eq!(read(&[("containerName", "logs")], &secret, false).unwrap().volume.url, "az://acme/logs");
        let error = read(&[("containerName", "logs"), ("storageAccount", "other")], &secret, false).unwrap_err();
        assert!(error.to_string().contains("acme") && error.to_string().contains("other"), "{error}");
    }

    #[test]
    fn other_endpoints_are_named_as_there() {
        let of = |pairs: &[(&str, &str)]| plain(pairs).unwrap().volume.settings["endpoint"].clone();
        let base = [("storageAccount", "acme"), ("containerName", "logs")];
        assert_eq!(
            of(&[base[0], base[1], ("storageEndpointSuffix", "core.chinacloudapi.cn")]),
            "https://acme.blob.core.chinacloudapi.cn"
        );
        assert_eq!(of(&[base[0], base[1], ("server", "acme.privatelink.example")]), "https://acme.privatelink.example");
        assert_eq!(
            of(&[("url", "http://127.0.0.1:10000/devstoreaccount1/c")]),
            "http://127.0.0.1:10000/devstoreaccount1"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_reason() {
        for (pairs, word) in [
            (&[("url", "s3://b"), ("blokSize", "4KiB")][..], "blockSize"),
            (&[("url", "s3://b"), ("blockSize", "5KiB")], "blocksize"),
            (&[("url", "az://a/c?sig=canary")], "Secret"),
            (&[("url", "file:///etc")], "folder of the node"),
            (&[("containerName", "c"), ("storageAccount", "a"), ("protocol", "nfs")], "nfs"),
            (&[("url", "s3://b"), ("keyVaultURL", "https://x")], "key vault"),
            (&[("url", "s3://b"), ("sasFile", "/etc/shadow")], "not known"),
            (&[], "names no place"),
            (&[("url", "s3://b"), ("containerName", "c"), ("storageAccount", "a")], "not both"),
        ] {
            let error = plain(pairs).unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.to_string().contains(word) && !error.to_string().contains("canary"), "{error}");
        }
    }

    #[test]
    fn an_inline_volume_chooses_little() {
        let inline = |pairs: &[(&str, &str)]| read(pairs, &Credential::default(), true);
        assert!(inline(&[("url", "s3://b"), ("blockSize", "4KiB"), ("mountOptions", "-o ro --uid=7")]).is_ok());
        for (name, value) in [("memory", "64GiB"), ("endpoint", "http://169.254.169.254"), ("requestsInFlight", "9")] {
            assert!(inline(&[("url", "s3://b"), (name, value)]).unwrap_err().to_string().contains("inline"), "{name}");
        }
        assert!(inline(&[("url", "s3://b"), ("mountOptions", "--memory=64GiB")]).is_err());
        assert!(inline(&[("url", "s3://b"), ("mountOptions", "--tmp-path=/x --wat")]).is_err());
        assert!(inline(&[("url", "http://10.0.0.1/acme/c")]).is_err(), "an endpoint in the url is one");
    }

    #[test]
    fn the_group_of_a_pod_becomes_the_group_of_the_files() {
        let attributes = HashMap::from([("url".to_owned(), "s3://b".to_owned())]);
        let (credential, group) = (Credential::default(), Some("2000"));
        let asked = Asked {
            attributes: &attributes,
            flags: &[],
            read_only: false,
            group,
            credential: &credential,
            inline: false,
        };
        let settings = describe(&asked, &Policy::default()).unwrap().volume.settings;
        assert_eq!((settings["gid"].as_str(), settings["dir-mode"].as_str()), ("2000", "0770"));
        assert!(describe(&Asked { group: Some("staff"), ..asked }, &Policy::default()).is_err());
    }

    proptest! {
        #[test]
        fn no_attribute_panics_and_every_setting_taken_is_valid(
            pairs in proptest::collection::hash_map("[a-zA-Z-]{1,16}", "\\PC{0,20}", 0..5), inline: bool,
        ) {
            let mut attributes = pairs;
            attributes.insert("url".into(), "az://acme/logs".into());
            let credential = Credential::default();
            let asked = Asked { attributes: &attributes, flags: &[], read_only: true, group: None, credential: &credential, inline };
            if let Ok(described) = describe(&asked, &Policy::default()) {
                for (name, value) in described.volume.settings {
                    let setting = Setting::named(&name).unwrap();
                    prop_assert!(setting.check(&value).is_ok() && !setting.is_secret());
                }
            }
        }
    }
}
