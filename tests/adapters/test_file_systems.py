"""Which file system a path lies on; a state folder on one that lives elsewhere is refused. One is mounted for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from process import environment

from face_organizer.adapters import file_systems
from face_organizer.adapters.file_systems import file_system_of, is_mounted, is_shared, kind_at, refuse_shared
from face_organizer.errors import ConfigError

DEBIAN_WITH_NFS = """\
22 27 0:20 / /sys rw,nosuid - sysfs sysfs rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
93 27 0:48 / /srv/photos rw,relatime shared:51 - nfs4 nas:/photos rw,vers=4.2,addr=10.0.0.2
94 27 0:49 / /mnt/share rw,relatime shared:52 - cifs //nas/share rw,vers=3.1.1
95 27 0:50 / /home/a/remote rw,nosuid shared:53 - fuse.sshfs host:/ rw,user_id=1000
96 27 0:51 / /host rw,relatime - 9p host rw,trans=virtio
97 27 8:17 / /media/stick rw,nosuid shared:54 - fuseblk /dev/sdb1 rw,user_id=0
98 93 254:1 /local /srv/photos/local rw,relatime shared:1 - ext4 /dev/vda1 rw
"""
"""/proc/self/mountinfo of a machine with everything, shortened."""

CONTAINER = """\
501 400 0:60 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
510 501 254:1 /var/lib/docker/volumes/x/_data /state rw,relatime - ext4 /dev/vda1 rw
511 501 0:33 /Users/a/photos /photos rw,relatime - virtiofs virtiofs0 rw
"""


def test_the_file_system_is_that_of_the_innermost_and_last_mount() -> None:
    mounts = "\n".join(
        [
            "22 1 254:0 / / rw - ext4 /dev/vda rw",
            "23 22 0:50 / /mnt rw - nfs4 server:/x rw",
            "24 23 0:51 / /mnt/my\\040photos rw shared:1 - fuse.sshfs host: rw",
            "25 22 0:52 / /mn rw - tmpfs tmpfs rw",
            "26 22 0:53 / /mn rw - xfs /dev/vdb rw",
        ]
    )

    assert file_system_of("/home", mounts) == "ext4"
    assert file_system_of("/mnt", mounts) == "nfs4"
    assert file_system_of("/mnt/a", mounts) == "nfs4"
    assert file_system_of("/mnt/my photos/inbox", mounts) == "fuse.sshfs"
    assert file_system_of("/mn/a", mounts) == "xfs"
    assert file_system_of("/", "") == ""


@pytest.mark.parametrize(
    ("path", "mounts", "shared"),
    [
        ("/var/lib/face-organizer", DEBIAN_WITH_NFS, False),
        ("/srv/photos/library/.face-organizer", DEBIAN_WITH_NFS, True),
        ("/srv/photos/local/state", DEBIAN_WITH_NFS, False),
        ("/mnt/share/x", DEBIAN_WITH_NFS, True),
        ("/home/a/remote/x", DEBIAN_WITH_NFS, True),
        ("/host/x", DEBIAN_WITH_NFS, True),
        ("/media/stick/x", DEBIAN_WITH_NFS, False),
        ("/state/x", CONTAINER, False),
        ("/photos/x", CONTAINER, True),
        ("/somewhere", CONTAINER, False),
    ],
)
def test_what_lives_elsewhere_is_known_from_recorded_mounts(path: str, mounts: str, shared: bool) -> None:
    assert is_shared(file_system_of(path, mounts)) is shared


def test_this_machine_says_where_a_folder_lies_also_one_that_is_not_made_yet(tmp_path: Path) -> None:
    told = subprocess.run(["stat", "-f", "-c", "%T", str(tmp_path)], capture_output=True, text=True, check=True)
    kind = kind_at(tmp_path / "not" / "yet")

    assert kind != ""
    assert kind[:3] in told.stdout or kind.startswith("overlay")  # stat says ext2/ext3 for ext4
    refuse_shared(tmp_path)  # tests run on a local disk


FUSE = """
import ctypes, os, struct, sys, threading
from pathlib import Path
root = Path(sys.argv[1])
fuse = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fuse},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
if libc.mount(b"pictures", os.fsencode(root), b"fuse.sshfs", 0, options):
    sys.exit(f"no mount: {os.strerror(ctypes.get_errno())}")

def serve():
    # INIT, GETATTR of the root, and nothing there: all that a look at an empty folder asks for.
    while True:
        try:
            question = os.read(fuse, 1 << 17)
        except OSError:
            return
        _, code, unique = struct.unpack_from("<IIQ", question)
        status, body = -2 if code == 1 else -38, b""
        if code == 26:
            body = struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 12, 9, 4096, 1, 1, 0, 0, *[0] * 7)
            status = 0
        elif code == 3:
            attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 512, 0)
            body, status = struct.pack("<QII", 60, 0, 0) + attributes, 0
        elif code in (2, 42):
            continue
        os.write(fuse, struct.pack("<IiQ", 16 + len(body), status, unique) + body)

threading.Thread(target=serve, daemon=True).start()
sys.argv[1:] = sys.argv[2:]
from face_organizer.cli import main
main(prog_name="face-organizer")
"""


def test_a_file_system_of_its_own_is_seen_by_path_by_link_and_by_descriptor(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc")
    (tmp_path / "file").touch()
    descriptor = os.open("/proc", os.O_PATH)

    assert [is_mounted(Path("/proc")), is_mounted(tmp_path / "link"), is_mounted(descriptor)] == [True] * 3
    assert not is_mounted(tmp_path)
    with pytest.raises(NotADirectoryError):
        is_mounted(tmp_path / "file")
    os.close(descriptor)


@pytest.mark.skipif(os.getuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse")
def test_a_state_folder_on_a_file_system_that_is_served_by_a_program_is_refused(
    tmp_path: Path,
) -> None:
    inbox, served = tmp_path / "inbox", tmp_path / "served"
    for folder in (inbox, served):
        folder.mkdir()

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "-m", sys.executable, "-c", FUSE, str(served), *map(str, arguments)]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)

    refused = run("run", "--once", "--inbox", inbox, "--library", served)
    if "no mount" in refused.stderr or "unshare" in refused.stderr:
        pytest.skip(f"cannot mount here: {refused.stderr.strip()}")

    assert refused.returncode == 2, refused.stderr
    assert "would lie on fuse.sshfs" in refused.stderr
    assert "state_dir" in refused.stderr

    linked = tmp_path / "library"
    linked.mkdir()
    (linked / ".face-organizer").symlink_to(served)
    assert run("run", "--once", "--inbox", inbox, "--library", linked).returncode == 2


def test_the_refusal_names_the_file_system_and_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("1 0 0:1 / / rw - nfs4 nas:/ rw\n")
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)

    with pytest.raises(ConfigError, match=r"would lie on nfs4.*set state_dir to a folder on a local disk"):
        refuse_shared(tmp_path / "state")
