"""What install-service would do; tests/system/test_service.py does it on a real systemd."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from face_organizer.adapters import install
from face_organizer.adapters.install import Place, Wish, carry_out, common, opened, socket_unit, steps, unit
from face_organizer.app import machine
from face_organizer.cli import main
from face_organizer.errors import ConfigError, RequestError

ROOT = Path(__file__).resolve().parents[2]
NOBODY_YET = "face-organizer-nobody-yet"
PROGRAM = Path("/opt/face-organizer/.venv/bin/face-organizer")


def one(inbox: Path | str, library: Path | str, user: str = "x", program: Path = PROGRAM) -> Wish:
    return Wish(program, (Place(Path(inbox), Path(library)),), user)


USUAL = one("/srv/face-organizer/inbox", "/srv/face-organizer/library", "face-organizer")


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
    wish = one("/data/my photos/100%", "/data/lib$x", "alice", Path("/opt/p/bin/face-organizer"))

    lines = lines_of(unit(wish, "users"))

    assert lines["ExecStart"].endswith(
        "/opt/p/bin/face-organizer run --config /etc/face-organizer/face-organizer.toml"
        ' --inbox "/data/my photos/100%%" --library /data/lib$$x'
    )
    assert (lines["User"], lines["Group"]) == ("alice", "users")
    assert lines["ReadWritePaths"] == lines["RequiresMountsFor"] == "/data"
    apart = lines_of(unit(one("/data/my photos/100%", "/mnt/lib$x", "alice"), "users"))
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
    assert common([Path(inbox), Path(library)]) == shared


def test_what_is_there_already_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "HIDDEN", ())
    monkeypatch.setattr(install, "SETTINGS", tmp_path / "settings.toml")
    inbox, library = tmp_path / "inbox", tmp_path / "library"

    fresh = [step.words[0] for step in steps(one(inbox, library, NOBODY_YET))]
    inbox.mkdir()
    library.mkdir()
    (tmp_path / "settings.toml").touch()
    again = [step.words[0] for step in steps(one(inbox, library, pwd.getpwuid(os.getuid()).pw_name))]

    assert fresh == ["useradd", "install", "install", "install", "install", "systemctl", "systemctl"]
    assert again == ["install", "systemctl", "systemctl"]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (one("/srv/in", "/srv/out", program=Path("/home/x/bin/face-organizer")), "the program /home/x"),
        (one("/home/x/inbox", "/srv/out"), "the inbox /home/x/inbox"),
        (one("/srv/in", "/tmp/library"), "the library /tmp/library"),
        (Wish(PROGRAM, (Place(Path("/srv/i"), Path("/srv/o"), (Path("/root/s"),)),), "x"), "the folder /root/s"),
    ],
)
def test_what_the_service_could_not_see_is_refused(wish: Wish, sentence: str) -> None:
    with pytest.raises(RequestError, match=sentence):
        steps(wish)


def test_without_root_it_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(RequestError, match="sudo"):
        carry_out([])


# several libraries

FAMILY = Place(Path("/srv/family/inbox"), Path("/srv/family/library"))
CLIP = Place(
    Path("/mnt/clips/in"), Path("/data/clips/out"), (Path("/data/state"), Path("/var/lib/face-organizer/clip"))
)


def test_of_several_libraries_every_folder_is_open_and_the_settings_alone_name_them() -> None:
    lines = lines_of(unit(Wish(PROGRAM, (FAMILY, CLIP), "face-organizer", tables=True), "face-organizer"))

    assert lines["ExecStart"].endswith(" run --config /etc/face-organizer/face-organizer.toml")
    assert lines["ReadWritePaths"] == "/srv/family /mnt/clips/in /data/clips/out /data/state"
    assert lines["RequiresMountsFor"] == lines["ReadWritePaths"]


def test_libraries_that_lie_together_have_one_folder_that_later_ones_may_join() -> None:
    def at(*names: str) -> Wish:
        places = (Place(Path(f"{name}/in"), Path(f"{name}/out"), (Path(f"{name}/state"),)) for name in names)
        return Wish(PROGRAM, tuple(places), "x", tables=True)

    assert opened(at("/srv/face-organizer/a", "/srv/face-organizer/b")) == [Path("/srv/face-organizer")]
    assert opened(at("/srv/a", "/srv/b")) == [Path("/srv/a"), Path("/srv/b")]
    assert opened(at("/srv/face-organizer/a")) == [Path("/srv/face-organizer/a")]


def test_every_library_has_a_port_for_its_page() -> None:
    text = socket_unit(3)

    assert [line for line in text.splitlines() if line.startswith("ListenStream=")] == [
        f"ListenStream=127.0.0.1:{port}" for port in (8765, 8766, 8767)
    ]
    assert socket_unit(1) == (install.SHIPPED / "face-organizer.socket").read_text()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's, empty."""
    path = tmp_path / "settings.toml"
    path.touch()
    for module in (install, machine):
        monkeypatch.setattr(module, "SETTINGS", path)
        monkeypatch.setattr(install, "HIDDEN", ())
    return path


def said(inbox: Path | None = None, library: Path | None = None) -> str:
    lines, _ = machine.install_service(inbox, library, NOBODY_YET, gpu=False, web=True, dry_run=True)
    return "\n".join(lines)


def test_the_tables_of_the_settings_are_what_the_service_serves(settings: Path, tmp_path: Path) -> None:
    tables = [
        f'[[library]]\nname = "{name}"\ninbox = "{tmp_path}/{name}/in"\nlibrary = "{tmp_path}/{name}/out"\n'
        f'state_dir = "{tmp_path}/state/{name}"'
        for name in ("one", "two")
    ]
    settings.write_text("\n".join([*tables, f'[faces]\nmodels_dir = "{tmp_path}/models"']))

    told = said()

    assert "--inbox" not in told
    assert f"ReadWritePaths={tmp_path}\n" in told
    for name in ("one", "two"):
        for folder in (f"{name}/in", f"{name}/out"):
            assert f"-m 2770 {tmp_path}/{folder}\n" in told
        assert f"-m 700 {tmp_path}/state/{name}\n" in told
    assert f"-m 700 {tmp_path}/models\n" in told
    assert "ListenStream=127.0.0.1:8766" in told
    with pytest.raises(ConfigError, match="leave out --inbox"):
        said(inbox=tmp_path / "in")


def test_a_single_librarys_state_elsewhere_can_be_written_too(settings: Path, tmp_path: Path) -> None:
    settings.write_text(f'state_dir = "{tmp_path}/elsewhere/state"\n')

    told = said(tmp_path / "a/in", tmp_path / "a/out")

    assert f"ReadWritePaths={tmp_path}/a {tmp_path}/elsewhere/state\n" in told
    assert "/srv/face-organizer/inbox --library /srv/face-organizer/library" in said()


def test_a_command_that_is_not_told_which_library_names_those_of_the_service(settings: Path, tmp_path: Path) -> None:
    settings.write_text(
        "\n".join(f'[[library]]\ninbox = "/srv/{n}/in"\nlibrary = "/srv/{n}/{n}"' for n in ("family", "clip"))
    )
    unsaid = CliRunner().invoke(main, ["people"])
    unknown = CliRunner().invoke(main, ["people", "--library", str(tmp_path / "clip")])

    assert (unsaid.exit_code, unknown.exit_code) == (2, 1)
    assert "--library /srv/family/family\n    --library /srv/clip/clip" in unsaid.stderr
    assert "the service has family in /srv/family/family, clip in /srv/clip/clip" in unknown.stderr
    settings.write_text("")
    assert "`run`" in CliRunner().invoke(main, ["people"]).stderr


@pytest.mark.parametrize("mistake", ['inbox = "in"', 'state_dir = "~/state"', 'inbox = "/srv/out"'])
def test_folders_that_the_service_would_not_find_or_that_feed_each_other_are_refused(
    settings: Path, mistake: str
) -> None:
    inbox = "" if "inbox" in mistake else 'inbox = "/srv/in"'
    settings.write_text(f'[[library]]\nlibrary = "/srv/out"\n{inbox}\n{mistake}\n')

    with pytest.raises(ConfigError, match=r"begin with /|inside one another"):
        said()
