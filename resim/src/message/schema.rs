//! What the channels of a log are, in the words that viewers read.

/// What a channel holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// `sensor_msgs/msg/PointCloud2`.
    Cloud,
    /// `sensor_msgs/msg/CompressedImage`.
    Image,
    /// `sensor_msgs/msg/Imu`.
    Imu,
    /// `geometry_msgs/msg/PoseStamped`.
    Pose,
    /// The objects that were there.
    Truth,
}

/// A schema: what it is, its name, its encoding, its text, and the encoding of its messages.
pub(crate) struct Schema {
    pub(crate) layout: Layout,
    pub(crate) name: &'static str,
    pub(crate) encoding: &'static str,
    pub(crate) text: &'static str,
    pub(crate) messages: &'static str,
}

/// Every schema that is written, and understood when read.
pub(crate) const SCHEMAS: [Schema; 5] = [
    Schema {
        layout: Layout::Cloud,
        name: "sensor_msgs/msg/PointCloud2",
        encoding: "ros2msg",
        text: concat!(
            "std_msgs/Header header\nuint32 height\nuint32 width\nPointField[] fields\nbool is_bigendian\n",
            "uint32 point_step\nuint32 row_step\nuint8[] data\nbool is_dense\n",
            "================================================================================\n",
            "MSG: sensor_msgs/PointField\n",
            "uint8 INT8=1\nuint8 UINT8=2\nuint8 INT16=3\nuint8 UINT16=4\nuint8 INT32=5\nuint8 UINT32=6\n",
            "uint8 FLOAT32=7\nuint8 FLOAT64=8\nstring name\nuint32 offset\nuint8 datatype\nuint32 count\n",
            "================================================================================\n",
            "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n",
            "================================================================================\n",
            "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n",
        ),
        messages: "cdr",
    },
    Schema {
        layout: Layout::Image,
        name: "sensor_msgs/msg/CompressedImage",
        encoding: "ros2msg",
        text: concat!(
            "std_msgs/Header header\nstring format\nuint8[] data\n",
            "================================================================================\n",
            "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n",
            "================================================================================\n",
            "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n",
        ),
        messages: "cdr",
    },
    Schema {
        layout: Layout::Imu,
        name: "sensor_msgs/msg/Imu",
        encoding: "ros2msg",
        text: concat!(
            "std_msgs/Header header\ngeometry_msgs/Quaternion orientation\nfloat64[9] orientation_covariance\n",
            "geometry_msgs/Vector3 angular_velocity\nfloat64[9] angular_velocity_covariance\n",
            "geometry_msgs/Vector3 linear_acceleration\nfloat64[9] linear_acceleration_covariance\n",
            "================================================================================\n",
            "MSG: geometry_msgs/Quaternion\nfloat64 x\nfloat64 y\nfloat64 z\nfloat64 w\n",
            "================================================================================\n",
            "MSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n",
            "================================================================================\n",
            "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n",
            "================================================================================\n",
            "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n",
        ),
        messages: "cdr",
    },
    Schema {
        layout: Layout::Pose,
        name: "geometry_msgs/msg/PoseStamped",
        encoding: "ros2msg",
        text: concat!(
            "std_msgs/Header header\nPose pose\n",
            "================================================================================\n",
            "MSG: geometry_msgs/Pose\nPoint position\nQuaternion orientation\n",
            "================================================================================\n",
            "MSG: geometry_msgs/Point\nfloat64 x\nfloat64 y\nfloat64 z\n",
            "================================================================================\n",
            "MSG: geometry_msgs/Quaternion\nfloat64 x\nfloat64 y\nfloat64 z\nfloat64 w\n",
            "================================================================================\n",
            "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n",
            "================================================================================\n",
            "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n",
        ),
        messages: "cdr",
    },
    Schema {
        layout: Layout::Truth,
        name: "rfuse_resim/Truth",
        encoding: "jsonschema",
        text: r#"{"type":"object","properties":{"objects":{"type":"array","items":{"type":"object","properties":{
"id":{"type":"integer"},"kind":{"type":"string"},"centre":{"type":"array","items":{"type":"number"}},
"size":{"type":"array","items":{"type":"number"}},"yaw":{"type":"number"},"points":{"type":"integer"},
"boxes":{"type":"array","items":{"type":"object"}}}}}}}"#,
        messages: "json",
    },
];

impl Layout {
    /// The schema it is written with.
    pub(crate) fn schema(self) -> &'static Schema {
        &SCHEMAS[self as usize]
    }

    /// What a channel with this schema and encoding holds, if it is understood here.
    pub(crate) fn of(schema: &str, messages: &str) -> Option<Self> {
        SCHEMAS.iter().find(|known| known.name == schema && known.messages == messages).map(|known| known.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_has_its_own_schema() {
        for schema in &SCHEMAS {
            assert_eq!(schema.layout.schema().name, schema.name);
            assert_eq!(Layout::of(schema.name, schema.messages), Some(schema.layout));
        }
        assert_eq!(Layout::of("std_msgs/msg/String", "cdr"), None);
    }
}
