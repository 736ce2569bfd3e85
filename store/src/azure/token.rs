//! Tokens of Microsoft Entra: from the machine's identity, a Kubernetes service account, or the command line.
//!
//! Sources: "How to use managed identities to acquire an access token" (IMDS, App Service), "OAuth 2.0 client
//! credentials flow, third case: federated credential", `az account get-access-token`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use rfuse_config::Secret;
use serde::Deserialize;
use tokio::time::timeout;

use super::auth::Bearer;
use super::name;
use crate::http::HttpClient;
use crate::{Operation, StoreError, StoreErrorKind};

/// What every token is for.
const RESOURCE: &str = "https://storage.azure.com/";
const IMDS: &str = "http://169.254.169.254";
const ANSWER_LIMIT: usize = 256 * 1024;
const CLI_TIMEOUT: Duration = Duration::from_secs(30);

/// Where tokens come from.
#[derive(Clone, Debug)]
pub(super) enum TokenSource {
    /// The instance metadata service of a virtual machine.
    Machine {
        /// `http://HOST`
        host: String,
        client_id: Option<String>,
    },
    /// The identity endpoint of App Service, Container Apps and Functions.
    AppService { url: String, header: Secret, client_id: Option<String> },
    /// A federated token file, exchanged at the authority.
    Federated { authority: String, tenant: String, client_id: String, file: PathBuf },
    /// The Azure command line.
    Cli,
}

impl TokenSource {
    /// The managed identity of this machine, found as the Azure libraries find it.
    pub(super) fn managed_identity(client_id: Option<String>, env: impl Fn(&str) -> Option<String>) -> Self {
        match (env("IDENTITY_ENDPOINT"), env("IDENTITY_HEADER")) {
            (Some(url), Some(header)) => Self::AppService { url, header: Secret::new(header), client_id },
            _ => Self::Machine {
                host: env("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or_else(|| IMDS.to_owned()),
                client_id,
            },
        }
    }

    /// The workload identity that the webhook of AKS put into the environment.
    ///
    /// # Errors
    /// `NoCredential`, naming the variable that is missing.
    pub(super) fn workload_identity(env: impl Fn(&str) -> Option<String>) -> Result<Self, StoreError> {
        let need = |variable: &str| {
            env(variable).filter(|value| !value.is_empty()).ok_or_else(|| {
                none(format!(
                    "workload identity needs {variable}; is the pod labelled azure.workload.identity/use=true?"
                ))
            })
        };
        let authority = env("AZURE_AUTHORITY_HOST").unwrap_or_else(|| "https://login.microsoftonline.com/".to_owned());
        if !authority.starts_with("https://") {
            return Err(none("AZURE_AUTHORITY_HOST is not https".to_owned()));
        }
        Ok(Self::Federated {
            authority: authority.trim_end_matches('/').to_owned(),
            tenant: need("AZURE_TENANT_ID")?,
            client_id: need("AZURE_CLIENT_ID")?,
            file: need("AZURE_FEDERATED_TOKEN_FILE")?.into(),
        })
    }

    /// In words, without any secret.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Machine { client_id: Some(id), .. } | Self::AppService { client_id: Some(id), .. } => {
                format!("managed identity {id}")
            }
            Self::Machine { .. } | Self::AppService { .. } => "managed identity of this machine".to_owned(),
            Self::Federated { client_id, file, .. } => format!("workload identity {client_id} by {}", file.display()),
            Self::Cli => "Azure command line (az login)".to_owned(),
        }
    }

    /// A fresh token.
    ///
    /// # Errors
    /// `NoCredential` with the reason; `TimedOut` and the like when the issuer does not answer.
    pub(super) async fn fetch(&self, http: &HttpClient) -> Result<Bearer, StoreError> {
        let answer = match self {
            Self::Cli => command_line().await?,
            _ => self.ask(http).await?,
        };
        let expiry =
            answer.expiry().ok_or_else(|| none("the issuer does not say when its token expires".to_owned()))?;
        Bearer::new(&answer.access_token, expiry).ok_or_else(|| none("the issuer gave no usable token".to_owned()))
    }

    async fn ask(&self, http: &HttpClient) -> Result<Answer, StoreError> {
        let response = http.send(Operation::Credential, self.request().await?).await?;
        let status = response.status();
        let body = http.small_body(Operation::Credential, response, ANSWER_LIMIT).await?;
        if !status.is_success() {
            let mut error = none(format!("{} was refused{}", self.describe(), reason(&body)));
            error.status = Some(status.as_u16());
            if status.is_server_error() || status.as_u16() == 429 {
                error.kind = StoreErrorKind::Unavailable;
            }
            return Err(error);
        }
        parse(&body)
    }

    async fn request(&self) -> Result<Request<Full<Bytes>>, StoreError> {
        let bad = || none("the address of the token service is not a URL".to_owned());
        let get = |url: String, header: (HeaderName, HeaderValue)| {
            let mut request = Request::new(Full::default());
            *request.uri_mut() = url.parse().map_err(|_| bad())?;
            request.headers_mut().insert(header.0, header.1);
            Ok(request)
        };
        match self {
            Self::Machine { host, client_id } => get(
                identity_url(&format!("{host}/metadata/identity/oauth2/token"), "2018-02-01", client_id.as_deref()),
                (HeaderName::from_static("metadata"), HeaderValue::from_static("true")),
            ),
            Self::AppService { url, header, client_id } => {
                let value = HeaderValue::from_str(header.reveal()).map_err(|_| bad())?;
                get(
                    identity_url(url, "2019-08-01", client_id.as_deref()),
                    (HeaderName::from_static("x-identity-header"), value),
                )
            }
            Self::Federated { authority, tenant, client_id, file } => {
                let assertion = tokio::fs::read_to_string(file).await.map_err(|error| {
                    none(format!("the federated token file {} cannot be read: {error}", file.display()))
                })?;
                let mut request = Request::new(Full::from(federated_form(client_id, assertion.trim())));
                *request.method_mut() = Method::POST;
                *request.uri_mut() = format!("{authority}/{tenant}/oauth2/v2.0/token").parse().map_err(|_| bad())?;
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(CONTENT_TYPE, form);
                Ok(request)
            }
            Self::Cli => Err(bad()),
        }
    }
}

fn identity_url(base: &str, version: &str, client_id: Option<&str>) -> String {
    let mut url = format!("{base}?api-version={version}&resource=");
    name::push_query(&mut url, RESOURCE);
    if let Some(id) = client_id {
        url.push_str("&client_id=");
        name::push_query(&mut url, id);
    }
    url
}

fn federated_form(client_id: &str, assertion: &str) -> String {
    let mut form = String::from("grant_type=client_credentials&scope=");
    name::push_query(&mut form, &format!("{RESOURCE}.default"));
    form.push_str("&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_id=");
    name::push_query(&mut form, client_id);
    form.push_str("&client_assertion=");
    name::push_query(&mut form, assertion);
    form
}

async fn command_line() -> Result<Answer, StoreError> {
    let mut command = tokio::process::Command::new("az");
    command.args(["account", "get-access-token", "--resource", RESOURCE, "--output", "json"]);
    command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let output = match timeout(CLI_TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(none(format!("the Azure command line (az) cannot be started: {error}"))),
        Err(_) => return Err(none(format!("the Azure command line (az) did not answer within {CLI_TIMEOUT:?}"))),
    };
    if !output.status.success() {
        return Err(none("the Azure command line gives no token; run az login".to_owned()));
    }
    parse(&output.stdout)
}

/// The answer of any issuer; they differ in how they write the expiry.
#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "accessToken", deserialize_with = "secret")]
    access_token: Secret,
    #[serde(default)]
    expires_in: Option<Number>,
    /// Seconds since 1970.
    #[serde(default)]
    expires_on: Option<Number>,
}

/// A number, written as one or as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    fn value(&self) -> Option<u64> {
        match self {
            Self::Plain(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl Answer {
    fn expiry(&self) -> Option<SystemTime> {
        let seconds = |number: &Option<Number>| number.as_ref().and_then(Number::value).map(Duration::from_secs);
        let on = seconds(&self.expires_on).and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        on.or_else(|| SystemTime::now().checked_add(seconds(&self.expires_in)?))
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

fn parse(body: &[u8]) -> Result<Answer, StoreError> {
    // The parser's own words could show a piece of the token.
    serde_json::from_slice(body).map_err(|_| none("the answer of the token service cannot be read".to_owned()))
}

/// ` (CODE)` out of an error answer: the short OAuth code and the `AADSTS` number, never the description.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refused {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    let Ok(refused) = serde_json::from_slice::<Refused>(body) else { return String::new() };
    let is_word = |text: &str| text.len() <= 60 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let number = refused.error_description.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    match (is_word(&refused.error), number.starts_with("AADSTS") && is_word(number)) {
        (true, true) => format!(" ({}, {number})", refused.error),
        (true, false) => format!(" ({})", refused.error),
        _ => String::new(),
    }
}

fn none(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::NoCredential, Operation::Credential, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::odd_server::OddServer;
    use rfuse_config::Limits;

    fn answer(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn client() -> HttpClient {
        HttpClient::direct(&Limits::default()).unwrap()
    }

    #[tokio::test]
    async fn the_machine_is_asked_for_a_storage_token() {
        let body = r#"{"access_token":"canary","expires_on":"4102444800","expires_in":"60","token_type":"Bearer"}"#;
        let server = OddServer::answering(&[&answer("200 OK", body)]).await;
        let host = server.url();
        let source = TokenSource::managed_identity(Some("id 1".into()), |name| {
            (name == "AZURE_POD_IDENTITY_AUTHORITY_HOST").then(|| host.clone())
        });
        let token = source.fetch(&client()).await.unwrap();
        assert_eq!(token.expiry, SystemTime::UNIX_EPOCH + Duration::from_secs(4_102_444_800));
        assert_eq!(token.header, "Bearer canary");
        assert!(!format!("{token:?} {source:?} {:?}", token.header).contains("canary"));
        let request = server.requests().remove(0).to_lowercase();
        assert!(request.starts_with("get /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3a%2f%2fstorage.azure.com%2f&client_id=id%201 "), "{request}");
        assert!(request.contains("metadata: true"));
    }

    #[tokio::test]
    async fn a_federated_token_is_exchanged() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "assertion\n").unwrap();
        let server = OddServer::answering(&[&answer("200 OK", r#"{"access_token":"t","expires_in":3600}"#)]).await;
        let source = TokenSource::Federated {
            authority: server.url(),
            tenant: "tenant".into(),
            client_id: "client".into(),
            file: file.path().to_owned(),
        };
        let left = source.fetch(&client()).await.unwrap().expiry.duration_since(SystemTime::now()).unwrap();
        assert!(left > Duration::from_secs(3000) && left <= Duration::from_secs(3600));
        let request = server.requests().remove(0);
        assert!(request.starts_with("POST /tenant/oauth2/v2.0/token "), "{request}");
        assert!(request.ends_with("&client_id=client&client_assertion=assertion"), "{request}");
    }

    #[tokio::test]
    async fn a_refusal_names_its_code_and_nothing_else() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS700016: canary"}"#;
        let server = OddServer::answering(&[&answer("401 Unauthorized", body)]).await;
        let source = TokenSource::Machine { host: server.url(), client_id: None };
        let error = source.fetch(&client()).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoCredential);
        assert!(error.message.contains("invalid_client, AADSTS700016") && !error.message.contains("canary"), "{error}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        let error = TokenSource::workload_identity(|name| (name != "AZURE_CLIENT_ID").then(|| "x".into()));
        assert!(error.unwrap_err().message.contains("https"));
        let error = TokenSource::workload_identity(|name| {
            (name != "AZURE_CLIENT_ID" && name != "AZURE_AUTHORITY_HOST").then(|| "x".into())
        });
        assert!(error.unwrap_err().message.contains("AZURE_CLIENT_ID"));
    }

    #[test]
    fn the_command_lines_answer_is_read() {
        let answer = parse(br#"{"accessToken":"t","expiresOn":"2030-01-01 00:00:00.000000","expires_on":1893456000}"#);
        assert_eq!(answer.unwrap().expiry(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000)));
    }
}
