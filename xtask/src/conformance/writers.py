"""Writes files the way long-running jobs do: opened again, appended to, changed in the middle.

    writers.py write DIR            makes and changes the files
    writers.py compare DIR OTHER    reads both and prints one line a format
"""

import os
import sqlite3
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import zarr
from safetensors.numpy import load_file, save_file


def memmap(folder: Path) -> None:
    data = np.memmap(folder / "state.bin", dtype=np.float32, mode="w+", shape=(1024, 1024))
    data[::3] = 7
    data.flush()
    again = np.memmap(folder / "state.bin", dtype=np.float32, mode="r+", shape=(1024, 1024))
    again[100:200, ::5] += 1
    again.flush()


def append(folder: Path) -> None:
    for step in range(50):
        with open(folder / "train.log", "a") as log:
            log.write(f"step {step} loss {1 / (step + 1):.6f}\n")


def checkpoint(folder: Path) -> None:
    for step in range(5):
        tensors = {f"layer.{i}": np.full((128, 129), step + i, dtype=np.float32) for i in range(4)}
        save_file(tensors, folder / "checkpoint.tmp")
        with open(folder / "checkpoint.tmp", "rb+") as file:
            os.fsync(file.fileno())
        os.replace(folder / "checkpoint.tmp", folder / "checkpoint.safetensors")


def hdf5(folder: Path) -> None:
    with h5py.File(folder / "frames.h5", "w") as file:
        file.create_dataset("frames", shape=(0, 60, 80), maxshape=(None, 60, 80), dtype="u1", chunks=(8, 60, 80), compression="gzip")
    for step in range(6):
        with h5py.File(folder / "frames.h5", "r+") as file:
            frames = file["frames"]
            frames.resize(frames.shape[0] + 10, axis=0)
            frames[-10:] = np.arange(60 * 80, dtype=np.uint32).reshape(60, 80) % (251 - step)
            file.attrs[f"step{step}"] = step


def zarr_(folder: Path) -> None:
    array = zarr.create_array(str(folder / "map.zarr"), shape=(256, 256), chunks=(32, 32), dtype="f4")
    array[:] = np.arange(256 * 256, dtype=np.float32).reshape(256, 256)
    array[10:100, 20:200] = -1
    array.resize((300, 256))
    array[256:] = 5
    array.attrs["note"] = "grown"


def parquet(folder: Path) -> None:
    table = pa.table({"step": np.arange(20_000), "group": np.arange(20_000) % 7, "loss": np.linspace(1, 0, 20_000)})
    ds.write_dataset(table, folder / "set", format="parquet", partitioning=["group"], max_rows_per_file=1000, max_rows_per_group=500)
    with pq.ParquetWriter(folder / "rows.parquet", table.schema) as writer:
        for start in range(0, 20_000, 2_500):
            writer.write_table(table.slice(start, 2_500))


def arrow(folder: Path) -> None:
    with pa.OSFile(str(folder / "stream.arrow"), "wb") as sink:
        batch = pa.record_batch({"n": np.arange(5_000)})
        with pa.ipc.new_stream(sink, batch.schema) as out:
            for _ in range(20):
                out.write_batch(batch)


def sqlite(folder: Path) -> None:
    with sqlite3.connect(folder / "runs.db") as base:
        base.execute("create table runs(id integer primary key, name text)")
        base.executemany("insert into runs(name) values(?)", [(f"run {i}",) for i in range(500)])
    base.close()


WRITERS = [memmap, append, checkpoint, hdf5, zarr_, parquet, arrow, sqlite]


def read(folder: Path) -> dict:
    with h5py.File(folder / "frames.h5") as file:
        frames = [file["frames"][:].tobytes(), dict(file.attrs)]
    array = zarr.open_array(str(folder / "map.zarr"), mode="r")
    base = sqlite3.connect(f"file:{folder / 'runs.db'}?mode=ro", uri=True)
    with pa.OSFile(str(folder / "stream.arrow")) as source:
        stream = pa.ipc.open_stream(source).read_all().to_pydict()
    found = {
        "memmap": np.fromfile(folder / "state.bin", dtype=np.float32).tobytes(),
        "append": (folder / "train.log").read_text(),
        "checkpoint": {name: value.tobytes() for name, value in load_file(folder / "checkpoint.safetensors").items()},
        "hdf5": frames,
        "zarr": [array[:].tobytes(), dict(array.attrs)],
        "parquet": [
            pq.read_table(folder / "rows.parquet").to_pydict(),
            ds.dataset(folder / "set", format="parquet", partitioning=["group"]).to_table().sort_by("step").to_pydict(),
        ],
        "arrow": stream,
        "sqlite": base.execute("select * from runs").fetchall(),
    }
    base.close()
    return found


if __name__ == "__main__":
    if sys.argv[1] == "write":
        for writer in WRITERS:
            writer(Path(sys.argv[2]))
    else:
        here, there = read(Path(sys.argv[2])), read(Path(sys.argv[3]))
        for name in here:
            print(f"{name}: {'same' if here[name] == there[name] else 'DIFFERENT'}")
        sys.exit(here != there)
