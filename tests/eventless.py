"""python eventless.py FOLDER MOUNTPOINT COMMAND...: run a command that sees FOLDER at MOUNTPOINT through FUSE.

What others write into FOLDER appears below MOUNTPOINT without any inotify event, as on a network drive. Run it where
mounts are one's own (unshare --mount): the mount ends with its namespace. Just enough of the protocol of fuse(4), which
is linux/fuse.h, to list, read, rename and remove files.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

LOOKUP, FORGET, GETATTR, UNLINK, RMDIR, RENAME, OPEN, READ = 1, 2, 3, 10, 11, 12, 14, 15
RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, BATCH_FORGET, RENAME2 = 18, 25, 26, 27, 28, 29, 42, 45
PR_SET_PDEATHSIG = 1
SILENT = frozenset({FORGET, BATCH_FORGET})


class Passthrough:
    """Answers what the kernel asks of the file system."""

    def __init__(self, folder: str) -> None:
        self._paths = {1: folder}
        self._nodes = {folder: 1}
        self._new_node = count(2)
        self._answers: dict[int, Callable[[str, bytes], bytes]] = {
            INIT: lambda _path, _: struct.pack("<IIIIHHIIHHI28x", 7, 31, 1 << 16, 0, 8, 8, 1 << 16, 1, 16, 0, 0),
            LOOKUP: lambda path, body: self._entry(f"{path}/{_name(body)}"),
            GETATTR: lambda path, _: struct.pack("<QII", 0, 0, 0) + _attributes(path),
            OPENDIR: lambda _path, _: bytes(16),
            OPEN: lambda path, _: struct.pack("<QII", os.open(path, os.O_RDONLY), 0, 0),
            READDIR: self._read_folder,
            READ: lambda _path, body: os.pread(*(struct.unpack_from("<QQI", body)[place] for place in (0, 2, 1))),
            RELEASE: lambda _path, body: _nothing(os.close(struct.unpack_from("<Q", body)[0])),
            RELEASEDIR: lambda _path, _: b"",
            FLUSH: lambda _path, _: b"",
            UNLINK: lambda path, body: _nothing(Path(path, _name(body)).unlink()),
            RMDIR: lambda path, body: _nothing(Path(path, _name(body)).rmdir()),
            RENAME: lambda path, body: self._rename(path, struct.unpack_from("<Q", body)[0], body[8:]),
            RENAME2: lambda path, body: self._rename(path, struct.unpack_from("<Q", body)[0], body[16:]),
        }

    def serve(self, device: int) -> None:
        while True:
            try:
                asked = os.read(device, 1 << 17)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return  # unmounted
                raise
            _, opcode, unique, node = struct.unpack_from("<IIQQ", asked)
            if opcode in SILENT:
                continue
            try:
                answer, code = self._answers[opcode](self._paths.get(node, ""), asked[40:]), 0
            except KeyError:
                answer, code = b"", errno.ENOSYS
            except OSError as error:
                answer, code = b"", error.errno or errno.EIO
            os.write(device, struct.pack("<IiQ", 16 + len(answer), -code, unique) + answer)

    def _entry(self, path: str) -> bytes:
        attributes = _attributes(path)
        if path not in self._nodes:
            self._nodes[path] = next(self._new_node)
            self._paths[self._nodes[path]] = path
        return struct.pack("<QQQQII", self._nodes[path], 0, 0, 0, 0, 0) + attributes

    def _read_folder(self, path: str, body: bytes) -> bytes:
        _, start, size = struct.unpack_from("<QQI", body)
        entries = b""
        names = sorted(os.fsencode(below.name) for below in Path(path).iterdir())
        for number, name in enumerate(names[start:], start + 1):
            entry = struct.pack("<QQII", 1, number, len(name), 0) + name
            entry += bytes(-len(entry) % 8)
            if len(entries) + len(entry) > size:
                break
            entries += entry
        return entries

    def _rename(self, path: str, target: int, names: bytes) -> bytes:
        old, new = names.split(b"\0")[:2]
        Path(path, os.fsdecode(old)).rename(Path(self._paths[target], os.fsdecode(new)))
        return b""


def _attributes(path: str) -> bytes:
    found = os.lstat(path)
    times_ns = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    return struct.pack(
        "<6Q10I",
        *(found.st_ino, found.st_size, found.st_blocks),
        *(time_ns // 10**9 for time_ns in times_ns),
        *(time_ns % 10**9 for time_ns in times_ns),
        *(found.st_mode, found.st_nlink, found.st_uid, found.st_gid, 0, 4096, 0),
    )


def _name(body: bytes) -> str:
    return os.fsdecode(body.split(b"\0")[0])


def _nothing(_: None) -> bytes:
    return b""


def main(folder: str, mount_point: str, *command: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    if libc.mount(b"eventless", os.fsencode(mount_point), b"fuse", 0, options.encode()) != 0:
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    parent = os.getpid()
    if os.fork() == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # it would keep the mounts that keep it
        if os.getppid() == parent:
            Passthrough(folder).serve(device)
        os._exit(0)
    os.close(device)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
