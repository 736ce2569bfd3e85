//! What is seen: the sequence of kernels that turns a scan or an image into objects.
//!
//! Written once over a [`Lane`]: a GPU and a processor run the same launches with the same arguments, and their
//! answers are equal bit for bit. A frame is submitted, and its answer is fetched later, so that two perceptions on
//! two lanes overlap.

use crate::device::{Argument, Buffer, DeviceError, Kernel, Lane, Timing};
use crate::message::Pixels;
use crate::weights::{self, CHANNELS};

/// The grid around the car: a square of 256 columns of 0.4 m, 16 layers from just below the ground on.
const SIDE: u32 = 256;
const LAYERS: u32 = 16;
const CELLS_A_METRE: f32 = 2.5;
const ORIGIN_XY_M: f32 = -51.2;
const ORIGIN_Z_M: f32 = -2.2;
const COLUMNS: u32 = SIDE * SIDE;
/// Layers below this hold the ground: 0.4 m of it and what stands lower than 0.4 m above it.
const LAYER_FROM: u32 = 2;
/// Points above the ground that make a column occupied.
const COLUMN_POINTS: u32 = 2;
/// Columns this far apart belong together.
const SCAN_RADIUS: u32 = 2;
/// A cluster of fewer points is taken for noise.
const CLUSTER_POINTS: u32 = 8;
/// Pixels on a side that become one value of a plane.
const SQUARE: u32 = 4;
/// Planes to heat: the second layer strides by two.
const STRIDE: u32 = 2;
/// A blob of fewer cells is taken for noise.
const BLOB_CELLS: u32 = 4;
/// Clusters of one frame at most; a frame with more says so.
const CLUSTERS_MOST: u32 = 4096;
/// Bytes of `struct Cluster` in `kernels/perception.cu`.
const CLUSTER_BYTES: usize = 56;
/// Positions of that struct are shifted by this.
const SHIFT: i64 = 1 << 20;

/// An object that was seen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Detection {
    /// The mean of its points or cells: metres, or pixels with z = 0.
    pub(crate) centre: [f64; 3],
    /// The least and greatest coordinates.
    pub(crate) low: [f64; 3],
    pub(crate) high: [f64; 3],
    /// Points or cells.
    pub(crate) count: u32,
}

/// What a frame showed.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) detections: Vec<Detection>,
    /// Clusters that did not fit into the list.
    pub(crate) overflow: u32,
    pub(crate) timing: Timing,
}

/// Which frame is under way on a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pending {
    Cloud,
    Image,
}

/// Perception on one lane, with the memory it needs there.
pub(crate) struct Perception {
    lane: Lane,
    labels: Labels,
    voxels: Buffer,
    cloud: Option<CloudMemory>,
    image: Option<ImageMemory>,
    layers: [Buffer; 3],
    pending: Option<Pending>,
}

/// Components and their boxes; for scans and images alike.
struct Labels {
    cells: u32,
    parents: Buffer,
    slots: Buffer,
    counter: Buffer,
    clusters: Buffer,
}

struct CloudMemory {
    points: u32,
    cloud: Buffer,
    columns: Buffer,
}

struct ImageMemory {
    width: u32,
    height: u32,
    pixels: Buffer,
    planes: Buffer,
    first: Buffer,
    second: Buffer,
}

/// Sizes on the way from pixels to heat.
#[derive(Clone, Copy)]
struct Heat {
    plane: (u32, u32),
    heat: (u32, u32),
}

impl Heat {
    fn of(width: u32, height: u32) -> Self {
        let plane = (width / SQUARE, height / SQUARE);
        Self { plane, heat: (plane.0.div_ceil(STRIDE), plane.1.div_ceil(STRIDE)) }
    }
}

impl Labels {
    fn new(lane: &mut Lane, cells: u32) -> Result<Self, DeviceError> {
        Ok(Self {
            cells,
            parents: lane.buffer(cells as usize * 4)?,
            slots: lane.buffer(cells as usize * 4)?,
            counter: lane.buffer(8)?,
            clusters: lane.buffer(CLUSTERS_MOST as usize * CLUSTER_BYTES)?,
        })
    }

    /// Joins cells to components and numbers them.
    fn number(&self, lane: &mut Lane, (width, height): (u32, u32), radius: u32) -> Result<(), DeviceError> {
        use Argument::{Buffer as Pointer, U32};
        let cells = width * height;
        assert!(cells <= self.cells, "{cells} cells in memory for {}", self.cells);
        lane.clear(self.counter)?;
        lane.clear(self.clusters)?;
        lane.launch(Kernel::LabelJoin, cells, &[Pointer(self.parents), U32(width), U32(height), U32(radius)])?;
        let arguments = [
            Pointer(self.parents),
            U32(cells),
            Pointer(self.slots),
            Pointer(self.counter),
            Pointer(self.clusters),
            U32(CLUSTERS_MOST),
        ];
        lane.launch(Kernel::ClusterNumber, cells, &arguments)
    }

    fn download(&self, lane: &mut Lane) -> Result<(), DeviceError> {
        lane.download(self.counter, 8)?;
        lane.download(self.clusters, CLUSTERS_MOST as usize * CLUSTER_BYTES)
    }
}

impl Perception {
    /// Takes a lane and puts the models there.
    ///
    /// # Errors
    /// The device is full or gone.
    pub(crate) fn new(mut lane: Lane) -> Result<Self, DeviceError> {
        let labels = Labels::new(&mut lane, COLUMNS)?;
        let voxels = lane.buffer((COLUMNS * LAYERS) as usize * 4)?;
        let mut layers = Vec::new();
        for weights in [weights::first_layer(), weights::second_layer(), weights::last_layer()] {
            let bytes = weights.len() * 4;
            let buffer = lane.buffer(bytes)?;
            for (target, weight) in lane.stage(bytes)?.chunks_exact_mut(4).zip(&weights) {
                target.copy_from_slice(&weight.to_le_bytes());
            }
            lane.upload(0, bytes, buffer)?;
            lane.uploaded()?;
            lane.download(labels.counter, 8)?;
            lane.finish()?;
            layers.push(buffer);
        }
        let layers = [layers[0], layers[1], layers[2]];
        Ok(Self { lane, labels, voxels, cloud: None, image: None, layers, pending: None })
    }

    /// Whether a frame is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// Starts on a scan: 16 bytes a point, x, y, z and intensity.
    ///
    /// # Errors
    /// The device is full or gone.
    ///
    /// # Panics
    /// A frame is under way.
    pub(crate) fn submit_cloud(&mut self, points: &[u8]) -> Result<(), DeviceError> {
        use Argument::{Buffer as Pointer, F32, U32};
        assert!(self.pending.is_none(), "a frame is under way");
        let count = (points.len() / 16) as u32;
        let memory = self.cloud_memory(count)?;
        let (cloud, columns) = (Pointer(memory.0), Pointer(memory.1));
        let lane = &mut self.lane;
        lane.stage(points.len())?.copy_from_slice(points);
        lane.upload(0, points.len(), memory.0)?;
        lane.uploaded()?;
        lane.clear(self.voxels)?;
        let (parents, slots) = (Pointer(self.labels.parents), Pointer(self.labels.slots));
        let arguments = [
            cloud,
            U32(count),
            F32(ORIGIN_XY_M),
            F32(ORIGIN_Z_M),
            F32(CELLS_A_METRE),
            U32(SIDE),
            U32(LAYERS),
            Pointer(self.voxels),
            columns,
        ];
        lane.launch(Kernel::VoxelCount, count, &arguments)?;
        let arguments = [Pointer(self.voxels), U32(COLUMNS), U32(LAYER_FROM), U32(LAYERS), U32(COLUMN_POINTS), parents];
        lane.launch(Kernel::ColumnOccupied, COLUMNS, &arguments)?;
        self.labels.number(lane, (SIDE, SIDE), SCAN_RADIUS)?;
        let ground = ORIGIN_Z_M + LAYER_FROM as f32 / CELLS_A_METRE;
        let arguments = [cloud, U32(count), F32(ground), columns, parents, slots, Pointer(self.labels.clusters)];
        lane.launch(Kernel::ClusterPoints, count, &arguments)?;
        self.labels.download(lane)?;
        self.pending = Some(Pending::Cloud);
        Ok(())
    }

    /// Starts on an image.
    ///
    /// # Errors
    /// The device is full or gone.
    ///
    /// # Panics
    /// A frame is under way, or the pixels are not as many as they should be.
    pub(crate) fn submit_image(&mut self, image: &Pixels) -> Result<(), DeviceError> {
        use Argument::{Buffer as Pointer, U32};
        assert!(self.pending.is_none(), "a frame is under way");
        assert_eq!(image.rgb.len(), (image.width * image.height * 3) as usize, "three bytes a pixel");
        let sizes = Heat::of(image.width, image.height);
        let [pixels, planes, first, second] = self.image_memory(image.width, image.height)?;
        let lane = &mut self.lane;
        lane.stage(image.rgb.len())?.copy_from_slice(&image.rgb);
        lane.upload(0, image.rgb.len(), pixels)?;
        lane.uploaded()?;
        let (plane, heat) = (sizes.plane.0 * sizes.plane.1, sizes.heat.0 * sizes.heat.1);
        let [weights1, weights2, weights3] = self.layers.map(Pointer);
        let (parents, slots) = (Pointer(self.labels.parents), Pointer(self.labels.slots));
        let (width, height) = (U32(sizes.plane.0), U32(sizes.plane.1));
        let arguments = [Pointer(pixels), U32(image.width), U32(SQUARE), width, height, Pointer(planes)];
        lane.launch(Kernel::ImageNormalise, plane, &arguments)?;
        let channels = U32(CHANNELS);
        let arguments = [Pointer(planes), U32(3), width, height, U32(1), weights1, channels, Pointer(first)];
        lane.launch(Kernel::Convolve3, plane * CHANNELS, &arguments)?;
        let arguments = [Pointer(first), channels, width, height, U32(STRIDE), weights2, channels, Pointer(second)];
        lane.launch(Kernel::Convolve3, heat * CHANNELS, &arguments)?;
        lane.launch(Kernel::HeatOccupied, heat, &[Pointer(second), channels, U32(heat), weights3, parents])?;
        self.labels.number(lane, sizes.heat, 1)?;
        let arguments = [parents, U32(sizes.heat.0), U32(sizes.heat.1), slots, Pointer(self.labels.clusters)];
        lane.launch(Kernel::ClusterCells, heat, &arguments)?;
        self.labels.download(lane)?;
        self.pending = Some(Pending::Image);
        Ok(())
    }

    /// Waits for the frame that was submitted last.
    ///
    /// # Errors
    /// The device failed.
    pub(crate) fn answer(&mut self) -> Result<Option<Answer>, DeviceError> {
        let Some(pending) = self.pending.take() else { return Ok(None) };
        let (bytes, timing) = self.lane.finish()?;
        let (counter, clusters) = bytes.split_at(8);
        let found = word(counter, 0);
        let kept = found.min(CLUSTERS_MOST) as usize;
        let mut clusters: Vec<&[u8]> = clusters.chunks_exact(CLUSTER_BYTES).take(kept).collect();
        clusters.sort_by_key(|cluster| word(cluster, 24));
        let least = if pending == Pending::Cloud { CLUSTER_POINTS } else { BLOB_CELLS };
        let detections = clusters.into_iter().filter(|cluster| word(cluster, 28) >= least);
        let detections = detections.map(|cluster| match pending {
            Pending::Cloud => detection(cluster, 1e-3, 0.0),
            // A cell covers a square of pixels; its middle stands for it.
            Pending::Image => detection(cluster, f64::from(SQUARE * STRIDE), 0.5),
        });
        let overflow = found - kept as u32;
        Ok(Some(Answer { detections: detections.collect(), overflow, timing }))
    }

    fn cloud_memory(&mut self, count: u32) -> Result<(Buffer, Buffer), DeviceError> {
        let lane = &mut self.lane;
        let memory = match self.cloud.take() {
            Some(memory) if memory.points >= count => memory,
            _ => {
                let points = count.max(1).next_power_of_two();
                let cloud = lane.buffer(points as usize * 16)?;
                CloudMemory { points, cloud, columns: lane.buffer(points as usize * 4)? }
            }
        };
        let buffers = (memory.cloud, memory.columns);
        self.cloud = Some(memory);
        Ok(buffers)
    }

    fn image_memory(&mut self, width: u32, height: u32) -> Result<[Buffer; 4], DeviceError> {
        let sizes = Heat::of(width, height);
        let lane = &mut self.lane;
        let memory = match self.image.take() {
            Some(memory) if (memory.width, memory.height) == (width, height) => memory,
            _ => {
                let plane = (sizes.plane.0 * sizes.plane.1) as usize * 4;
                let heat = (sizes.heat.0 * sizes.heat.1) as usize * 4;
                ImageMemory {
                    width,
                    height,
                    pixels: lane.buffer((width * height * 3) as usize)?,
                    planes: lane.buffer(plane * 3)?,
                    first: lane.buffer(plane * CHANNELS as usize)?,
                    second: lane.buffer(heat * CHANNELS as usize)?,
                }
            }
        };
        let cells = sizes.heat.0 * sizes.heat.1;
        if cells > self.labels.cells {
            self.labels = Labels::new(lane, cells)?;
        }
        let buffers = [memory.pixels, memory.planes, memory.first, memory.second];
        self.image = Some(memory);
        Ok(buffers)
    }
}

/// A box of the device's, `unit` metres or pixels a step, each step seen from its middle.
fn detection(cluster: &[u8], unit: f64, middle: f64) -> Detection {
    let count = word(cluster, 28);
    let sum = |axis: usize| long(cluster, axis * 8) as i64 - SHIFT * i64::from(count);
    let high = |axis: usize| i64::from(word(cluster, 32 + axis * 4)) - SHIFT;
    let low = |axis: usize| SHIFT - i64::from(word(cluster, 44 + axis * 4));
    Detection {
        centre: std::array::from_fn(|axis| (sum(axis) as f64 / f64::from(count) + middle) * unit),
        low: std::array::from_fn(|axis| (low(axis) as f64) * unit),
        high: std::array::from_fn(|axis| (high(axis) as f64 + 2.0 * middle) * unit),
        count,
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Choice, Device};
    use crate::scene::{Camera, GROUND_M, Lidar, Scene};

    fn perception() -> Perception {
        Perception::new(Device::open(Choice::Cpu).unwrap().lane().unwrap()).unwrap()
    }

    fn bytes(points: &[[f32; 4]]) -> Vec<u8> {
        points.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// A wall of `n` × `n` points 0.1 m apart.
    fn wall(at: [f32; 3], n: usize) -> Vec<[f32; 4]> {
        (0..n * n).map(|i| [at[0], at[1] + (i % n) as f32 * 0.1, at[2] + (i / n) as f32 * 0.1, 1.0]).collect()
    }

    fn see(points: &[[f32; 4]]) -> Vec<Detection> {
        let mut perception = perception();
        perception.submit_cloud(&bytes(points)).unwrap();
        perception.answer().unwrap().unwrap().detections
    }

    #[test]
    fn two_walls_are_two_objects_with_their_boxes() {
        let seen = see(&[wall([10.0, 0.0, -1.0], 10), wall([10.0, 5.0, -1.0], 10)].concat());
        assert_eq!(seen.len(), 2, "{seen:?}");
        let first = seen.iter().min_by(|a, b| a.centre[1].total_cmp(&b.centre[1])).unwrap();
        assert_eq!(first.count, 100);
        assert!((first.centre[0] - 10.0).abs() < 1e-9 && (first.centre[1] - 0.45).abs() < 1e-3, "{first:?}");
        assert!((first.low[2] + 1.0).abs() < 1e-9 && (first.high[2] + 0.1).abs() < 1e-3, "{first:?}");
    }

    #[test]
    fn ground_noise_and_what_is_no_number_are_no_objects() {
        let mut points = wall([5.0, 0.0, GROUND_M as f32], 3);
        points.extend([[20.0, 20.0, 0.0, 1.0], [-30.0, 10.0, 0.5, 1.0]]);
        points.extend([[f32::NAN, 0.0, 0.0, 1.0], [f32::INFINITY, 1.0, 1.0, 0.0], [1e30, -1e30, 0.0, 0.0]]);
        assert_eq!(see(&points), []);
        assert_eq!(see(&[]), []);
    }

    #[test]
    fn the_order_of_points_does_not_matter() {
        let mut points = [wall([10.0, 0.0, -1.0], 10), wall([-20.0, 5.0, -1.0], 12)].concat();
        let forward = see(&points);
        points.reverse();
        assert_eq!(forward, see(&points));
    }

    #[test]
    fn every_object_of_a_generated_scan_is_one_cluster() {
        let scene = Scene::new(11);
        let objects = scene.objects(1.0);
        let scan = Lidar { beams: 64, steps: 1024 }.scan(&objects, 11, 10);
        let seen = see(&scan.points);
        assert_eq!(seen.len(), objects.len(), "{seen:?}\n{objects:?}");
    }

    #[test]
    fn an_object_in_a_clean_image_is_one_blob_where_it_is() {
        let camera = Camera { number: 0, width: 640, height: 360 };
        let object = Scene::new(1).objects(0.0)[0];
        let object = crate::scene::Object { centre: [14.0, 2.0, -1.0], ..object };
        let place = camera.see(&object).unwrap();
        let image = Pixels { width: 640, height: 360, rgb: camera.paint(&[object], 1, 0) };
        let mut perception = perception();
        perception.submit_image(&image).unwrap();
        let seen = perception.answer().unwrap().unwrap().detections;
        assert_eq!(seen.len(), 1, "{seen:?}");
        let middle = f64::from(place.left) + f64::from(place.width) / 2.0;
        assert!((seen[0].centre[0] - middle).abs() < 8.0, "{seen:?} {place:?}");
        perception.submit_image(&Pixels { rgb: camera.paint(&[], 1, 0), ..image }).unwrap();
        assert_eq!(perception.answer().unwrap().unwrap().detections, []);
    }
}
