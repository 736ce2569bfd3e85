//! Makes the driver known to the kubelet, as the sidecar node-driver-registrar would.
//!
//! The kubelet dials this socket by its path and sends the path as `:authority`, which the HTTP/2 library under
//! our gRPC server rightly refuses. So these two calls are answered by hand: they are told apart by their bodies,
//! and the headers of a request need not be understood at all. What the answers need of HTTP/2 is below;
//! section numbers are those of RFC 9113, of RFC 7541 for headers.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::DRIVER;
use crate::proto::registration::{PluginInfo, RegistrationStatus, RegistrationStatusResponse};

/// The socket that the kubelet looks for in its registration folder.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join(format!("{DRIVER}-reg.sock"))
}

/// Answers on `listener` until it is dropped. `endpoint` is the driver's socket as the kubelet sees it.
pub(crate) async fn serve(listener: UnixListener, endpoint: String) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // One at a time: there is one kubelet, and it says all it has to say in a moment.
        let talk = tokio::time::timeout(CONNECTION_TIME, converse(stream, &endpoint)).await;
        if let Ok(Err(error)) = talk {
            tracing::debug!(%error, "a registration client left");
        }
    }
}

const CONNECTION_TIME: Duration = Duration::from_secs(10);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame a client may send unasked (4.2), and all that a message here may have.
const FRAME_MAX: usize = 1 << 14;
/// Calls under way on one connection.
const CALLS_MAX: usize = 8;

// Types and flags of frames (6).
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;

/// `:status: 200` by its index; `content-type: application/grpc` as a literal with an indexed name (RFC 7541, 6.1
/// and 6.2.2: index 31 is 15 and 16 more).
const HEAD: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`, both literal.
const TRAILER: &[u8] = b"\x00\x0bgrpc-status\x010";

async fn converse(mut stream: UnixStream, endpoint: &str) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    if preface != PREFACE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not HTTP/2"));
    }
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut bodies: HashMap<u32, Vec<u8>> = HashMap::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let call = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
        if length > FRAME_MAX || bodies.len() > CALLS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "beyond what a registration needs"));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            PING if flags & ACK == 0 => stream.write_all(&frame(PING, ACK, 0, &payload)).await?,
            GOAWAY => return Ok(()),
            DATA => {
                let body = bodies.entry(call).or_default();
                if body.len() + length > FRAME_MAX {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the message is too long"));
                }
                body.extend_from_slice(unpadded(&payload, flags)?);
            }
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            let answer = answer(&bodies.remove(&call).unwrap_or_default(), endpoint)?;
            let mut frames = frame(HEADERS, END_HEADERS, call, HEAD);
            frames.extend(frame(DATA, 0, call, &answer));
            frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, call, TRAILER));
            stream.write_all(&frames).await?;
        }
    }
}

/// The answer to a message: an empty one asks who we are, any other says how the registration went. (One that
/// says "refused" and no reason would be empty too, and gets an answer it does not look at.)
fn answer(body: &[u8], endpoint: &str) -> io::Result<Vec<u8>> {
    // One byte for compression and four for the length, then the message (gRPC over HTTP/2).
    let message = body.get(5..).unwrap_or_default();
    if message.is_empty() {
        let info = PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: DRIVER.to_owned(),
            endpoint: endpoint.to_owned(),
            supported_versions: vec!["1.0.0".to_owned()],
        };
        return Ok(enveloped(&info.encode_to_vec()));
    }
    let status =
        RegistrationStatus::decode(message).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if status.plugin_registered {
        tracing::info!("registered with the kubelet");
    } else {
        tracing::error!(why = status.error, "the kubelet refuses the driver");
    }
    Ok(enveloped(&RegistrationStatusResponse {}.encode_to_vec()))
}

fn enveloped(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// A frame (4.1). What is sent here is far below the limits.
fn frame(kind: u8, flags: u8, call: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    [&length[1..], &[kind, flags], &call.to_be_bytes(), payload].concat()
}

fn unpadded(payload: &[u8], flags: u8) -> io::Result<&[u8]> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let (padding, rest) = payload.split_first().map_or((0, payload), |(first, rest)| (usize::from(*first), rest));
    let end = rest.len().checked_sub(padding).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "padding"))?;
    Ok(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::registration::InfoRequest;
    use crate::proto::registration::registration_client::RegistrationClient;

    #[tokio::test]
    async fn a_grpc_client_of_another_make_understands_the_answers() {
        let folder = tempfile::tempdir().unwrap();
        let path = socket(folder.path());
        let serving = tokio::spawn(serve(UnixListener::bind(&path).unwrap(), "/var/lib/kubelet/x.sock".to_owned()));
        let endpoint = tonic::transport::Endpoint::from_shared(format!("unix://{}", path.display())).unwrap();
        let mut client = RegistrationClient::new(endpoint.connect().await.unwrap());
        let info = client.get_info(InfoRequest {}).await.unwrap().into_inner();
        assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", DRIVER));
        assert_eq!(
            (info.endpoint.as_str(), info.supported_versions),
            ("/var/lib/kubelet/x.sock", vec!["1.0.0".to_owned()])
        );
        for status in [
            RegistrationStatus { plugin_registered: true, error: String::new() },
            RegistrationStatus { plugin_registered: false, error: "no".to_owned() },
        ] {
            client.notify_registration_status(status).await.unwrap();
        }
        serving.abort();
    }

    #[tokio::test]
    async fn headers_are_not_looked_at_and_nonsense_ends_the_connection() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let serving = tokio::spawn(async move { converse(server, "/x").await });
        client.write_all(PREFACE).await.unwrap();
        client.write_all(&frame(HEADERS, END_HEADERS, 1, b"\xff\xff no header block at all")).await.unwrap();
        client.write_all(&frame(DATA, END_STREAM | PADDED, 1, b"\x02\0\0\0\0\0\0\0")).await.unwrap();
        let mut answer = vec![0; 9 + 9 + HEAD.len()];
        client.read_exact(&mut answer).await.unwrap();
        assert!(answer.ends_with(HEAD));
        client.write_all(&[0xff; 9]).await.unwrap();
        assert_eq!(serving.await.unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
