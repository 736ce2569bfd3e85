//! Requests about the server itself: `/__stats`, `/__reset`, `/__set?latency=10ms&faults=5%25`. Never delayed,
//! never counted, never faulty.

use super::Shared;
use super::reply::Reply;
use super::request::Request;

pub(super) fn answer(shared: &Shared, request: &Request) -> Reply {
    match request.bucket.as_str() {
        "__stats" => stats(shared),
        "__reset" => {
            shared.reset();
            stats(shared)
        }
        "__set" => match shared.set(&request.query) {
            Ok(()) => stats(shared),
            Err(why) => Reply::text(400, "text/plain", why),
        },
        _ => Reply::text(404, "text/plain", "there is /__stats, /__reset and /__set".to_owned()),
    }
}

fn stats(shared: &Shared) -> Reply {
    match serde_json::to_string(&shared.counters.snapshot()) {
        Ok(json) => Reply::text(200, "application/json", json),
        Err(why) => Reply::text(500, "text/plain", why.to_string()),
    }
}
