//! What was seen, written: an MCAP file for viewers, a Parquet file for tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mcap::records::MessageHeader;
use mcap::write::NoSeek;
use mcap::{Compression, McapError, WriteOptions, Writer};
use parquet::basic::Compression as ParquetCompression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde::Serialize;

use crate::outcome::{Exit, Failure};
use crate::output::Output;
use crate::scene::Camera;
use crate::score::{Seen, Sensor};

/// Rows gathered before they are written.
const ROW_GROUP: usize = 20_000;

const TABLE: &str = "message detections {
    required binary log (utf8);
    required int64 time_ns;
    required binary sensor (utf8);
    required double x;
    required double y;
    required double z;
    required double length;
    required double width;
    required double height;
    required int32 points;
    optional int32 object;
}";

/// The results of a run.
pub(super) struct Results {
    log: Writer<NoSeek<Output>>,
    channels: BTreeMap<String, u16>,
    schema: u16,
    sequence: u32,
    table: SerializedFileWriter<Output>,
    rows: Vec<Row>,
    folder: std::path::PathBuf,
}

/// A detection as a row and as a message.
#[derive(Serialize)]
struct Row {
    #[serde(skip)]
    log: String,
    #[serde(skip)]
    time: u64,
    #[serde(skip)]
    sensor: String,
    centre: [f64; 3],
    size: [f64; 3],
    points: u32,
    object: Option<u32>,
}

impl Results {
    /// Starts `detections.mcap` and `detections.parquet` in a folder.
    pub(super) fn create(folder: &Path) -> Result<Self, Failure> {
        let output = Output::create(&folder.join("detections.mcap"))?;
        let options = WriteOptions::new()
            .library("rfuse-resim")
            .compression(Some(Compression::Zstd))
            .compression_threads(0)
            .disable_seeking(true);
        let failed = |error| mcap_failure(folder, error);
        let mut log = options.create(NoSeek::new(output)).map_err(failed)?;
        let text = br#"{"type":"object","properties":{"log":{"type":"string"},"detections":{"type":"array"}}}"#;
        let schema = log.add_schema("rfuse_resim/Detections", "jsonschema", text).map_err(failed)?;
        let table = Output::create(&folder.join("detections.parquet"))?;
        let failed = |error| parquet_failure(folder, &error);
        let layout = Arc::new(parse_message_type(TABLE).map_err(failed)?);
        let properties = WriterProperties::builder().set_compression(ParquetCompression::UNCOMPRESSED).build();
        let table = SerializedFileWriter::new(table, layout, Arc::new(properties)).map_err(failed)?;
        let folder = folder.to_path_buf();
        Ok(Self { log, channels: BTreeMap::new(), schema, sequence: 0, table, rows: Vec::new(), folder })
    }

    /// Adds what a frame showed; `owners` are the objects its detections belong to.
    pub(super) fn add(&mut self, log: &str, time: u64, seen: &Seen, owners: &[Option<u32>]) -> Result<(), Failure> {
        let sensor = match seen.sensor {
            Sensor::Lidar => "lidar".to_owned(),
            Sensor::Camera(Some(number)) => format!("camera/{}", Camera::NAMES[number]),
            Sensor::Camera(None) => "camera".to_owned(),
        };
        let rows: Vec<Row> = seen
            .detections
            .iter()
            .zip(owners)
            .map(|(detection, owner)| Row {
                log: log.to_owned(),
                time,
                sensor: sensor.clone(),
                centre: detection.centre,
                size: std::array::from_fn(|axis| detection.high[axis] - detection.low[axis]),
                points: detection.count,
                object: *owner,
            })
            .collect();
        self.message(log, time, &sensor, &rows).map_err(|error| mcap_failure(&self.folder, error))?;
        self.rows.extend(rows);
        if self.rows.len() >= ROW_GROUP { self.rows_out() } else { Ok(()) }
    }

    fn message(&mut self, log: &str, time: u64, sensor: &str, rows: &[Row]) -> Result<(), McapError> {
        let channel_id = match self.channels.get(sensor) {
            Some(id) => *id,
            None => {
                let topic = format!("/detections/{sensor}");
                let id = self.log.add_channel(self.schema, &topic, "json", &BTreeMap::new())?;
                *self.channels.entry(sensor.to_owned()).or_insert(id)
            }
        };
        let text = serde_json::json!({ "log": log, "detections": rows }).to_string();
        let header = MessageHeader { channel_id, sequence: self.sequence, log_time: time, publish_time: time };
        self.sequence = self.sequence.wrapping_add(1);
        self.log.write_to_known_channel(&header, text.as_bytes())
    }

    fn rows_out(&mut self) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.rows);
        write_group(&mut self.table, &rows).map_err(|error| parquet_failure(&self.folder, &error))
    }

    /// Finishes both files.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.rows_out()?;
        let folder = self.folder;
        self.log.finish().map_err(|error| mcap_failure(&folder, error))?;
        self.log.into_inner().into_inner().finish()?;
        self.table.into_inner().map_err(|error| parquet_failure(&folder, &error))?.finish()
    }
}

fn write_group(table: &mut SerializedFileWriter<Output>, rows: &[Row]) -> Result<(), ParquetError> {
    if rows.is_empty() {
        return Ok(());
    }
    let text = |get: fn(&Row) -> &str| rows.iter().map(|row| ByteArray::from(get(row))).collect::<Vec<_>>();
    let double = |get: fn(&Row) -> f64| rows.iter().map(get).collect::<Vec<_>>();
    let mut group = table.next_row_group()?;
    macro_rules! column {
        ($kind:ty, $values:expr, $levels:expr) => {{
            let values = $values;
            if let Some(mut column) = group.next_column()? {
                column.typed::<$kind>().write_batch(&values, $levels, None)?;
                column.close()?;
            }
        }};
    }
    column!(ByteArrayType, text(|row| &row.log), None);
    column!(Int64Type, rows.iter().map(|row| row.time.cast_signed()).collect::<Vec<_>>(), None);
    column!(ByteArrayType, text(|row| &row.sensor), None);
    column!(DoubleType, double(|row| row.centre[0]), None);
    column!(DoubleType, double(|row| row.centre[1]), None);
    column!(DoubleType, double(|row| row.centre[2]), None);
    column!(DoubleType, double(|row| row.size[0]), None);
    column!(DoubleType, double(|row| row.size[1]), None);
    column!(DoubleType, double(|row| row.size[2]), None);
    column!(Int32Type, rows.iter().map(|row| row.points.cast_signed()).collect::<Vec<_>>(), None);
    let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.object.is_some())).collect();
    let objects: Vec<i32> = rows.iter().filter_map(|row| row.object).map(u32::cast_signed).collect();
    column!(Int32Type, objects, Some(&levels));
    group.close()?;
    Ok(())
}

fn mcap_failure(folder: &Path, error: McapError) -> Failure {
    match error {
        McapError::Io(error) => Failure::file("write results into", folder, &error),
        other => internal(folder, other.to_string()),
    }
}

fn parquet_failure(folder: &Path, error: &ParquetError) -> Failure {
    if let ParquetError::External(source) = error
        && let Some(error) = source.downcast_ref::<std::io::Error>()
    {
        return Failure::file("write results into", folder, error);
    }
    internal(folder, error.to_string())
}

fn internal(folder: &Path, why: String) -> Failure {
    let help = "what was written is kept with .partial at its name; report this with the log that led to it";
    Failure::new(Exit::Failed, format!("write results into {}", folder.display()), why, help)
}
