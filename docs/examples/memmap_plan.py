#!/usr/bin/env python3
"""Writes the access plan of a shuffled epoch over a token file, and reads the epoch as a loader does.

A loader that shuffles by a seed knows every read it will make before it makes the first. Told to rfuse as a plan,
each record is in memory before it is asked for:

    python3 memmap_plan.py plan  --records 1000000 --seed 7 tokens.bin > epoch.plan
    rfuse plan load /mnt/tokens epoch.plan          # or: rfuse mount --plan epoch.plan URL DIR
    python3 memmap_plan.py read  --records 1000000 --seed 7 /mnt/tokens/tokens.bin
"""

import argparse
import sys

import numpy

RECORD = 4096


def order(records, seed):
    """The records of the epoch, in the order in which they are read."""
    return numpy.random.default_rng(seed).permutation(records)


def write_plan(path, records, seed, out):
    """Writes one line a read: path below the mount's root, offset, length."""
    name = path.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    out.write("# rfuse plan v1\n")
    out.writelines(f"{name}\t{record * RECORD}\t{RECORD}\n" for record in order(records, seed).tolist())


def read_epoch(path, records, seed):
    """Reads the epoch through a memory map; the sum of all bytes."""
    tokens = numpy.memmap(path, dtype=numpy.uint8, mode="r", shape=(records, RECORD))
    return sum(int(tokens[record].sum()) for record in order(records, seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["plan", "read"])
    parser.add_argument("path", help="for plan: below the mount's root; for read: as programs open it")
    parser.add_argument("--records", type=int, required=True, help=f"records of {RECORD} bytes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.what == "plan":
        write_plan(arguments.path, arguments.records, arguments.seed, sys.stdout)
    else:
        print(read_epoch(arguments.path, arguments.records, arguments.seed))


if __name__ == "__main__":
    main()
