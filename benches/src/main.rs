//! `rfuse-bench`: the load server, the yardsticks, and the run that sets rfuse beside them.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rfuse_benches::lab::{Cloud, Extent, Lab};
use rfuse_benches::null::{self, NullConfig};
use rfuse_benches::raw::{self, Connections, Load};
use rfuse_benches::run::{Choice, run};
use rfuse_benches::server::{Behaviour, Catalogue, Server};
use rfuse_benches::stream::{self, Stream};
use rfuse_benches::upload::{self, Upload};
use rfuse_benches::{height, plot, words};

#[derive(Parser)]
#[command(name = "rfuse-bench", version, about = "Measures rfuse beside yardsticks, on a store of its own")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve generated objects over S3 and Azure Blob on 127.0.0.1; believes every client, checks no signature
    Serve(ServeArgs),
    /// Set rfuse beside the yardsticks and print the table; ends with 10 when a row is not as it must be
    Run(RunArgs),
    /// Yardstick: random 4 KiB GETs by a bare hyper client
    Raw(RawArgs),
    /// Yardstick: an object fetched in order by hyper-util's pooled client, some pieces at once
    Stream(StreamArgs),
    /// Yardstick: a file sent in parts by hyper-util's pooled client, some at once
    Upload(UploadArgs),
    /// Random 4 KiB GETs through rfuse's own store, to be set beside raw
    Store(StoreArgs),
    /// Yardstick: a file system of one file answered from memory; serves until unmounted
    Null(NullArgs),
}

#[derive(Args)]
struct ServeArgs {
    /// Port; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// An object; may be given again
    #[arg(long, value_name = "BUCKET/NAME=SIZE")]
    object: Vec<String>,
    /// Files in a tree of directories, ten in each; may be given again
    #[arg(long, value_name = "BUCKET=FILES,DIRECTORIES[,SIZE]")]
    tree: Vec<String>,
    /// Every file below a folder, kept in memory; may be given again
    #[arg(long, value_name = "BUCKET=FOLDER")]
    folder: Vec<String>,
    /// Time between request and answer, as 10ms
    #[arg(long, value_name = "TIME")]
    latency: Option<String>,
    /// Bytes a second of one connection, as 64MiB
    #[arg(long, value_name = "SIZE")]
    bandwidth: Option<String>,
    /// Share of requests answered by 503, 500, reset, a truncated body or another range, as 5%
    #[arg(long, value_name = "SHARE")]
    faults: Option<String>,
    /// What decides which requests these are
    #[arg(long)]
    seed: Option<String>,
}

#[derive(Args)]
struct RunArgs {
    /// The rfuse to measure; by default the one that lies beside this program
    #[arg(long, value_name = "FILE")]
    rfuse: Option<PathBuf>,
    /// How the mounts reach the store
    #[arg(long, value_enum, default_value = "s3")]
    cloud: Cloud,
    /// Little of everything: shows that it works, says nothing about speed
    #[arg(long)]
    quick: bool,
    /// Where the sample jobs compute, such as cuda:0; a GPU has rows of its own
    #[arg(long, default_value = rfuse_benches::lab::CPU)]
    device: String,
    /// Only these groups of rows; may be given again
    #[arg(long, value_name = "GROUP", value_parser = clap::builder::PossibleValuesParser::new(rfuse_benches::rows::names()))]
    only: Vec<String>,
    /// No group begins later than this
    #[arg(long, value_parser = words::duration, default_value = "720s")]
    limit: Duration,
    /// Write the table here as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a picture of the table here
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the table here as Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

#[derive(Args)]
struct RawArgs {
    /// The server
    #[arg(value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// The object, as BUCKET/NAME
    object: String,
    /// Its size
    #[arg(long, value_parser = words::size)]
    size: u64,
    /// GETs outstanding all the time
    #[arg(long, default_value_t = 16)]
    outstanding: usize,
    /// For how long
    #[arg(long, value_parser = words::duration, default_value = "3s")]
    time: Duration,
    /// A connection for each, or hyper-util's pool
    #[arg(long, value_enum, default_value = "own")]
    connections: Connections,
}

#[derive(Args)]
struct StreamArgs {
    /// The server
    #[arg(value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// The object, as BUCKET/NAME
    object: String,
    /// Bytes of it to fetch
    #[arg(long, value_parser = words::size)]
    size: u64,
    /// Bytes of one GET
    #[arg(long, value_parser = words::size, default_value = "4MiB")]
    piece: u64,
    /// GETs outstanding all the time
    #[arg(long, default_value_t = 8)]
    outstanding: usize,
}

#[derive(Args)]
struct UploadArgs {
    /// The server
    #[arg(value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// The object, as BUCKET/NAME
    object: String,
    /// What it is to hold
    file: PathBuf,
    /// Bytes of one part
    #[arg(long, value_parser = words::size, default_value = "8MiB")]
    part: u64,
    /// Parts under way all the time
    #[arg(long, default_value_t = 16)]
    outstanding: usize,
}

#[derive(Args)]
struct StoreArgs {
    /// The server
    #[arg(value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// The object, as BUCKET/NAME
    object: String,
    /// Its size
    #[arg(long, value_parser = words::size)]
    size: u64,
    /// How to reach it
    #[arg(long, value_enum, default_value = "s3")]
    cloud: Cloud,
    /// GETs outstanding all the time
    #[arg(long, default_value_t = 16)]
    outstanding: usize,
    /// For how long
    #[arg(long, value_parser = words::duration, default_value = "3s")]
    time: Duration,
}

#[derive(Args)]
struct NullArgs {
    /// Where to mount it
    dir: PathBuf,
    /// Size of the file
    #[arg(long, value_parser = words::size, default_value = "64MiB")]
    size: u64,
    /// Memory it is answered from
    #[arg(long, value_parser = words::size, default_value = "64MiB")]
    memory: u64,
    /// Threads that take requests
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Bytes the kernel may read ahead, up to 128 KiB
    #[arg(long, value_parser = words::size, default_value = "4KiB")]
    read_ahead: u64,
    /// A file to answer from instead, past the page cache
    #[arg(long)]
    file: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().verb {
        Verb::Serve(args) => serve(&args)?,
        Verb::Run(args) => return measure(args),
        Verb::Raw(args) => measure_raw(args)?,
        Verb::Stream(StreamArgs { server, object, size, piece, outstanding }) => {
            let streamed = stream::run(&Stream { server, object, size, piece, outstanding })?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&streamed)?)?;
        }
        Verb::Upload(UploadArgs { server, object, file, part, outstanding }) => {
            let uploaded = upload::run(&Upload { server, object, file, part, outstanding })?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&uploaded)?)?;
        }
        Verb::Store(args) => measure_store(&args)?,
        Verb::Null(args) => {
            let (memory, read_ahead) = (args.memory as usize, args.read_ahead.min(128 << 10) as u32);
            let NullArgs { dir, size, threads, file, .. } = args;
            let config = NullConfig { size, memory, threads, read_ahead, file };
            null::serve(&dir, &config).with_context(|| format!("cannot mount on {}", dir.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(args: RunArgs) -> anyhow::Result<ExitCode> {
    let rfuse = match args.rfuse {
        Some(rfuse) => rfuse,
        None => std::env::current_exe()?.with_file_name("rfuse"),
    };
    let rfuse = rfuse.canonicalize().with_context(|| format!("there is no {}; name it by --rfuse", rfuse.display()))?;
    let extent = if args.quick { Extent::Quick } else { Extent::Full };
    let mut lab = Lab::open(rfuse, args.cloud, extent)?;
    lab.device = args.device;
    let choice = Choice { only: args.only, limit: args.limit };
    let table = run(&lab, &choice, |text| {
        // Whoever closed the terminal still gets the files.
        let _ = std::io::stdout().write_all(text.as_bytes());
    });
    if let Some(file) = args.json {
        std::fs::write(&file, serde_json::to_string_pretty(&table)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = args.svg {
        std::fs::write(&file, plot::svg(&table)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = args.markdown {
        std::fs::write(&file, table.markdown()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if table.misses() == 0 { ExitCode::SUCCESS } else { ExitCode::from(10) })
}

fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let mut catalogue = Catalogue::default();
    for word in &args.object {
        catalogue.add_object_word(word).map_err(anyhow::Error::msg)?;
    }
    for word in &args.tree {
        catalogue.add_tree_word(word).map_err(anyhow::Error::msg)?;
    }
    for word in &args.folder {
        catalogue.add_folder_word(word).map_err(anyhow::Error::msg)?;
    }
    let mut behaviour = Behaviour::default();
    let given =
        [("latency", &args.latency), ("bandwidth", &args.bandwidth), ("faults", &args.faults), ("seed", &args.seed)];
    for (name, word) in given {
        if let Some(word) = word {
            behaviour.set(name, word).map_err(anyhow::Error::msg)?;
        }
    }
    let server = Server::start(catalogue, behaviour, args.port, args.workers).context("cannot serve")?;
    writeln!(std::io::stdout(), "listening on http://{}", server.address())?;
    loop {
        std::thread::park();
    }
}

fn measure_raw(args: RawArgs) -> anyhow::Result<()> {
    let RawArgs { server, object, size, outstanding, time, connections } = args;
    let outcome = raw::run(&Load { server, object, size, outstanding, time, connections })?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}

fn measure_store(args: &StoreArgs) -> anyhow::Result<()> {
    let (bucket, name) = args.object.split_once('/').context("the object is named BUCKET/NAME")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let opened = rfuse_store::open(&height::config(args.server, args.cloud, bucket)).await?;
        let (bucket, name) = (bucket.to_owned(), name.to_owned());
        let target = height::Target { store: opened.store, bucket, name, size: args.size };
        target.run(args.outstanding, args.time).await
    })?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&outcome)?)?;
    Ok(())
}
