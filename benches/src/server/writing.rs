//! The answers to what writes, in both dialects.

use super::answer::Refusal;
use super::reply::{Body, Reply, escaped};
use super::request::{Dialect, Method, Request};
use super::world::World;

/// A whole object.
pub(super) fn whole(world: &World, request: &Request) -> Result<Reply, Refusal> {
    let tag = world.write(&request.bucket, &request.name, request.body.clone(), &request.condition())?;
    Ok(match request.dialect {
        Dialect::S3 => written(200, &tag),
        Dialect::Azure => written(201, &tag),
    })
}

/// A part of an upload, sent.
pub(super) fn part(world: &World, request: &Request) -> Result<Reply, Refusal> {
    world.check_room()?;
    keep(world, request, request.body.clone())?;
    Ok(match request.dialect {
        Dialect::S3 => written(200, &part_tag(request)),
        Dialect::Azure => plain(201),
    })
}

/// A part of an upload, or an object, of bytes that are here.
pub(super) fn copy(world: &World, request: &Request) -> Result<Reply, Refusal> {
    let source = request.source().ok_or(Refusal::Malformed)?;
    let content = world.read(&source, request.copy_if_match.as_deref())?;
    let is_part = request.parameter("partNumber").is_some() || request.parameter("comp") == Some("block");
    if is_part {
        keep(world, request, content)?;
        return Ok(match request.dialect {
            Dialect::S3 => document("CopyPartResult", &part_tag(request)),
            Dialect::Azure => plain(201),
        });
    }
    let tag = world.write(&request.bucket, &request.name, content, &request.condition())?;
    Ok(match request.dialect {
        Dialect::S3 => document("CopyObjectResult", &tag),
        Dialect::Azure => {
            let mut reply = written(202, &tag);
            reply.lines.push_str("x-ms-copy-id: generated\r\nx-ms-copy-status: success\r\n");
            reply
        }
    })
}

/// The beginning or the end of an upload.
pub(super) fn upload(world: &World, request: &Request) -> Result<Reply, Refusal> {
    let (bucket, name) = (request.bucket.as_str(), request.name.as_str());
    if request.dialect == Dialect::Azure {
        let list = request.body.text();
        let ids: Vec<&str> = ["Uncommitted", "Latest"].iter().flat_map(|tag| values(&list, tag)).collect();
        let content = world.uploads().listed(bucket, name, &ids)?;
        let tag = world.write(bucket, name, content, &request.condition())?;
        world.uploads().forget_blocks(bucket, name);
        return Ok(written(201, &tag));
    }
    let Some(id) = request.parameter("uploadId") else {
        let id = world.uploads().begin(bucket, name)?;
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key>\
             <UploadId>{id}</UploadId></InitiateMultipartUploadResult>",
            escaped(bucket),
            escaped(name)
        );
        return Ok(Reply::text(200, "application/xml", xml));
    };
    if request.method == Method::Delete {
        return if world.uploads().end(id) { Ok(plain(204)) } else { Err(Refusal::NoUpload) };
    }
    let list = request.body.text();
    let numbers: Result<Vec<u32>, _> = values(&list, "PartNumber").map(str::parse).collect();
    let numbers = numbers.map_err(|_| Refusal::Malformed)?;
    let content = world.uploads().joined(id, (bucket, name), &numbers)?;
    let tag = world.write(bucket, name, content, &request.condition())?;
    world.uploads().end(id);
    Ok(document("CompleteMultipartUploadResult", &tag))
}

/// An object goes. S3 does not say whether there was one.
pub(super) fn delete(world: &World, request: &Request) -> Result<Reply, Refusal> {
    match (request.dialect, world.delete(&request.bucket, &request.name, &request.condition())) {
        (Dialect::S3, Ok(()) | Err(Refusal::NoObject)) => Ok(plain(204)),
        (Dialect::Azure, Ok(())) => Ok(plain(202)),
        (_, Err(refusal)) => Err(refusal),
    }
}

fn keep(world: &World, request: &Request, content: super::content::Content) -> Result<(), Refusal> {
    let mut uploads = world.uploads();
    match request.dialect {
        Dialect::S3 => {
            let number = request.parameter("partNumber").and_then(|word| word.parse().ok()).filter(|n| *n > 0);
            let id = request.parameter("uploadId").ok_or(Refusal::NoUpload)?;
            uploads.part(id, number.ok_or(Refusal::Malformed)?, content)
        }
        Dialect::Azure => {
            let id = request.parameter("blockid").ok_or(Refusal::Malformed)?;
            uploads.block(&request.bucket, &request.name, id, content)
        }
    }
}

fn part_tag(request: &Request) -> String {
    format!("part-{}", request.parameter("partNumber").unwrap_or_default())
}

/// What stands between `<tag>` and `</tag>`, each time.
fn values<'a>(xml: &'a str, tag: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (value, after) = after.split_once(&close)?;
        rest = after;
        Some(value)
    })
}

fn plain(status: u16) -> Reply {
    Reply { status, lines: String::new(), body: Body::Absent(0) }
}

fn written(status: u16, tag: &str) -> Reply {
    Reply { lines: format!("etag: \"{tag}\"\r\n"), ..plain(status) }
}

fn document(root: &str, tag: &str) -> Reply {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
         <ETag>&quot;{tag}&quot;</ETag></{root}>"
    );
    Reply::text(200, "application/xml", xml)
}
