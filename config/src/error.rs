//! What can be wrong with words, and where they came from.

use std::path::PathBuf;

use crate::Source;

/// A setting, file or URL that cannot be used. No text of it holds a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key nobody knows.
    #[error("{source_text}: unknown setting \"{key}\"", source_text = .origin)]
    UnknownKey {
        /// The key as written.
        key: String,
        /// Where it was written.
        origin: Source,
        /// The nearest key that exists, in the spelling of the place it was written in.
        nearest: Option<String>,
    },
    /// A value that does not fit its key.
    #[error("{origin}: {key} = {value}: {why}")]
    BadValue {
        /// The key.
        key: String,
        /// The value as written, `***` for a secret.
        value: String,
        /// Where it was written.
        origin: Source,
        /// What is wrong with it.
        why: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A file that is not TOML.
    #[error("{origin}: {why}")]
    Syntax {
        /// Where.
        origin: Source,
        /// What is wrong.
        why: String,
    },
    /// A URL with a scheme we do not speak.
    #[error("unknown scheme \"{scheme}\"")]
    UnknownScheme {
        /// The scheme, or the whole text where there is none and it holds no secret.
        scheme: String,
    },
    /// A URL that lacks something.
    #[error("the URL {why}")]
    BadUrl {
        /// What is wrong, continuing "the URL".
        why: String,
    },
    /// A name that is neither a URL nor a mount of the configuration files.
    #[error("\"{name}\" is neither a URL nor a mount named in a configuration file")]
    UnknownMount {
        /// The name.
        name: String,
        /// The nearest name that exists.
        nearest: Option<String>,
    },
    /// No credential was found for Azure, or the one asked for is not there.
    #[error("{why}")]
    NoCredential {
        /// What was looked for.
        why: String,
    },
}

impl ConfigError {
    /// What to do about it, in one line.
    pub fn help(&self) -> String {
        match self {
            Self::UnknownKey { nearest: Some(near), .. } => format!("did you mean {near}?"),
            Self::UnknownKey { .. } => "`rfuse config show` lists every setting".to_owned(),
            Self::BadValue { key, .. } => format!("`rfuse config show` prints {key} with its default and its help"),
            Self::File { .. } => "check the path and its permissions".to_owned(),
            Self::Syntax { .. } => "correct that line; the file is TOML, such as block-size = \"4KiB\"".to_owned(),
            Self::UnknownScheme { .. } | Self::BadUrl { .. } => URL_HELP.to_owned(),
            Self::UnknownMount { nearest: Some(near), .. } => format!("did you mean {near}?"),
            Self::UnknownMount { .. } => URL_HELP.to_owned(),
            Self::NoCredential { .. } => {
                "name one with --sas-file, AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_KEY or --azure-auth; \
                 --azure-auth anonymous is for public containers"
                    .to_owned()
            }
        }
    }
}

const URL_HELP: &str = "write az://ACCOUNT/CONTAINER[/PREFIX], s3://BUCKET[/PREFIX], file:///DIR or mem:";
