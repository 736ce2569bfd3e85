//! Every source of credentials, with an environment, files and issuers made for the test.

use std::collections::HashMap;

use bytes::Bytes;
use http::{Request, Response};
use reqsign_core::{HttpSend, StaticEnv};
use reqsign_file_read_tokio::TokioFileRead;
use rfuse_config::{Limits, Secret};
use tempfile::TempDir;

use super::*;
use crate::http::HttpClient;
use crate::http::odd_server::OddServer;
use crate::s3::bucket::Bucket;

/// Answers every request with the same text and keeps what it was asked.
#[derive(Clone, Debug)]
struct Issuer {
    status: u16,
    body: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Issuer {
    fn saying(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), asked: Arc::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl HttpSend for Issuer {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let (parts, body) = request.into_parts();
        let text = format!("{} {} {:?} {}", parts.method, parts.uri, parts.headers, String::from_utf8_lossy(&body));
        self.asked.lock().unwrap().push(text);
        Ok(Response::builder().status(self.status).body(Bytes::from(self.body.clone())).unwrap())
    }
}

/// A world with a home of its own, whose metadata service is switched off.
struct World {
    home: TempDir,
    variables: HashMap<String, String>,
    http: HttpClient,
}

impl World {
    fn new() -> Self {
        let http = HttpClient::direct(&Limits::default()).unwrap();
        let this = Self { home: tempfile::tempdir().unwrap(), variables: HashMap::new(), http };
        this.with("AWS_EC2_METADATA_DISABLED", "true")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn with_file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn context(&self, http: impl HttpSend) -> Context {
        let env = StaticEnv { home_dir: Some(self.home.path().to_owned()), envs: self.variables.clone() };
        Context::new().with_env(env).with_file_read(TokioFileRead).with_http_send(http)
    }

    async fn open(&self, choice: &AwsCredential, http: impl HttpSend) -> Result<Arc<Credentials>, StoreError> {
        let bucket = Bucket::at("logs", "eu-west-1", Some("http://127.0.0.1:1"), None).unwrap();
        let wire = Wire { http: self.http.clone(), bucket, requester_pays: false };
        Credentials::open(choice, self.context(http), Arc::new(wire)).await
    }

    /// Key id and origin of what is found.
    async fn found(&self, choice: &AwsCredential, http: impl HttpSend) -> Result<(String, String), StoreError> {
        let credentials = self.open(choice, http).await?;
        let held = credentials.cell.get();
        Ok((held.loaded.as_ref().unwrap().id.clone(), credentials.describe()))
    }
}

fn no_issuer() -> Issuer {
    Issuer::saying(500, "")
}

fn any() -> AwsCredential {
    AwsCredential::Default { profile: None }
}

fn named(profile: &str) -> AwsCredential {
    AwsCredential::Default { profile: Some(profile.to_owned()) }
}

fn key_pair(id: &str) -> String {
    format!("aws_access_key_id = {id}\naws_secret_access_key = canary\n")
}

fn in_an_hour() -> String {
    (jiff::Timestamp::now() + Duration::from_secs(3600)).to_string()
}

/// What ECS and IMDS answer.
fn metadata_json(id: &str, expiration: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"canary","Token":"t","Expiration":"{expiration}"}}"#
    )
}

fn http_answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What STS answers.
fn sts_xml(action: &str, id: &str) -> String {
    format!(
        "<{action}Response><{action}Result><Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>canary\
         </SecretAccessKey><SessionToken>tok</SessionToken><Expiration>{}</Expiration></Credentials></{action}Result>\
         </{action}Response>",
        in_an_hour()
    )
}

#[tokio::test]
async fn the_environment_comes_first() {
    let world = World::new()
        .with("AWS_ACCESS_KEY_ID", "ENV")
        .with("AWS_SECRET_ACCESS_KEY", "canary")
        .with("AWS_SESSION_TOKEN", "t")
        .with_file(".aws/credentials", &format!("[default]\n{}", key_pair("FILE")));
    let (id, origin) = world.found(&any(), no_issuer()).await.unwrap();
    assert_eq!((id.as_str(), origin.contains("environment")), ("ENV", true));
    let empty = world.with("AWS_ACCESS_KEY_ID", "");
    assert_eq!(empty.found(&any(), no_issuer()).await.unwrap().0, "FILE");
}

#[tokio::test]
async fn a_profile_is_found_in_either_file() {
    let world = World::new()
        .with_file(".aws/credentials", &format!("[default]\n{}[two]\n{}", key_pair("ONE"), key_pair("TWO")))
        .with_file(".aws/config", &format!("[profile three]\n{}[profile two]\nregion = x\n", key_pair("THREE")));
    for (choice, id) in [(any(), "ONE"), (named("two"), "TWO"), (named("three"), "THREE")] {
        assert_eq!(world.found(&choice, no_issuer()).await.unwrap().0, id);
    }
    let chosen = world.with("AWS_PROFILE", "two").with("AWS_ACCESS_KEY_ID", "ENV");
    assert_eq!(chosen.found(&any(), no_issuer()).await.unwrap().0, "TWO");
}

#[tokio::test]
async fn files_may_lie_elsewhere() {
    let world = World::new().with_file("other", &format!("[default]\n{}", key_pair("OTHER")));
    let path = world.path("other");
    let world = world.with("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap());
    assert_eq!(world.found(&any(), no_issuer()).await.unwrap().0, "OTHER");
}

#[tokio::test]
async fn a_named_profile_never_gives_way_to_another_identity() {
    let world = World::new()
        .with("AWS_ACCESS_KEY_ID", "ENV")
        .with("AWS_SECRET_ACCESS_KEY", "canary")
        .with_file(".aws/config", "[profile empty]\nregion = eu-west-1\n");
    for (profile, says) in [("missing", "neither in ~/.aws/config"), ("empty", "says nothing of credentials")] {
        let error = world.found(&named(profile), no_issuer()).await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoCredential);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_role_is_assumed_with_the_key_pair_of_another_profile() {
    let role = "role_arn = arn:aws:iam::123456789012:role/reader\n";
    let config = format!("[profile role]\n{role}source_profile = base\nexternal_id = ext\n");
    let world = World::new()
        .with_file(".aws/config", &config)
        .with_file(".aws/credentials", &format!("[base]\n{}", key_pair("BASEBASEBASEBASE")));
    let sts = Issuer::saying(200, &sts_xml("AssumeRole", "ASIAROLEROLEROLE"));
    assert_eq!(world.found(&named("role"), sts.clone()).await.unwrap().0, "ASIAROLEROLEROLE");
    let asked = &sts.asked()[0];
    assert!(asked.contains("https://sts.eu-west-1.amazonaws.com/") && asked.contains("ExternalId=ext"), "{asked}");
    assert!(!asked.contains("canary"), "{asked}");
}

#[tokio::test]
async fn profiles_that_refer_in_a_circle_end() {
    let role = "role_arn = arn:aws:iam::123456789012:role/reader\n";
    let config = format!("[profile a]\n{role}source_profile = b\n[profile b]\n{role}source_profile = a\n");
    let world = World::new().with_file(".aws/config", &config);
    let error = world.found(&named("a"), no_issuer()).await.unwrap_err();
    assert!(error.to_string().contains("refer to each other"), "{error}");
}

#[tokio::test]
async fn single_sign_on_uses_the_login_of_the_aws_command_line() {
    let roles = r#"{"roleCredentials":{"accessKeyId":"SSO","secretAccessKey":"canary","sessionToken":"t",
        "expiration":4102444800000}}"#;
    let login = format!(r#"{{"accessToken":"login-token","expiresAt":"{}"}}"#, in_an_hour());
    let account = "sso_account_id = 123456789012\nsso_role_name = reader\n";
    let session = format!(
        "[profile s]\nsso_session = my-session\n{account}[sso-session my-session]\nsso_region = eu-west-1\n\
         sso_start_url = https://acme.awsapps.com/start\n"
    );
    let legacy =
        format!("[profile s]\nsso_start_url = https://acme.awsapps.com/start\nsso_region = eu-west-1\n{account}");
    // Files are named by the SHA-1 of the session's name, or of the URL.
    for (config, file) in
        [(session, "9e28173066ce536e277c5fb355efd9c64f398167"), (legacy, "40169cea58ca6cbf23fb27b2542923fb5f524af0")]
    {
        let world = World::new().with_file(".aws/config", &config);
        let error = world.found(&named("s"), no_issuer()).await.unwrap_err();
        assert!(error.to_string().contains("aws sso login --profile s"), "{error}");
        let world = world.with_file(&format!(".aws/sso/cache/{file}.json"), &login);
        let portal = Issuer::saying(200, roles);
        assert_eq!(world.found(&named("s"), portal.clone()).await.unwrap().0, "SSO");
        assert!(portal.asked()[0].contains("portal.sso.eu-west-1.amazonaws.com"), "{:?}", portal.asked());
    }
}

#[tokio::test]
async fn a_command_of_the_profile_is_run() {
    let command = r#"echo '{"Version":1,"AccessKeyId":"CMD","SecretAccessKey":"canary"}'"#;
    let world = World::new().with_file(".aws/config", &format!("[default]\ncredential_process = {command}\n"));
    assert_eq!(world.found(&any(), no_issuer()).await.unwrap().0, "CMD");
}

#[tokio::test]
async fn a_service_account_becomes_a_role() {
    let world = World::new().with_file("token", "web-token\n");
    let token = world.path("token");
    let world = world
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap())
        .with("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod");
    let sts = Issuer::saying(200, &sts_xml("AssumeRoleWithWebIdentity", "ASIAPOD"));
    assert_eq!(world.found(&any(), sts.clone()).await.unwrap().0, "ASIAPOD");
    let asked = &sts.asked()[0];
    assert!(asked.contains("https://sts.eu-west-1.amazonaws.com/") && asked.contains("WebIdentityToken=web-token"));
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform \
        sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>";
    let error = world.found(&any(), Issuer::saying(403, denied)).await.unwrap_err();
    assert!(error.to_string().contains("Not authorized to perform sts:AssumeRoleWithWebIdentity"), "{error}");
    let echo = "<html>canary WebIdentityToken=canary</html>";
    let error = world.found(&any(), Issuer::saying(400, echo)).await.unwrap_err();
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_container_asks_its_agent() {
    let agent = OddServer::answering(&[&http_answer(&metadata_json("TASK", &in_an_hour()))]).await;
    let world = World::new()
        .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/creds", agent.url()))
        .with("AWS_CONTAINER_AUTHORIZATION_TOKEN", "agent-token");
    let (id, origin) = world.found(&any(), world.http.clone()).await.unwrap();
    assert_eq!((id.as_str(), origin.as_str()), ("TASK", "the container's role"));
    assert!(agent.requests()[0].contains("authorization: agent-token"), "{:?}", agent.requests());
}

#[tokio::test]
async fn an_instance_asks_its_metadata_service_in_a_session() {
    let role = http_answer(&metadata_json("INSTANCE", &in_an_hour()));
    let service = OddServer::answering(&[&http_answer("session"), &http_answer("my-role"), &role]).await;
    let world = World::new()
        .with("AWS_EC2_METADATA_DISABLED", "false")
        .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", &service.url());
    assert_eq!(world.found(&any(), world.http.clone()).await.unwrap().0, "INSTANCE");
    let requests = service.requests();
    assert!(requests[0].starts_with("PUT /latest/api/token "));
    assert!(requests[2].starts_with("GET /latest/meta-data/iam/security-credentials/my-role "));
    assert!(requests[2].contains("x-aws-ec2-metadata-token: session"));
}

#[tokio::test]
async fn without_any_source_the_user_is_told_what_to_set() {
    let world = World::new();
    let error = world.found(&any(), no_issuer()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::NoCredential);
    for word in ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "anonymous"] {
        assert!(error.message.contains(word), "{error}");
    }
}

#[tokio::test]
async fn a_file_needs_its_profile_and_both_keys() {
    let world = World::new().with_file("c", &format!("[a]\n{}[b]\naws_access_key_id = X\n", key_pair("FILE")));
    let file = |name: &str, profile: &str| AwsCredential::File { path: world.path(name), profile: profile.to_owned() };
    assert_eq!(world.found(&file("c", "a"), no_issuer()).await.unwrap().0, "FILE");
    for (choice, says) in
        [(file("none", "a"), "cannot be read"), (file("c", "z"), "no profile \"z\""), (file("c", "b"), "lacks")]
    {
        let error = world.found(&choice, no_issuer()).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_no_header_can_carry_is_a_bad_credential() {
    let keys = AwsCredential::Keys { id: "a\nb".to_owned(), secret: Secret::new("canary"), session_token: None };
    let error = World::new().open(&keys, no_issuer()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::BadCredential);
}

fn loaded(id: &str, expiry: SystemTime) -> Loaded {
    Loaded {
        id: id.to_owned(),
        secret: Secret::new("canary"),
        token: Some(Secret::new("t")),
        expiry: Some(expiry),
        origin: "a test".to_owned(),
        file: None,
    }
}

#[test]
fn a_credential_ages_ahead_of_its_expiry() {
    let now = SystemTime::now();
    for (life, ageing_at) in [(3600, 3300), (400, 300), (8, 6)] {
        let life = Duration::from_secs(life);
        let held = Held::new(Some(loaded("A", now + life)), "r", now).unwrap();
        let at = |seconds: u64| held.age(now + Duration::from_secs(seconds));
        assert_eq!((at(ageing_at - 1), at(ageing_at)), (Age::Fresh, Age::Ageing));
        assert_eq!(held.age(now + life), Age::Spent);
    }
    assert_eq!(Held::new(None, "r", now).unwrap().age(now + Duration::from_secs(1 << 32)), Age::Fresh);
}

/// Credentials from a container's agent, with `held` in the cell.
async fn at_agent(agent: &OddServer, held: Loaded) -> (Arc<Credentials>, World) {
    let world = World::new().with("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/creds", agent.url()));
    let credentials = world.open(&any(), world.http.clone()).await.unwrap();
    credentials.cell.swap(Held::new(Some(held), "eu-west-1", SystemTime::now() - Duration::from_secs(3600)).unwrap());
    (credentials, world)
}

#[tokio::test]
async fn an_expired_credential_is_renewed_once_however_many_wait() {
    let agent = OddServer::answering(&[&http_answer(&metadata_json("NEW", &in_an_hour()))]).await;
    let (credentials, _world) = at_agent(&agent, loaded("OLD", SystemTime::now() - Duration::from_secs(1))).await;
    let before = agent.requests().len();
    let waiting = (0..50).map(|_| {
        let credentials = credentials.clone();
        tokio::spawn(async move { credentials.current().await.unwrap().loaded.as_ref().unwrap().id.clone() })
    });
    for waiter in waiting.collect::<Vec<_>>() {
        assert_eq!(waiter.await.unwrap(), "NEW");
    }
    assert_eq!(agent.requests().len() - before, 1);
    assert!(credentials.expiry().unwrap() > SystemTime::now() + Duration::from_secs(3000));
}

#[tokio::test]
async fn an_ageing_credential_is_used_while_it_is_renewed_behind() {
    let agent = OddServer::answering(&[&http_answer(&metadata_json("NEW", &in_an_hour()))]).await;
    let (credentials, _world) = at_agent(&agent, loaded("OLD", SystemTime::now() + Duration::from_secs(100))).await;
    let before = agent.requests().len();
    for _ in 0..50 {
        assert_eq!(credentials.current().await.unwrap().loaded.as_ref().unwrap().id, "OLD");
    }
    while credentials.cell.get().loaded.as_ref().unwrap().id == "OLD" {
        tokio::task::yield_now().await;
    }
    assert_eq!(agent.requests().len() - before, 1);
}

#[tokio::test]
async fn an_issuer_that_fails_is_left_alone_for_a_while() {
    let failure = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 46\r\n\r\n\
        {\"SecretAccessKey\":\"canary\",\"Code\":\"Internal\"}"
        .to_owned();
    let agent = OddServer::answering(&[&http_answer(&metadata_json("FIRST", &in_an_hour())), &failure]).await;
    let (credentials, _world) = at_agent(&agent, loaded("OLD", SystemTime::now() - Duration::from_secs(1))).await;
    let before = agent.requests().len();
    for _ in 0..5 {
        let error = credentials.current().await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::NoCredential);
        assert!(!format!("{error:?} {credentials:?}").contains("canary"), "{error:?}");
    }
    assert_eq!(agent.requests().len() - before, 1);
}

#[tokio::test]
async fn a_changed_file_is_refused_when_the_store_cannot_be_asked() {
    let world = World::new().with_file("c", &format!("[a]\n{}", key_pair("OLD")));
    let choice = AwsCredential::File { path: world.path("c"), profile: "a".to_owned() };
    let credentials = world.open(&choice, no_issuer()).await.unwrap();
    assert_eq!(credentials.reload().await.unwrap(), Reloaded::Unchanged);
    let world = world.with_file("c", &format!("[a]\n{}", key_pair("NEW")));
    assert_eq!(credentials.reload().await.unwrap_err().kind, StoreErrorKind::Unreachable);
    assert_eq!(credentials.cell.get().loaded.as_ref().unwrap().id, "OLD");
    assert_eq!(Watched::path(&*credentials), Some(world.path("c")));
}
