//! An S3 server in this process, for names that real servers refuse or take for others.
//!
//! It keeps objects by their bytes, lists them in byte order as S3 does with `encoding-type=url`, and answers no
//! request whose path is not spelled the one way that Signature Version 4 hashes it, or whose signature is not
//! right for that spelling. It only reads, one thread a connection, and lives as long as its handle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use hmac::{Hmac, Mac as _};
use percent_encoding::percent_decode_str;
use rfuse_config::{AwsCredential, Location, Secret, StoreConfig};
use sha2::{Digest as _, Sha256};

/// The one bucket.
const BUCKET: &str = "odd-names";
/// The one key pair; it opens nothing else.
const KEY: (&str, &str) = ("rfuse-test-id", "rfuse-test-secret");
/// Longest head of a request, in bytes.
const HEAD_MAX: u64 = 64 << 10;
const WRITTEN: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

/// A running server.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    objects: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
    page_max: usize,
    /// Requests still to be answered with 503.
    failing: AtomicUsize,
    ended: AtomicBool,
}

impl S3Server {
    /// An empty server whose listing pages hold at most `page_max` entries.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(page_max: usize) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { page_max: page_max.max(1), ..Shared::default() });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if served.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&served);
                std::thread::spawn(move || serve(&shared, &socket));
            }
        });
        Ok(Self { address, shared })
    }

    /// Keeps an object of this name, whatever its bytes are.
    pub fn put(&self, key: impl Into<Vec<u8>>, body: impl Into<Vec<u8>>) {
        self.shared.objects.write().unwrap_or_else(PoisonError::into_inner).insert(key.into(), body.into());
    }

    /// Answers the next `count` requests with 503.
    pub fn fail(&self, count: usize) {
        self.shared.failing.store(count, Ordering::SeqCst);
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The key pair it knows: id and secret.
    pub fn key_pair(&self) -> (&'static str, &'static str) {
        KEY
    }

    /// What opens its bucket.
    pub fn config(&self) -> StoreConfig {
        let (id, secret) = KEY;
        StoreConfig {
            endpoint: Some(self.url()),
            region: Some("us-east-1".to_owned()),
            aws: AwsCredential::Keys { id: id.to_owned(), secret: Secret::new(secret), session_token: None },
            ..StoreConfig::at(Location::S3 { bucket: BUCKET.to_owned(), prefix: Vec::new() })
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, socket: &TcpStream) {
    let mut reader = BufReader::new(socket);
    while let Some(request) = Request::read(&mut reader) {
        let answer = answer(shared, &request);
        if (&mut &*socket).write_all(&answer.bytes(request.method == "HEAD")).is_err() {
            return;
        }
    }
}

/// A request without a body.
#[derive(Debug, Default)]
struct Request {
    method: String,
    /// As it was sent.
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> Option<Self> {
        let mut reader = reader.take(HEAD_MAX);
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&length| length > 0)?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut request = Self { method, path: path.to_owned(), query: query.to_owned(), ..Self::default() };
        loop {
            line.clear();
            reader.read_line(&mut line).ok().filter(|&length| length > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { return Some(request) };
            request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The parameters of the query, decoded and in order.
    fn parameters(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect()
    }

    /// The path as it must be hashed: each byte of the name encoded once, nothing normalised.
    fn canonical_path(&self) -> String {
        encode(&decode(&self.path), b"/")
    }

    /// Whether the signature is that of this request, by the key pair.
    fn is_signed(&self) -> bool {
        let fields = self.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").unwrap_or_default();
        let field = |name: &str| fields.split(", ").find_map(|field| field.strip_prefix(name)).unwrap_or_default();
        let (credential, names, signature) = (field("Credential="), field("SignedHeaders="), field("Signature="));
        let Some((id, scope)) = credential.split_once('/') else { return false };
        let query = self.parameters();
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={}", encode(name, b""), encode(value, b""))).collect();
        let headers: String = names.split(';').map(|name| format!("{name}:{}\n", self.header(name))).collect();
        let canonical = format!(
            "{}\n{}\n{}\n{headers}\n{names}\n{}",
            self.method,
            self.canonical_path(),
            query.join("&"),
            self.header("x-amz-content-sha256")
        );
        let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.header("x-amz-date"), hash(&canonical));
        let first = format!("AWS4{}", KEY.1).into_bytes();
        let key = scope.split('/').fold(first, |key, part| keyed_hash(&key, part));
        id == KEY.0 && signature == hex(&keyed_hash(&key, &to_sign))
    }
}

struct Answer {
    status: &'static str,
    headers: String,
    body: Vec<u8>,
    /// Of the body that a HEAD does not carry.
    length: usize,
}

impl Answer {
    fn new(status: &'static str, headers: String, body: Vec<u8>) -> Self {
        Self { status, headers, length: body.len(), body }
    }

    fn refusal(status: &'static str, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>").into_bytes();
        Self::new(status, "Content-Type: application/xml\r\n".to_owned(), body)
    }

    fn bytes(&self, without_body: bool) -> Vec<u8> {
        let head = format!("HTTP/1.1 {}\r\n{}Content-Length: {}\r\n\r\n", self.status, self.headers, self.length);
        let body = if without_body { &[] } else { self.body.as_slice() };
        [head.as_bytes(), body].concat()
    }
}

fn answer(shared: &Shared, request: &Request) -> Answer {
    let failing = shared.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if failing.is_ok() {
        return Answer::refusal("503 Service Unavailable", "SlowDown");
    }
    if request.path != request.canonical_path() {
        return Answer::refusal("400 Bad Request", "InvalidURI");
    }
    if !request.is_signed() {
        return Answer::refusal("403 Forbidden", "SignatureDoesNotMatch");
    }
    let path = decode(&request.path);
    let below = path.strip_prefix(b"/").and_then(|path| path.strip_prefix(BUCKET.as_bytes()));
    match (request.method.as_str(), below) {
        ("GET", Some(b"")) => list(shared, &request.parameters()),
        ("GET" | "HEAD", Some([b'/', key @ ..])) => object(shared, key, request),
        (_, Some(_)) => Answer::refusal("405 Method Not Allowed", "MethodNotAllowed"),
        (_, None) => Answer::refusal("404 Not Found", "NoSuchBucket"),
    }
}

fn object(shared: &Shared, key: &[u8], request: &Request) -> Answer {
    let objects = shared.objects.read().unwrap_or_else(PoisonError::into_inner);
    let Some(body) = objects.get(key) else { return Answer::refusal("404 Not Found", "NoSuchKey") };
    let tag = tag_of(body);
    let wanted = request.header("if-match");
    if !wanted.is_empty() && wanted != tag {
        return Answer::refusal("412 Precondition Failed", "PreconditionFailed");
    }
    let described = format!("ETag: {tag}\r\nLast-Modified: {WRITTEN}\r\n");
    let Some((first, last)) = range_of(request.header("range")) else {
        return Answer::new("200 OK", described, body.clone());
    };
    if first >= body.len() {
        return Answer::refusal("416 Range Not Satisfiable", "InvalidRange");
    }
    let last = last.min(body.len() - 1);
    let headers = format!("{described}Content-Range: bytes {first}-{last}/{}\r\n", body.len());
    Answer::new("206 Partial Content", headers, body[first..=last].to_vec())
}

/// `bytes=FIRST-LAST`.
fn range_of(header: &str) -> Option<(usize, usize)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn list(shared: &Shared, query: &BTreeMap<Vec<u8>, Vec<u8>>) -> Answer {
    let parameter = |name: &str| query.get(name.as_bytes()).map(Vec::as_slice);
    if (parameter("list-type"), parameter("encoding-type")) != (Some(b"2"), Some(b"url")) {
        return Answer::refusal("400 Bad Request", "InvalidArgument");
    }
    let prefix = parameter("prefix").unwrap_or_default();
    let from = parameter("continuation-token").map_or_else(|| prefix.to_vec(), unhex);
    let asked = parameter("max-keys").and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    let limit = asked.unwrap_or(shared.page_max).min(shared.page_max);
    let objects = shared.objects.read().unwrap_or_else(PoisonError::into_inner);
    let (mut contents, mut rolled, mut next) = (String::new(), Vec::<&[u8]>::new(), None);
    let mut count = 0;
    for (key, body) in objects.range(from..).take_while(|(key, _)| key.starts_with(prefix)) {
        if rolled.last().is_some_and(|rolled| key.starts_with(rolled)) {
            continue;
        }
        if count == limit {
            next = Some(hex(key));
            break;
        }
        count += 1;
        let slash = key[prefix.len()..].iter().position(|&byte| byte == b'/');
        match slash.filter(|_| parameter("delimiter") == Some(b"/")) {
            Some(slash) => rolled.push(&key[..=prefix.len() + slash]),
            // Writing to a string cannot fail, here and below.
            None => drop(write!(
                contents,
                "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{}</ETag>\
                 <Size>{}</Size></Contents>",
                form_encode(key),
                tag_of(body).replace('"', "&quot;"),
                body.len()
            )),
        }
    }
    for prefix in rolled {
        let _ = write!(contents, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", form_encode(prefix));
    }
    let token = next.map_or_else(String::new, |next| format!("<NextContinuationToken>{next}</NextContinuationToken>"));
    let xml = format!(
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{}</IsTruncated>{token}{contents}\
         </ListBucketResult>",
        !token.is_empty()
    );
    Answer::new("200 OK", "Content-Type: application/xml\r\n".to_owned(), xml.into_bytes())
}

fn tag_of(body: &[u8]) -> String {
    format!("\"{}\"", hex(&Sha256::digest(body)[..16]))
}

fn decode(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// Every byte but letters, digits, `-._~` and those of `kept` as `%XX`.
fn encode(bytes: &[u8], kept: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// As S3 spells names in listings: as forms do, with a `+` for a space.
fn form_encode(bytes: &[u8]) -> String {
    encode(bytes, b"/*").replace('~', "%7E").replace("%20", "+")
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn keyed_hash(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length will do, so this never fails.
    let keyed = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).ok();
    keyed.map(|keyed| keyed.chain_update(text).finalize().into_bytes().to_vec()).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &[u8]) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap_or_default(), 16).unwrap_or_default();
    text.chunks(2).map(byte).collect()
}
