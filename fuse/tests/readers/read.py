"""Writes a small set of files in the formats people train and replay from, or reads them back with the
libraries people use and compares every value with the copy in a plain folder.

    read.py write DIR         makes the files
    read.py compare DIR MNT   reads each from both places; prints one line a reader
"""

import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import zarr
from mcap.reader import make_reader
from mcap.writer import Writer
from safetensors.numpy import load_file, save_file


def write(folder: Path) -> None:
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, 2**32, size=1 << 20, dtype=np.uint32)
    tokens.tofile(folder / "tokens.bin")
    np.save(folder / "array.npy", tokens.reshape(1024, 1024))
    table = pa.table({"step": np.arange(100_000), "loss": rng.random(100_000), "name": [f"run-{i % 7}" for i in range(100_000)]})
    pq.write_table(table, folder / "metrics.parquet", row_group_size=10_000)
    with pa.OSFile(str(folder / "metrics.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    with h5py.File(folder / "camera.h5", "w") as file:
        file.create_dataset("frames", data=rng.integers(0, 255, (64, 120, 160), dtype=np.uint8), chunks=(4, 120, 160), compression="gzip")
    save_file({f"layer.{i}": rng.random((256, 257), dtype=np.float32) for i in range(8)}, folder / "model.safetensors")
    with open(folder / "drive.mcap", "wb") as out:
        log = Writer(out)
        log.start()
        schema = log.register_schema("raw", "raw", b"")
        channels = [log.register_channel(topic, "raw", schema) for topic in ("/camera", "/lidar", "/imu")]
        for i in range(3000):
            log.add_message(channels[i % 3], log_time=i * 1_000_000, data=rng.bytes(1000 + i % 501), publish_time=i * 1_000_000)
        log.finish()
    array = zarr.create_array(str(folder / "map.zarr"), shape=(512, 512), chunks=(64, 64), dtype="f4")
    array[:] = rng.random((512, 512), dtype=np.float32)
    with tarfile.open(folder / "shard-000.tar", "w") as tar:
        for name in ("array.npy", "metrics.parquet", "camera.h5"):
            tar.add(folder / name, arcname=f"sample/{name}")


def memmap(folder: Path):
    data = np.memmap(folder / "tokens.bin", dtype=np.uint32, mode="r")
    picks = np.random.default_rng(2).integers(0, len(data) - 1024, 500)
    return np.stack([data[i : i + 1024] for i in picks])


def npy(folder: Path):
    return np.array(np.load(folder / "array.npy", mmap_mode="r")[::7, ::3])


def parquet(folder: Path):
    whole = pq.read_table(folder / "metrics.parquet", memory_map=True)
    some = ds.dataset(str(folder / "metrics.parquet")).to_table(filter=ds.field("step") > 95_000)
    return [whole.to_pydict(), some.to_pydict()]


def arrow(folder: Path):
    with pa.memory_map(str(folder / "metrics.arrow")) as source:
        return pa.ipc.open_file(source).read_all().to_pydict()


def hdf5(folder: Path):
    with h5py.File(folder / "camera.h5") as file:
        return file["frames"][5:40:3]


def safetensors(folder: Path):
    return load_file(folder / "model.safetensors")


def mcap(folder: Path):
    with open(folder / "drive.mcap", "rb") as file:
        messages = make_reader(file).iter_messages(topics=["/lidar"], starting_at=500_000_000, ending_before=2_500_000_000)
        return [(channel.topic, message.log_time, message.data) for _, channel, message in messages]


def zarr_(folder: Path):
    return zarr.open_array(str(folder / "map.zarr"), mode="r")[100:400, 33:500]


def tar(folder: Path):
    with tarfile.open(folder / "shard-000.tar") as archive:
        return [(member.name, archive.extractfile(member).read()) for member in archive]


def plain(folder: Path):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


READERS = [memmap, npy, parquet, arrow, hdf5, safetensors, mcap, zarr_, tar, plain]


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b


def compare(folder: Path, mount: Path) -> int:
    wrong = 0
    for reader in READERS:
        right = same(reader(folder), reader(mount))
        wrong += not right
        print(f"{reader.__name__.strip('_')}: {'same' if right else 'DIFFERENT'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]))
    else:
        sys.exit(compare(Path(sys.argv[2]), Path(sys.argv[3])))
