//! A drive log: an indexed MCAP file of a lidar, cameras, inertia, pose and truth at the rates of a test car.

use std::collections::BTreeMap;
use std::path::Path;

use mcap::records::{MessageHeader, Metadata};
use mcap::write::NoSeek;
use mcap::{Compression, McapError, WriteOptions, Writer};

use crate::manifest::Recipe;
use crate::message::{self, Layout, Pixels, Truth, TruthObject};
use crate::outcome::{Exit, Failure};
use crate::output::Output;
use crate::progress::Progress;
use crate::random;
use crate::scene::{Camera, Lidar, Scene};

/// 2026-01-01 00:00:00 UTC, in nanoseconds: the first drive begins here, each other an hour later.
const EPOCH: u64 = 1_767_225_600_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
/// The clock of the log: one hundred ticks a second.
const TICK: u64 = 10_000_000;
const TICKS_A_SECOND: u64 = 100;
/// The pose comes at 50 Hz; scan, images and truth at 10 Hz and at the same moment, as triggered cameras do.
const POSE_TICKS: u64 = 2;
const FRAME_TICKS: u64 = 10;
/// JPEG quality of the cameras.
const QUALITY: u8 = 85;

/// Writes the drive `number` of a recipe.
pub(super) fn write(path: &Path, recipe: &Recipe, number: u64, bar: &Progress) -> Result<(), Failure> {
    let output = Output::create(path)?;
    let partial = output.partial().to_path_buf();
    let failed = |error: McapError| match error {
        McapError::Io(error) => Failure::file("write", &partial, &error),
        other => Failure::new(Exit::Failed, format!("write {}", partial.display()), other.to_string(), "report this"),
    };
    let compression = if recipe.compression == "zstd" { Some(Compression::Zstd) } else { None };
    let options = WriteOptions::new()
        .profile("ros2")
        .library("rfuse-resim")
        .compression(compression)
        .compression_threads(0)
        .chunk_size(Some(recipe.chunk_bytes))
        .disable_seeking(true);
    let mut writer = options.create(NoSeek::new(output)).map_err(failed)?;
    let mut drive = Drive::start(&mut writer, recipe, number).map_err(failed)?;
    for tick in 0..u64::from(recipe.seconds) * TICKS_A_SECOND {
        drive.tick(&mut writer, tick).map_err(|error| match error {
            DriveError::Mcap(error) => failed(error),
            DriveError::Message(error) => {
                Failure::new(Exit::Failed, format!("write {}", path.display()), error.to_string(), "report this")
            }
        })?;
        if (tick + 1).is_multiple_of(TICKS_A_SECOND) {
            bar.inc(1);
        }
    }
    writer.finish().map_err(failed)?;
    writer.into_inner().into_inner().finish()
}

#[derive(Debug, thiserror::Error)]
enum DriveError {
    #[error(transparent)]
    Mcap(#[from] McapError),
    #[error(transparent)]
    Message(#[from] message::MessageError),
}

type LogWriter = Writer<NoSeek<Output>>;

/// A drive that is being recorded.
struct Drive {
    seed: u64,
    start: u64,
    scene: Scene,
    lidar: Lidar,
    cameras: Vec<Camera>,
    imu: Channel,
    pose: Channel,
    truth: Channel,
    cloud: Channel,
    images: Vec<Channel>,
}

/// A channel and how many messages it has.
struct Channel {
    id: u16,
    sequence: u32,
}

impl Channel {
    fn add(writer: &mut LogWriter, topic: &str, layout: Layout) -> Result<Self, McapError> {
        let schema = layout.schema();
        let id = writer.add_schema(schema.name, schema.encoding, schema.text.as_bytes())?;
        Ok(Self { id: writer.add_channel(id, topic, schema.messages, &BTreeMap::new())?, sequence: 0 })
    }

    fn write(&mut self, writer: &mut LogWriter, time: u64, data: &[u8]) -> Result<(), McapError> {
        let header = MessageHeader { channel_id: self.id, sequence: self.sequence, log_time: time, publish_time: time };
        self.sequence += 1;
        writer.write_to_known_channel(&header, data)
    }
}

impl Drive {
    fn start(writer: &mut LogWriter, recipe: &Recipe, number: u64) -> Result<Self, McapError> {
        let seed = random::at(recipe.seed, number);
        // Before anything that goes into a chunk: metadata would close it.
        writer.write_metadata(&Metadata {
            name: "rfuse-resim".to_owned(),
            metadata: BTreeMap::from([("seed".to_owned(), seed.to_string()), ("drive".to_owned(), number.to_string())]),
        })?;
        let (width, height) = recipe.camera_size;
        let cameras: Vec<Camera> = (0..recipe.cameras).map(|number| Camera { number, width, height }).collect();
        let images = cameras
            .iter()
            .map(|camera| Channel::add(writer, &format!("/camera/{}", Camera::NAMES[camera.number]), Layout::Image));
        let images = images.collect::<Result<_, _>>()?;
        Ok(Self {
            seed,
            start: EPOCH + number * HOUR,
            scene: Scene::new(seed),
            lidar: Lidar { beams: recipe.lidar.0, steps: recipe.lidar.1 },
            cameras,
            imu: Channel::add(writer, "/imu", Layout::Imu)?,
            pose: Channel::add(writer, "/pose", Layout::Pose)?,
            truth: Channel::add(writer, "/truth/objects", Layout::Truth)?,
            cloud: Channel::add(writer, "/lidar/top", Layout::Cloud)?,
            images,
        })
    }

    fn tick(&mut self, writer: &mut LogWriter, tick: u64) -> Result<(), DriveError> {
        let time = self.start + tick * TICK;
        let seconds = tick as f64 / TICKS_A_SECOND as f64;
        let ego = self.scene.ego(seconds);
        self.imu.write(writer, time, &message::write_imu(time, "imu", &ego))?;
        if tick.is_multiple_of(POSE_TICKS) {
            self.pose.write(writer, time, &message::write_pose(time, "map", &ego))?;
        }
        if tick.is_multiple_of(FRAME_TICKS) {
            self.frame(writer, time, seconds, tick / FRAME_TICKS)?;
        }
        Ok(())
    }

    fn frame(&mut self, writer: &mut LogWriter, time: u64, seconds: f64, frame: u64) -> Result<(), DriveError> {
        let objects = self.scene.objects(seconds);
        let scan = self.lidar.scan(&objects, self.seed, frame);
        let truth = Truth {
            objects: objects
                .iter()
                .zip(&scan.hits)
                .map(|(object, &points)| TruthObject {
                    id: object.id,
                    kind: object.kind,
                    centre: object.centre,
                    size: object.size,
                    yaw: object.yaw,
                    points,
                    boxes: self.cameras.iter().filter_map(|camera| camera.see(object)).collect(),
                })
                .collect(),
        };
        self.truth.write(writer, time, &truth.write()?)?;
        self.cloud.write(writer, time, &message::write_cloud(time, "lidar", &scan.points))?;
        for (camera, channel) in self.cameras.iter().zip(&mut self.images) {
            let rgb = camera.paint(&objects, self.seed, frame);
            let pixels = Pixels { width: camera.width, height: camera.height, rgb };
            let message = message::write_image(time, Camera::NAMES[camera.number], &pixels, QUALITY)?;
            channel.write(writer, time, &message)?;
        }
        Ok(())
    }
}
