//! Probes and numbers over HTTP: `/healthz`, `/readyz` and `/metrics` of the node, every mount's included.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tonic::Code;

use crate::client::Client;
use crate::service::words::{NodeStatus, Status};

/// Calls of this process so far.
pub(crate) static CALLS: Calls = Calls(Mutex::new(BTreeMap::new()));

/// Connections at once at most; a scraper needs one.
const CONNECTIONS_MAX: usize = 16;

/// Counts calls by name and outcome. Bound: names and codes are closed sets.
#[derive(Debug)]
pub(crate) struct Calls(Mutex<BTreeMap<Call, (u64, Duration)>>);

/// The name of a call and the code it ended with.
type Call = (&'static str, i32);

impl Calls {
    pub(crate) fn count(&self, name: &'static str, code: Code, time: Duration) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = calls.entry((name, code.into())).or_default();
        entry.0 += 1;
        entry.1 += time;
    }

    fn text(&self) -> String {
        let calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from(
            "# HELP rfuse_csi_operations_total Calls of the kubelet, by outcome.\n# TYPE rfuse_csi_operations_total counter\n",
        );
        let label = |code: i32| format!("{:?}", Code::from(code));
        for ((name, code), (count, _)) in calls.iter() {
            let _ =
                writeln!(text, "rfuse_csi_operations_total{{operation=\"{name}\",code=\"{}\"}} {count}", label(*code));
        }
        text.push_str(
            "# HELP rfuse_csi_operation_seconds_total Time in calls of the kubelet.\n# TYPE rfuse_csi_operation_seconds_total counter\n",
        );
        for ((name, code), (_, time)) in calls.iter() {
            let _ = writeln!(
                text,
                "rfuse_csi_operation_seconds_total{{operation=\"{name}\",code=\"{}\"}} {}",
                label(*code),
                time.as_secs_f64()
            );
        }
        text
    }
}

/// Answers on `address` until the process ends.
pub(crate) async fn serve(address: SocketAddr, client: Option<Client>) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "no probes and no numbers");
            return;
        }
    };
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let client = client.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, client.clone()));
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10)).keep_alive(false);
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>, client: Option<Client>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let (status, text) = tokio::task::spawn_blocking(move || respond(&path, client.as_ref()))
        .await
        .unwrap_or((StatusCode::INTERNAL_SERVER_ERROR, String::new()));
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}

fn respond(path: &str, client: Option<&Client>) -> (StatusCode, String) {
    match (path, client) {
        // Alive is who answers: a mount service that is away is no reason to kill the plugin.
        ("/healthz", _) => (StatusCode::OK, "alive\n".to_owned()),
        ("/readyz", None) => (StatusCode::OK, "ready\n".to_owned()),
        ("/readyz", Some(client)) => match client.ping() {
            Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
            Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
        },
        ("/metrics", client) => {
            let volumes = client.map(|client| client.list(true).unwrap_or_default()).unwrap_or_default();
            let node = client.and_then(|client| client.node().ok());
            (StatusCode::OK, CALLS.text() + &volumes_text(&volumes) + &node.map_or(String::new(), node_text))
        }
        _ => (StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".to_owned()),
    }
}

/// The numbers of the volumes, and those that each mount tells itself with its volume as a label.
fn volumes_text(volumes: &[Status]) -> String {
    let mut text = String::from(
        "# HELP rfuse_csi_volume_serving Whether a process serves the volume now.\n# TYPE rfuse_csi_volume_serving gauge\n",
    );
    for volume in volumes {
        let _ =
            writeln!(text, "rfuse_csi_volume_serving{{volume={}}} {}", quoted(&volume.id), u8::from(volume.serving));
    }
    text.push_str(
        "# HELP rfuse_csi_volume_restarts_total Processes started again.\n# TYPE rfuse_csi_volume_restarts_total counter\n",
    );
    for volume in volumes {
        let _ = writeln!(text, "rfuse_csi_volume_restarts_total{{volume={}}} {}", quoted(&volume.id), volume.restarts);
    }
    // All samples of a name must stand together, under one head.
    let mut families: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for volume in volumes {
        let mut family = String::new();
        for line in volume.metrics.as_deref().unwrap_or_default().lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                family = rest.split(' ').nth(1).unwrap_or_default().to_owned();
                let heads = &mut families.entry(family.clone()).or_default().0;
                if !heads.iter().any(|head| head == line) {
                    heads.push(line.to_owned());
                }
            } else if !line.is_empty() {
                let name = if family.is_empty() { line.to_owned() } else { family.clone() };
                families.entry(name).or_default().1.push(labelled(line, &volume.id));
            }
        }
    }
    for (heads, samples) in families.into_values() {
        for line in heads.into_iter().chain(samples) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

/// The numbers of the mount service as a whole.
fn node_text(node: NodeStatus) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: u64| {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    };
    let help = "Volumes that left this node and left files on it that are not stored.";
    gauge("rfuse_csi_unfinished_volumes", help, node.unfinished as u64);
    let help = "Memory that the processes of this node's volumes may take together.";
    gauge("rfuse_csi_memory_promised_bytes", help, node.memory_promised);
    if let Some(limit) = node.memory_limit {
        gauge("rfuse_csi_memory_limit_bytes", "Memory that the mount service's container may take.", limit);
    }
    text
}

/// A sample with one label more.
fn labelled(line: &str, volume: &str) -> String {
    let label = format!("volume={}", quoted(volume));
    match (line.find('{'), line.find(' ')) {
        (Some(brace), _) => {
            let rest = &line[brace + 1..];
            let comma = if rest.starts_with('}') { "" } else { "," };
            format!("{}{{{label}{comma}{rest}", &line[..brace])
        }
        (None, Some(blank)) => format!("{}{{{label}}}{}", &line[..blank], &line[blank..]),
        (None, None) => line.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounts_numbers_get_its_volume_as_a_label_and_one_head_for_all() {
        let volume = |id: &str, n: u32| Status {
            id: id.into(),
            serving: true,
            metrics: Some(format!("# HELP x Text.\n# TYPE x counter\nx{{tier=\"memory\"}} {n}\nx {n}\n")),
            ..Status::default()
        };
        let text = volumes_text(&[volume("a", 1), volume("b\"", 2)]);
        assert_eq!(text.matches("# TYPE x counter").count(), 1);
        assert!(text.contains("x{volume=\"a\",tier=\"memory\"} 1\n"), "{text}");
        assert!(text.contains("x{volume=\"b\\\"\"} 2\n"), "{text}");
        assert!(text.contains("rfuse_csi_volume_serving{volume=\"a\"} 1\n"));
    }

    #[test]
    fn a_node_without_a_limit_tells_none() {
        let node = NodeStatus { unfinished: 2, memory_promised: 7, memory_limit: None };
        assert!(node_text(node).contains("\nrfuse_csi_unfinished_volumes 2\n"));
        assert!(!node_text(node).contains("limit_bytes"));
        assert!(node_text(NodeStatus { memory_limit: Some(9), ..node }).contains("\nrfuse_csi_memory_limit_bytes 9\n"));
    }
}
