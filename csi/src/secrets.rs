//! The keys of a Kubernetes secret, as people write them for blob.csi.azure.com and for the S3 drivers.

use std::collections::{BTreeMap, HashMap};

use rfuse_config::Secret;
use rfuse_host::Sealed;

use crate::fault::Fault;

/// What a secret holds for us.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Credential {
    /// The storage account it is for.
    pub(crate) account: Option<String>,
    /// `sas`, `account-key` or `aws-credentials`.
    pub(crate) secrets: BTreeMap<String, Sealed>,
    /// The region an AWS `config` file names.
    pub(crate) region: Option<String>,
}

const ACCOUNT: [&str; 2] = ["azurestorageaccountname", "accountname"];
const KEY: [&str; 2] = ["azurestorageaccountkey", "accountkey"];
const SAS: [&str; 3] = ["azurestorageaccountsastoken", "accountsastoken", "sastoken"];
const AWS_ID: [&str; 2] = ["key_id", "aws_access_key_id"];
const AWS_KEY: [&str; 2] = ["access_key", "aws_secret_access_key"];
const AWS_TOKEN: [&str; 2] = ["session_token", "aws_session_token"];

impl Credential {
    /// Reads the keys of `given`, whatever their case; values are trimmed.
    ///
    /// # Errors
    /// When a secret is given and holds nothing that is understood, or half of a pair.
    pub(crate) fn read(given: &HashMap<String, String>) -> Result<Self, Fault> {
        let find = |names: &[&str]| {
            let found = given.iter().find(|(key, _)| names.iter().any(|name| key.eq_ignore_ascii_case(name)));
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let mut read = Self { account: find(&ACCOUNT).map(str::to_owned), ..Self::default() };
        let seal = |text: &str| Sealed(Secret::new(text));
        match (find(&SAS), find(&KEY)) {
            (Some(sas), _) => drop(read.secrets.insert("sas".into(), seal(sas.trim_start_matches('?')))),
            (None, Some(key)) if is_sas(key) => {
                read.secrets.insert("sas".into(), seal(key.trim_start_matches('?')));
            }
            (None, Some(key)) => drop(read.secrets.insert("account-key".into(), seal(key))),
            (None, None) => {}
        }
        match (find(&AWS_ID), find(&AWS_KEY)) {
            (Some(id), Some(key)) => {
                let file = credentials_file(id, key, find(&AWS_TOKEN))?;
                read.secrets.insert("aws-credentials".into(), file);
            }
            (None, None) => {}
            _ => return Err(Fault::invalid("the secret has one of key_id and access_key; give both")),
        }
        if let Some(file) = find(&["credentials"]) {
            read.secrets.entry("aws-credentials".into()).or_insert_with(|| seal(file));
        }
        read.region = find(&["config"]).and_then(region);
        if read.secrets.is_empty() && !given.is_empty() {
            let mut keys: Vec<&str> = given.keys().map(String::as_str).collect();
            keys.sort_unstable();
            return Err(Fault::invalid(format!(
                "the secret has the keys {} and none that is understood; give azurestorageaccountname with \
                 azurestorageaccountsastoken or azurestorageaccountkey, or key_id with access_key, or credentials",
                keys.join(", ")
            )));
        }
        Ok(read)
    }
}

/// A SAS has parameters; a key is base64.
fn is_sas(text: &str) -> bool {
    text.starts_with('?') || text.contains("sig=") || text.contains("sv=")
}

/// The text of an AWS credentials file.
fn credentials_file(id: &str, key: &str, token: Option<&str>) -> Result<Sealed, Fault> {
    if [Some(id), Some(key), token].into_iter().flatten().any(|text| text.contains(['\n', '\r'])) {
        return Err(Fault::invalid("key_id, access_key and session_token are one line each"));
    }
    let mut text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {key}\n");
    if let Some(token) = token {
        text.push_str(&format!("aws_session_token = {token}\n"));
    }
    Ok(Sealed(Secret::new(text)))
}

/// The region of the default profile of an AWS `config` file.
fn region(config: &str) -> Option<String> {
    let mut default = true;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            default = line.trim_matches(['[', ']']).trim() == "default";
        } else if let Some((name, value)) = line.split_once('=')
            && default
            && name.trim() == "region"
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Credential, Fault> {
        Credential::read(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn secret<'a>(credential: &'a Credential, name: &str) -> Option<&'a str> {
        credential.secrets.get(name).map(|sealed| sealed.0.reveal())
    }

    #[test]
    fn the_published_secret_is_read_with_its_newline_and_question_mark() {
        let found = read(&[("azurestorageaccountname", "acme\n"), ("AzureStorageAccountSasToken", "?sv=1&sig=x\n")]);
        let found = found.unwrap();
        assert_eq!(found.account.as_deref(), Some("acme"));
        assert_eq!(secret(&found, "sas"), Some("sv=1&sig=x"));
    }

    #[test]
    fn a_sas_under_the_name_of_the_key_is_one() {
        let found = read(&[("azurestorageaccountname", "a"), ("azurestorageaccountkey", "?sv=1&sig=x")]).unwrap();
        assert_eq!(secret(&found, "sas"), Some("sv=1&sig=x"));
        let found = read(&[("azurestorageaccountname", "a"), ("azurestorageaccountkey", "Zm9v==")]).unwrap();
        assert_eq!(secret(&found, "account-key"), Some("Zm9v=="));
    }

    #[test]
    fn keys_of_aws_become_the_file_its_tools_read() {
        let found = read(&[("key_id", "AK"), ("access_key", "sk"), ("session_token", "st")]).unwrap();
        let file = secret(&found, "aws-credentials").unwrap();
        assert_eq!(file, "[default]\naws_access_key_id = AK\naws_secret_access_key = sk\naws_session_token = st\n");
        let found = read(&[("credentials", "[default]\nx=1"), ("config", "[default]\nregion = eu-west-1\n")]).unwrap();
        assert_eq!(found.region.as_deref(), Some("eu-west-1"));
        assert!(secret(&found, "aws-credentials").unwrap().starts_with("[default]"));
        assert!(read(&[("key_id", "AK")]).is_err());
        assert!(read(&[("key_id", "AK\nx"), ("access_key", "k")]).is_err());
    }

    #[test]
    fn a_secret_with_nothing_of_use_names_its_keys_and_no_value() {
        let error = read(&[("passwort", "canary")]).unwrap_err().to_string();
        assert!(error.contains("passwort") && !error.contains("canary"), "{error}");
        assert_eq!(read(&[]).unwrap(), Credential::default());
    }

    proptest! {
        #[test]
        fn nothing_printed_holds_a_value(key in "[a-z_]{1,20}", value in "canary[a-zA-Z0-9=&?]{0,30}") {
            for name in [key.as_str(), "azurestorageaccountsastoken", "azurestorageaccountkey", "credentials", "key_id"] {
                let outcome = read(&[(name, &value), ("azurestorageaccountname", "acme")]);
                let shown = format!("{outcome:?}");
                prop_assert!(!shown.contains("canary"));
            }
        }
    }
}
