//! How a connection comes about: name, TCP, proxy, TLS, all within one time limit.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::failure::ConnectFailure;

type Direct = HttpsConnector<HttpConnector<Resolver>>;
type DirectStream = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections, straight or through the proxy that the environment names for a host.
#[derive(Clone)]
pub(super) struct Connector {
    direct: Direct,
    tls: Arc<ClientConfig>,
    proxies: Option<Arc<Matcher>>,
    limit: Duration,
}

impl Connector {
    /// A connector that gives up after `limit`, the TLS handshake included.
    pub(super) fn new(tls: Arc<ClientConfig>, proxies: Option<Arc<Matcher>>, limit: Duration) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        tcp.set_connect_timeout(Some(limit));
        Self { direct: HttpsConnector::from((tcp, tls.clone())), tls, proxies, limit }
    }

    fn proxy_for(&self, target: &Uri) -> Option<Intercept> {
        self.proxies.as_ref()?.intercept(target)
    }

    async fn connect(mut self, target: Uri) -> Result<Stream, BoxError> {
        let Some(proxy) = self.proxy_for(&target) else {
            return Ok(Stream::Direct(self.direct.call(target).await?));
        };
        if target.scheme_str() == Some("http") {
            return Ok(Stream::Forwarded(self.direct.call(proxy.uri().clone()).await?));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.direct);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        Ok(Stream::Tunnelled(Box::new(HttpsConnector::from((tunnel, self.tls)).call(target).await?)))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (this, limit) = (self.clone(), self.limit);
        Box::pin(async move {
            let via_proxy = this.proxy_for(&target).is_some();
            let peer = match target.port_u16() {
                Some(port) => format!("{}:{port}", target.host().unwrap_or_default()),
                None => target.host().unwrap_or_default().to_owned(),
            };
            match timeout(limit, this.connect(target)).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(ConnectFailure::classify(&*error, &peer, via_proxy)),
                Err(_) => Err(ConnectFailure::slow(&peer, via_proxy, limit)),
            }
        })
    }
}

/// The system's resolver, with an error of its own type so that it can be told from a refused connection.
#[derive(Clone)]
pub(super) struct Resolver(GaiResolver);

/// A host name could not be turned into an address.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
pub(super) struct ResolveError(#[source] pub(super) io::Error);

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let looked_up = self.0.call(name);
        Box::pin(async move { looked_up.await.map_err(ResolveError) })
    }
}

/// An open connection, by how it came about.
pub(super) enum Stream {
    /// To the store itself.
    Direct(DirectStream),
    /// To a proxy that is given whole URLs to fetch (plain http).
    Forwarded(DirectStream),
    /// To the store through a CONNECT tunnel of the proxy.
    Tunnelled(Box<MaybeHttpsStream<DirectStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Direct(stream) => stream.connected(),
            Self::Forwarded(stream) => stream.connected().proxy(true),
            Self::Tunnelled(stream) => stream.connected(),
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Forwarded(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tunnelled(stream) => Pin::new(&mut **stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Forwarded(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tunnelled(stream) => Pin::new(&mut **stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Forwarded(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tunnelled(stream) => Pin::new(&mut **stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Direct(stream) | Self::Forwarded(stream) => stream.is_write_vectored(),
            Self::Tunnelled(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Forwarded(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tunnelled(stream) => Pin::new(&mut **stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(stream) | Self::Forwarded(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tunnelled(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
        }
    }
}
