"""Compiles CUDA C to PTX with the NVRTC library that PyPI ships; needs no GPU and no driver.

usage: compile.py LIBRARY INCLUDE_DIR SOURCE OUTPUT
"""

import ctypes
import sys

# Volta and later; a driver turns PTX into code for whatever newer GPU it finds.
OPTIONS = ["--gpu-architecture=compute_70", "--fmad=false", "--std=c++17"]


def main(library, include, source, output):
    nvrtc = ctypes.CDLL(library)
    program = ctypes.c_void_p()

    def check(code, doing):
        if code != 0:
            size = ctypes.c_size_t()
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(max(size.value, 1))
            nvrtc.nvrtcGetProgramLog(program, log)
            sys.exit(f"cannot {doing} {source}: NVRTC error {code}\n{log.value.decode(errors='replace')}")

    with open(source, "rb") as file:
        text = file.read()
    options = [option.encode() for option in [*OPTIONS, f"--include-path={include}"]]
    name = source.rsplit("/", 1)[-1].encode()
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None), "read")
    check(nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)), "compile")
    size = ctypes.c_size_t()
    check(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)), "size")
    ptx = ctypes.create_string_buffer(size.value)
    check(nvrtc.nvrtcGetPTX(program, ptx), "fetch")
    with open(output, "wb") as file:
        file.write(ptx.value)


if __name__ == "__main__":
    main(*sys.argv[1:])
