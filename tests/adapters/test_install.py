"""What install-service would do; tests/system/test_service.py does it on a real systemd."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from face_organizer.adapters import install
from face_organizer.adapters.install import Wish, carry_out, common, steps, unit
from face_organizer.errors import RequestError

ROOT = Path(__file__).resolve().parents[2]
NOBODY_YET = "face-organizer-nobody-yet"
USUAL = Wish(
    Path("/opt/face-organizer/.venv/bin/face-organizer"),
    Path("/srv/face-organizer/inbox"),
    Path("/srv/face-organizer/library"),
    "face-organizer",
)


def lines_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_what_is_shipped_is_what_lies_in_the_checkout() -> None:
    for shipped, original in (
        ("face-organizer.service", "systemd/face-organizer.service"),
        ("gpu.conf", "systemd/gpu.conf"),
        ("web.conf", "systemd/web.conf"),
        ("face-organizer.socket", "systemd/face-organizer.socket"),
        ("face-organizer.toml", "config/face-organizer.toml"),
    ):
        assert (install.SHIPPED / shipped).read_bytes() == (ROOT / original).read_bytes()


def test_with_the_usual_paths_the_unit_is_the_one_in_the_checkout() -> None:
    original = (ROOT / "systemd/face-organizer.service").read_text().replace("\\\n    ", "")

    assert unit(USUAL, "face-organizer") == original


def test_with_the_page_systemd_listens_for_the_service_on_this_machine_only() -> None:
    wish = replace(USUAL, web=True)

    assert lines_of(unit(wish, "face-organizer"))["ExecStart"].endswith("/srv/face-organizer/library --web")
    assert "systemctl enable face-organizer.service face-organizer.socket" in map(str, steps(wish))
    listens = lines_of((install.SHIPPED / "face-organizer.socket").read_text())
    assert (listens["ListenStream"], listens["IPAddressAllow"]) == ("127.0.0.1:8765", "localhost")


def test_other_paths_and_another_user_go_into_the_unit_as_systemd_reads_them() -> None:
    wish = Wish(Path("/opt/p/bin/face-organizer"), Path("/data/my photos/100%"), Path("/data/lib$x"), "alice")

    lines = lines_of(unit(wish, "users"))

    assert lines["ExecStart"].endswith(
        "/opt/p/bin/face-organizer run --config /etc/face-organizer/face-organizer.toml"
        ' --inbox "/data/my photos/100%%" --library /data/lib$$x'
    )
    assert (lines["User"], lines["Group"]) == ("alice", "users")
    assert lines["ReadWritePaths"] == lines["RequiresMountsFor"] == "/data"
    apart = lines_of(unit(Wish(wish.program, wish.inbox, Path("/mnt/lib$x"), "alice"), "users"))
    assert apart["ReadWritePaths"] == '"/data/my photos/100%%" /mnt/lib$x'


@pytest.mark.parametrize(
    ("inbox", "library", "shared"),
    [
        ("/srv/in", "/srv/out", Path("/srv")),
        ("/data/photos/in", "/data/photos/out", Path("/data/photos")),
        ("/data/in", "/data/out", Path("/data")),
        ("/mnt/a/in", "/data/b/out", None),
        ("/usr/in", "/usr/out", None),
    ],
)
def test_one_folder_is_opened_for_both_unless_it_would_be_the_systems_own(
    inbox: str, library: str, shared: Path | None
) -> None:
    assert common(Wish(USUAL.program, Path(inbox), Path(library), "x")) == shared


def test_what_is_there_already_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "HIDDEN", ())
    monkeypatch.setattr(install, "SETTINGS", tmp_path / "settings.toml")
    inbox, library = tmp_path / "inbox", tmp_path / "library"

    fresh = [step.words[0] for step in steps(Wish(USUAL.program, inbox, library, NOBODY_YET))]
    inbox.mkdir()
    library.mkdir()
    (tmp_path / "settings.toml").touch()
    again = [step.words[0] for step in steps(Wish(USUAL.program, inbox, library, pwd.getpwuid(os.getuid()).pw_name))]

    assert fresh == ["useradd", "install", "install", "install", "install", "systemctl", "systemctl"]
    assert again == ["install", "systemctl", "systemctl"]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish(Path("/home/x/bin/face-organizer"), USUAL.inbox, USUAL.library, "x"), "the program /home/x"),
        (Wish(USUAL.program, Path("/home/x/inbox"), USUAL.library, "x"), "the inbox /home/x/inbox"),
        (Wish(USUAL.program, USUAL.inbox, Path("/tmp/library"), "x"), "the library /tmp/library"),
    ],
)
def test_what_the_service_could_not_see_is_refused(wish: Wish, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        steps(wish)


def test_without_root_it_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(RequestError, match="sudo"):
        carry_out([])
