"""Fetching a pack: from a server that breaks off, from a mirror, from a file; and what is never believed or
unpacked."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
import tiny
from click.testing import CliRunner

from face_organizer.adapters import pull as pulling
from face_organizer.adapters import unpack as unpacking
from face_organizer.adapters.models import list_packs, load_pack, verify_pack
from face_organizer.adapters.pull import Archive, pull, zoo
from face_organizer.app import machine
from face_organizer.cli import main
from face_organizer.errors import ModelError


class Server:
    """A mirror on this machine. breaks_after: bytes that each of the next answers gives before it breaks off."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.ranges = True
        self.status = 200
        self.breaks_after: list[int] = []
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/zoo"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), name="mirror")

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.path} {request.headers.get('Range', '')}".strip())
        start = int(request.headers["Range"][6:-1]) if self.ranges and "Range" in request.headers else 0
        data = self.content[start:]
        request.send_response(self.status if self.status != 200 else 206 if start else 200)
        request.send_header("Content-Length", str(len(data)))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.end_headers()
        request.wfile.write(data[: self.breaks_after.pop(0)] if self.breaks_after else data)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self._thread.join(5)
        self.http.server_close()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A zip file like buffalo_l.zip."""
    folder = tiny.buffalo(tmp_path_factory.mktemp("zipped"))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    return file.getvalue()


@pytest.fixture
def server(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The mirror, and a zoo that knows what it has."""
    know(monkeypatch, content)
    with Server(content) as server:
        yield server


def know(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    known = Archive(hashlib.sha256(content).hexdigest(), len(content))
    changed = msgspec.structs.replace(zoo(), packs={"buffalo_l": known})
    monkeypatch.setattr(pulling, "zoo", lambda: changed)


def quietly(here: int, in_all: int) -> None:
    assert 0 < here <= in_all


def pulled(models_dir: Path, source: str) -> Path:
    return pull("buffalo_l", models_dir, source, quietly)


def test_a_pack_is_fetched_and_known_by_its_name_with_its_licence(server: Server, tmp_path: Path) -> None:
    folder = pulled(tmp_path, server.address)
    pack = load_pack("buffalo_l", tmp_path)

    assert server.asked == ["/zoo/buffalo_l.zip"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "2d106det.onnx",
        "TERMS.txt",
        "det_10g.onnx",
        "genderage.onnx",
        "pack.json",
        "w600k_r50.onnx",
    ]
    assert (pack.name, pack.address, pack.detector_kind) == ("buffalo_l", "buffalo_l", "scrfd")
    assert "non-commercial" in pack.licence
    assert verify_pack("buffalo_l", tmp_path) == []
    assert [each.address for each in list_packs(tmp_path)] == ["opencv-zoo", "buffalo_l"]
    assert not list(folder.parent.glob(".*"))


def test_a_pack_that_is_here_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    assert pulled(tmp_path, server.address) == pulled(tmp_path, server.address)
    assert len(server.asked) == 1


@pytest.mark.parametrize("damage", ["cut", "turned", "gone"])
def test_a_pulled_pack_that_is_damaged_is_told_and_fetched_anew(server: Server, tmp_path: Path, damage: str) -> None:
    made = machine.pull_pack("buffalo_l", tmp_path, server.address, quietly)
    network = Path(made["folder"]) / "w600k_r50.onnx"
    before, stat = network.read_bytes(), network.stat()
    if damage == "gone":
        network.unlink()
    else:
        network.write_bytes(before[:-400] if damage == "cut" else before[:-9] + b"123456789")
        os.utime(network, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (told,) = [row for row in machine.verify_packs(tmp_path) if row["name"] == "buffalo_l"]
    assert not told["ok"]
    assert told["problem"]

    assert machine.pull_pack("buffalo_l", tmp_path, server.address, quietly) == made

    assert network.read_bytes() == before
    assert verify_pack("buffalo_l", tmp_path) == []
    assert len(server.asked) == 2


def test_a_connection_that_breaks_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [1000, 0, 5000]

    pulled(tmp_path, server.address)

    assert server.asked == [
        "/zoo/buffalo_l.zip",
        "/zoo/buffalo_l.zip bytes=1000-",
        "/zoo/buffalo_l.zip bytes=1000-",
        "/zoo/buffalo_l.zip bytes=6000-",
    ]


def test_what_came_is_kept_for_the_next_try(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [2000] + [0] * pulling.TRIES
    with pytest.raises(ModelError, match=r"cannot fetch .*--from buffalo_l\.zip"):
        pulled(tmp_path, server.address)
    server.asked.clear()

    pulled(tmp_path, server.address)

    assert server.asked == ["/zoo/buffalo_l.zip bytes=2000-"]


def test_a_server_that_cannot_go_on_begins_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.breaks_after = [1000]

    pulled(tmp_path, server.address)

    assert len(server.asked) == 2


def test_without_a_network_it_says_how_to_do_without(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, content)
    with Server(content) as gone:
        address = gone.address

    with pytest.raises(ModelError, match=r"cannot fetch .*refused.*Without network: fetch that file elsewhere"):
        pulled(tmp_path, address)


def test_the_list_tells_what_is_held_what_is_damaged_and_what_can_be_pulled(server: Server, tmp_path: Path) -> None:
    def states() -> dict[str, str]:
        return {row["name"]: row["state"] for row in machine.packs(tmp_path)}

    assert states()["buffalo_l"] == "can be pulled"
    folder = pulled(tmp_path, server.address)
    load_pack("buffalo_l", tmp_path)
    assert states()["buffalo_l"] == "held"
    for file in folder.glob("*.onnx"):
        file.write_bytes(file.read_bytes()[:100])

    assert states()["buffalo_l"] == "damaged"
    assert states()["opencv-zoo"] == "held"


def test_a_server_that_has_it_not_is_believed_at_once(server: Server, tmp_path: Path) -> None:
    server.status = 404

    with pytest.raises(ModelError, match="404"):
        pulled(tmp_path, server.address)
    assert len(server.asked) == 1


@pytest.mark.parametrize("change", ["altered", "longer"])
def test_what_is_not_the_file_we_know_is_thrown_away(
    server: Server, tmp_path: Path, content: bytes, change: str
) -> None:
    server.content = content[:-1] + b"x" if change == "altered" else content + b"x"

    with pytest.raises(ModelError, match=r"sha256|larger"):
        pulled(tmp_path, server.address)

    server.content = content
    pulled(tmp_path, server.address)
    assert server.asked[-1] == "/zoo/buffalo_l.zip"


def test_a_file_that_was_fetched_elsewhere_does_as_well(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    know(monkeypatch, content)
    (tmp_path / "buffalo_l.zip").write_bytes(content)

    pulled(tmp_path / "models", str(tmp_path / "buffalo_l.zip"))

    assert load_pack("buffalo_l", tmp_path / "models").name == "buffalo_l"
    with pytest.raises(ModelError, match="no file"):
        pulled(tmp_path / "other", str(tmp_path / "nothing.zip"))


def test_a_zip_with_a_folder_in_it_and_what_else_antelopev2_holds_is_a_pack(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.buffalo(tmp_path / "given" / "antelopev2")
    (folder / "w600k_r50.onnx").rename(folder / "glintr100.onnx")
    (folder / "2d106det.onnx").rename(folder / "1k3d68.onnx")
    tiny.recogniser(folder / "z_older.onnx", dimension=24)
    tiny.scrfd(folder / "a_without_landmarks.onnx", landmarks=False)
    (folder / "README.md").write_text("as it comes")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.mkdir("antelopev2")
        archive.writestr("__MACOSX/antelopev2/._glintr100.onnx", b"what a Mac leaves behind")
        for path in sorted(folder.iterdir()):
            archive.write(path, f"antelopev2/{path.name}")
    server.content = file.getvalue()
    know(monkeypatch, server.content)

    pulled(tmp_path, server.address)
    pack = load_pack("buffalo_l", tmp_path)

    assert (pack.detector_kind, pack.dimension, pack.traits.attributes is not None) == ("scrfd", 16, True)
    assert verify_pack("buffalo_l", tmp_path) == []


@pytest.mark.parametrize("given", ["cut", "longer", "folder", "page"])
def test_a_file_that_is_not_the_pack_is_refused_by_what_is_wrong_with_it(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    know(monkeypatch, content)
    path, sentence = tmp_path / "buffalo_l.zip", f"zip has {len(content):,}"
    if given == "folder":
        path.mkdir()
        sentence = "is a folder"
    else:
        path.write_bytes({"cut": content[:-7], "longer": content + b"more", "page": b"<html>404</html>"}[given])

    with pytest.raises(ModelError, match=sentence):
        pulled(tmp_path / "models", str(path))

    assert path.exists()
    assert [each for each in (tmp_path / "models" / "pulled").iterdir() if each.is_dir()] == []


def test_what_came_over_the_network_is_kept_when_a_file_does_not_do(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [2000] + [0] * pulling.TRIES
    with pytest.raises(ModelError):
        pulled(tmp_path, server.address)
    with pytest.raises(ModelError, match="no file"):
        pulled(tmp_path, str(tmp_path / "nothing.zip"))
    server.asked.clear()

    pulled(tmp_path, server.address)

    assert server.asked == ["/zoo/buffalo_l.zip bytes=2000-"]


def test_two_at_once_do_not_disturb_each_other(server: Server, tmp_path: Path) -> None:
    (tmp_path / "pulled").mkdir()
    with pulling.held(tmp_path / "pulled" / ".buffalo_l.zip.part"), pytest.raises(ModelError, match="another process"):
        pulled(tmp_path, server.address)


def test_only_packs_that_are_known_can_be_pulled(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="antelopev2, buffalo_l"):
        pull("buffalo_xxl", tmp_path, "", quietly)
    with pytest.raises(ModelError, match="comes with the program"):
        pull("opencv-zoo", tmp_path, "", quietly)


# unpacking


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_no_member_leaves_the_folder_and_only_networks_are_taken(tmp_path: Path) -> None:
    members = {"../../up.onnx": b"1", "/root.onnx": b"2", "C:\\w\\back.onnx": b"3", "a/in.onnx": b"4", "run.sh": b"5"}
    archive = zipped(tmp_path / "evil.zip", **members)

    unpacking.unpack(archive, tmp_path / "deep" / "down" / "pack", {}, "terms")

    inside = sorted(path.name for path in (tmp_path / "deep" / "down" / "pack").iterdir())
    assert inside == ["TERMS.txt", "back.onnx", "in.onnx", "pack.json", "root.onnx", "up.onnx"]
    assert sorted(path.name for path in tmp_path.rglob("*.onnx") if "pack" not in path.parts) == []


def test_a_bomb_is_stopped_while_it_unpacks_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "NETWORK_BYTES_MAX", 4 << 20)
    archive = zipped(tmp_path / "bomb.zip", **{"a.onnx": bytes(64 << 20)})

    with pytest.raises(ModelError, match="bomb"):
        unpacking.unpack(archive, tmp_path / "pack", {}, "terms")
    assert list(tmp_path.iterdir()) == [archive]


def test_links_doubles_and_crowds_are_no_pack(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a.onnx")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    zipped(tmp_path / "double.zip", **{"a/x.onnx": b"", "b/x.onnx": b""})
    zipped(tmp_path / "crowd.zip", **{f"{number}.onnx": b"" for number in range(100)})
    zipped(tmp_path / "empty.zip", **{"readme.txt": b""})
    (tmp_path / "none.zip").write_bytes(b"not a zip")

    for name in ("link", "double", "crowd", "empty", "none"):
        with pytest.raises(ModelError, match=r"no model pack|no sound zip"):
            unpacking.unpack(tmp_path / f"{name}.zip", tmp_path / "pack", {}, "terms")
    assert not (tmp_path / "pack").exists()


# the command


def test_the_command_shows_the_terms_and_wants_them_accepted(server: Server, tmp_path: Path) -> None:
    command = ["models", "pull", "buffalo_l", "--from", server.address, "--models-dir", str(tmp_path), "--json"]

    refused = CliRunner().invoke(main, command)
    accepted = CliRunner().invoke(main, [*command, "--accept-licence"])

    assert refused.exit_code == 2
    assert "non-commercial research" in refused.stderr
    assert server.asked == ["/zoo/buffalo_l.zip"]
    assert accepted.exit_code == 0
    assert msgspec.json.decode(accepted.stdout)["licence"] == zoo().licence


def test_the_zoo_knows_a_checksum_for_every_pack() -> None:
    assert all(len(archive.sha256) == 64 and archive.size_bytes > 10**7 for archive in zoo().packs.values())
    assert zoo().address.startswith("https://github.com/deepinsight/insightface/releases/")
