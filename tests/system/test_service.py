"""The unit file on a real systemd: hardening, start, reload, crash and stop of the real daemon.

tests/system/systemd-lab boots the installed systemd in namespaces of its own. Where that is impossible (not root, no
systemd, ...) everything here is skipped with the lab's reason.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest
from lab import CONFIG, HOME, INBOX, LIBRARY, START_WITHIN_S, UNIT, Lab
from support import wait_until

EXPOSURE_MAX = 1.0
FETCH = "from urllib.request import urlopen; fetch = lambda address: urlopen(address).read().decode()"


@pytest.fixture(params=[(), ("--gpu",), ("--web",), ("--gpu", "--web")], ids=" ".join)
def either(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The unit as it is, and with the drop-ins for GPUs and the page."""
    if request.param:
        lab.install(*request.param)
    yield lab
    lab.control("exec", "systemctl", "disable", "face-organizer.socket")
    lab.run("rm", "-rf", f"/etc/systemd/system/{UNIT}.d")
    lab.install()


def test_systemd_finds_nothing_to_complain_about(either: Lab) -> None:
    done = either.control("exec", "systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_is_well_hardened(either: Lab) -> None:
    verdict = either.run("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]

    print(verdict)  # noqa: T201
    exposure = re.search(r"exposure level for \S+ ([0-9.]+)", verdict)
    assert exposure, verdict
    assert float(exposure[1]) <= EXPOSURE_MAX


@pytest.mark.long
def test_with_the_drop_in_for_gpus_it_starts_and_no_other_device_comes_in(stopped: Lab) -> None:
    lab = stopped
    lab.install("--gpu")
    try:
        lab.start()

        assert lab.show("PrivateDevices") == "no"
        assert lab.show("DevicePolicy") == "closed"
        assert "char-nvidia* rw" in lab.show("DeviceAllow")
    finally:
        lab.stop()
        lab.run("rm", "-rf", f"/etc/systemd/system/{UNIT}.d")
        lab.run("systemctl", "daemon-reload")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.long
def test_with_the_drop_in_for_the_page_it_is_served_to_this_machine(stopped: Lab) -> None:
    lab = stopped
    lab.install("--web")
    lab.drop_in("Environment=LD_LIBRARY_PATH=/opt/python/lib\n")  # a Python from below /root would find another's
    unit = "/etc/systemd/system/face-organizer.socket"
    lab.write(unit, lab.run("cat", unit).replace(":8765", f":{free_port()}"))  # somebody may be at that
    lab.run("systemctl", "daemon-reload")
    try:
        lab.start()
        address = lab.events("web_ready")[-1]["ADDRESS"]

        health = lab.run(f"{HOME}/.venv/bin/python", "-c", f"{FETCH}; print(fetch('{address}/health'))")
        assert json.loads(health) == {"ok": True, "problems": []}
        assert lab.show("PrivateNetwork") == "yes"
    finally:
        lab.stop()
        lab.drop_out()
        lab.run("systemctl", "disable", "--now", "face-organizer.socket")
        lab.run("rm", "-rf", f"/etc/systemd/system/{UNIT}.d", unit)
        lab.install()


def test_start_returns_once_the_daemon_is_ready(stopped: Lab) -> None:
    lab = stopped
    before = len(lab.events("ready"))

    lab.start()

    assert (lab.show("ActiveState"), lab.show("SubState")) == ("active", "running")
    wait_until(lambda: len(lab.events("ready")) == before + 1, within_s=5)


def test_reload_reclusters_in_the_same_process(running: Lab) -> None:
    pid, before = running.show("MainPID"), len(running.events("recluster_finished"))

    running.run("systemctl", "reload", UNIT)

    wait_until(lambda: len(running.events("recluster_finished")) > before, within_s=30)
    assert running.show("MainPID") == pid
    assert running.events("config_reloaded")


def test_a_mistake_in_a_reloaded_configuration_is_told_and_survived(running: Lab) -> None:
    pid = running.show("MainPID")
    try:
        running.configure("levle = 3")
        running.run("systemctl", "reload", UNIT)

        wait_until(lambda: bool(running.events("config_refused")), within_s=30)
    finally:
        running.configure("")
    assert "unknown key levle in [log]" in running.events("config_refused")[-1]["PROBLEM"]
    assert running.show("MainPID") == pid


def test_images_dropped_into_the_inbox_are_sorted_under_all_that_hardening(running: Lab, images: Path) -> None:
    count = len(list(images.rglob("*.*")))

    running.drop_images(images)

    wait_until(lambda: not running.left_in_inbox(), within_s=120)
    placed = running.run("find", LIBRARY, "-path", "*/person_*/*", "-name", "*.jpg").splitlines()
    assert len(placed) > 0.8 * count
    assert running.run("stat", "-c", "%U", LIBRARY) == "face-organizer"


def test_every_fact_is_a_field_of_the_journal_whatever_the_name_of_the_file(running: Lab) -> None:
    name = b"caf\xe9 \n= \xf0\x9f\x98\x80.jpg"

    running.feed(b"no image", "sh", "-c", f"cat >$(printf '{INBOX}/caf\\351 \\n= \\360\\237\\230\\200.jpg')")

    wait_until(lambda: bool(running.events("image_quarantined")), within_s=60)
    entry = running.events("image_quarantined")[-1]
    assert bytes(entry["IMAGE"]) == INBOX.encode() + b"/" + name
    assert entry["MESSAGE"].startswith("image_quarantined image=")
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"]) == ("6", "face-organizer")
    found = running.run("journalctl", "-u", UNIT, "EVENT=image_quarantined", f"FILE_ID={entry['FILE_ID']}", "-o", "cat")
    assert found.count("image_quarantined") == 1


def test_a_killed_daemon_comes_back(running: Lab) -> None:
    pid, restarts = running.show("MainPID"), int(running.show("NRestarts"))

    running.run("systemctl", "kill", "--signal", "KILL", UNIT)

    wait_until(lambda: int(running.show("NRestarts")) == restarts + 1, within_s=START_WITHIN_S)
    wait_until(lambda: running.show("ActiveState") == "active", within_s=START_WITHIN_S)
    assert running.show("MainPID") not in {"0", pid}


def test_a_second_daemon_on_the_same_library_gives_up_with_75(running: Lab) -> None:
    second = running.control(
        "exec", f"{HOME}/.venv/bin/face-organizer", "run", "--inbox", INBOX, "--library", LIBRARY, "--once"
    )

    assert second.returncode == 75, second.stderr


def test_a_mistake_in_the_configuration_is_not_tried_again(stopped: Lab) -> None:
    lab = stopped
    try:
        lab.configure("levle = 3")
        start = lab.control("exec", "systemctl", "start", UNIT)
    finally:
        lab.configure("")

    assert start.returncode != 0
    assert (lab.show("ActiveState"), lab.show("ExecMainStatus"), lab.show("NRestarts")) == ("failed", "2", "0")


def test_stop_is_clean(running: Lab) -> None:
    before = len(running.events("stopped"))

    running.run("systemctl", "stop", UNIT)

    assert (running.show("Result"), running.show("ExecMainStatus")) == ("success", "0")
    wait_until(lambda: len(running.events("stopped")) == before + 1, within_s=5)


def test_a_hangup_at_any_moment_of_the_start_does_not_kill(stopped: Lab) -> None:
    lab = stopped
    before, reclustered = len(lab.events("ready")), len(lab.events("recluster_finished"))
    lab.run("systemctl", "start", "--no-block", UNIT)
    wait_until(lambda: lab.show("MainPID") != "0", within_s=START_WITHIN_S)
    # As fast as a shell can, from when systemd has started our command, which ignores HUP, until READY. Before that the
    # process is systemd's own, which makes the sandbox: nothing of ours could survive there.
    lab.shell(
        f"pid={lab.show('MainPID')};"
        " for n in $(seq 100000); do grep -Eq '^Sig(Ign|Cgt):.*[13579bdf]$' /proc/$pid/status && break; done;"
        f" for n in $(seq 100000); do kill -HUP $pid || exit 1;"
        f" systemctl --quiet is-active {UNIT} && exit 0; done; exit 1"
    )

    wait_until(lambda: len(lab.events("ready")) == before + 1, within_s=START_WITHIN_S)
    wait_until(lambda: len(lab.events("recluster_finished")) > reclustered, within_s=30)
    assert (lab.show("ActiveState"), lab.show("NRestarts")) == ("active", "0")


def test_fifty_hangups_are_one_reclustering_or_two(running: Lab) -> None:
    before = len(running.events("recluster_finished"))

    running.shell(f"pid={running.show('MainPID')}; for n in $(seq 50); do kill -HUP $pid; done")

    wait_until(lambda: len(running.events("recluster_finished")) > before, within_s=30)
    wait_until(lambda: running.status()["reclustering"] is False, within_s=30)
    assert len(running.events("recluster_finished")) - before <= 2


def test_after_five_failures_in_five_minutes_it_stays_down(stopped: Lab) -> None:
    lab = stopped
    lab.drop_in("ExecStart=\nExecStart=/bin/false\nRestartSec=100ms\n")
    try:
        assert lab.control("exec", "systemctl", "start", UNIT).returncode != 0

        wait_until(lambda: lab.show("ActiveState") == "failed", within_s=START_WITHIN_S)
        assert lab.show("NRestarts") == "5"
        assert "Start request repeated too quickly" in lab.run("journalctl", "-u", UNIT, "-o", "cat")
    finally:
        lab.drop_out()


def test_a_journal_that_is_away_stops_no_work_and_no_entry_is_lost(running: Lab, images: Path, tmp_path: Path) -> None:
    given = sorted(path for path in images.rglob("*") if path.is_file())[:12]
    for number, path in enumerate(given):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"away_{number:02}{path.suffix}").write_bytes(path.read_bytes() + b"away")
    pid = running.show("MainPID")
    sockets = ("systemd-journald.socket", "systemd-journald-dev-log.socket")

    running.run("systemctl", "stop", *sockets, "systemd-journald.service")
    try:
        running.drop_images(tmp_path / "images")
        wait_until(lambda: not running.left_in_inbox(), within_s=120)
    finally:
        running.run("systemctl", "start", *sockets, "systemd-journald.service")
    assert running.show("MainPID") == pid

    wait_until(lambda: away(running) == {f"away_{number:02}" for number in range(12)}, within_s=30)


def test_several_libraries_are_one_service_and_a_reload_adds_one_beside_them(stopped: Lab) -> None:
    lab = stopped
    try:
        lab.write(CONFIG, tables("one", "two"))
        lab.install()
        lab.start()
        assert lab.events("ready")[-1]["LIBRARIES"] == ["one", "two"]
        for name in ("one", "two"):
            assert f"{name}: watching /srv/face-organizer/{name}/in" in lab.show("StatusText")

        lab.write(CONFIG, tables("one", "two", "three"))
        lab.run("systemctl", "reload", UNIT)
        wait_until(lambda: "three: watching" in lab.show("StatusText"), within_s=60)
        must_place(lab, "three", "/srv/face-organizer/three/in")
        lab.run("systemctl", "stop", UNIT)
        assert (lab.show("Result"), lab.show("ExecMainStatus")) == ("success", "0")
    finally:
        lab.stop()
        lab.configure("")
        lab.install()


@pytest.mark.long
def test_every_library_has_its_page_at_a_port_of_its_own(stopped: Lab) -> None:
    lab, unit = stopped, "/etc/systemd/system/face-organizer.socket"
    try:
        lab.write(CONFIG, tables("one", "two"))
        lab.install("--web")
        lab.drop_in("Environment=LD_LIBRARY_PATH=/opt/python/lib\n")  # a Python from below /root would find another's
        text = lab.run("cat", unit)
        for port in (":8765", ":8766"):
            text = text.replace(port, f":{free_port()}")
        lab.write(unit, text)
        lab.run("systemctl", "daemon-reload")
        lab.start()

        addresses = {entry["LIBRARY"]: entry["ADDRESS"] for entry in lab.events("web_ready")[-2:]}
        assert set(addresses) == {"one", "two"}
        for name, address in addresses.items():
            script = f"{FETCH}; print(fetch('{address}/api/status'))"
            told = json.loads(lab.run(f"{HOME}/.venv/bin/python", "-c", script))
            assert told["library"] == f"/srv/face-organizer/{name}/{name}"
    finally:
        lab.stop()
        lab.drop_out()
        lab.run("systemctl", "disable", "--now", "face-organizer.socket")
        lab.run("rm", "-rf", f"/etc/systemd/system/{UNIT}.d", unit)
        lab.configure("")
        lab.install()


def test_a_library_elsewhere_is_let_in_by_saying_install_service_again(stopped: Lab) -> None:
    lab = stopped
    far = '[[library]]\nname = "far"\ninbox = "/mnt/clips 100%/in"\nlibrary = "/mnt/clips 100%/out"\n'
    far += 'state_dir = "/data/state/far"\n'
    try:
        lab.write(CONFIG, tables("one"))
        lab.install()
        lab.start()
        lab.write(CONFIG, tables("one") + "\n" + far)
        lab.run("systemctl", "reload", UNIT)
        wait_until(lambda: "far: closed" in lab.show("StatusText"), within_s=60)
        assert "install-service" in lab.events("library_closed")[-1]["PROBLEM"]
        lab.run("test", "!", "-e", "/mnt/clips 100%")

        lab.install()
        verified = lab.control("exec", "systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")
        assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
        lab.run("systemctl", "restart", UNIT)

        assert lab.events("ready")[-1]["LIBRARIES"] == ["one", "far"]
        must_place(lab, "far", "/mnt/clips 100%/in")
        must_place(lab, "one", "/srv/face-organizer/one/in")
        lab.run("test", "-f", "/data/state/far/truth/data.mdb")
        assert lab.run("stat", "-c", "%a %U", "/data/state/far") == "700 face-organizer"
    finally:
        lab.stop()
        lab.run("rm", "-rf", "/mnt/clips 100%", "/data/state")
        lab.configure("")
        lab.install()


def tables(*names: str) -> str:
    folders = {name: f"/srv/face-organizer/{name}" for name in names}
    return "\n".join(f'[[library]]\ninbox = "{at}/in"\nlibrary = "{at}/{name}"' for name, at in folders.items())


def must_place(lab: Lab, library: str, inbox: str) -> None:
    lab.feed(b"no image", "sh", "-c", f"cat >'{inbox}/{library}.jpg'")
    placed = ("journalctl", "-u", UNIT, f"LIBRARY={library}", "EVENT=image_placed", "-o", "cat")
    wait_until(lambda: f"{library}.jpg" in lab.run(*placed), within_s=60)


def away(lab: Lab) -> set[str]:
    return {Path(entry["IMAGE"]).stem for entry in lab.events("image_enrolled") if "away_" in str(entry["IMAGE"])}


@pytest.mark.parametrize("size", [60_000, 1_000_000])
def test_an_error_of_many_lines_stays_one_entry(lab: Lab, size: int) -> None:
    unit = f"large-{size}"
    script = (
        "from face_organizer.adapters.log import open_log;"
        f"open_log('auto', 'info').error('large', problem='line of ten\\n' * ({size} // 12))"
    )

    lab.run(
        *("systemd-run", "--quiet", "--wait", f"--unit={unit}", f"--setenv=PYTHONPATH={HOME}/daemon"),
        *(f"{HOME}/.venv/bin/python", "-c", script),
    )

    entries = lab.run("journalctl", "-u", unit, "EVENT=large", "-o", "json", "--all").splitlines()
    assert [json.loads(entry)["PROBLEM"] for entry in entries] == ["line of ten\n" * (size // 12)]


@pytest.mark.long
def test_other_folders_and_another_user_serve_as_well_whatever_they_are_called(stopped: Lab) -> None:
    lab, inbox, library = stopped, "/srv/my photos/in 100% $HOME", "/srv/my photos/out"
    try:
        lab.install("--inbox", inbox, "--library", library, "--user", "family")

        verified = lab.control("exec", "systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}")
        assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
        lab.start()
        assert lab.events("ready")[-1]["INBOX"] == inbox
        lab.feed(b"no image", "sh", "-c", f"cat >'{inbox}/x.jpg'")
        wait_until(lambda: "x.jpg" in lab.names_below(library, "x.jpg"), within_s=60)
        assert lab.run("stat", "-c", "%U:%G", library) == "family:family"
    finally:
        lab.stop()
        lab.install()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_stop_with_a_thousand_queued_is_quick_and_the_rest_is_done_at_the_next_start(
    running: Lab, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    faces = sorted(path for path in images.rglob("*") if path.is_file())
    for number in range(1_000):
        data = faces[number % len(faces)].read_bytes() + b"%d" % number  # other content, the same face
        (tmp_path / "images" / f"queued_{number:04}.jpg").write_bytes(data)
    running.drop_images(tmp_path / "images")
    wait_until(lambda: len(running.names_below(LIBRARY, "queued_*")) >= 50, within_s=120)

    begun = monotonic()
    running.run("systemctl", "stop", UNIT)
    took_s = monotonic() - begun

    placed, left = running.names_below(LIBRARY, "queued_*"), running.names_below(INBOX, "queued_*")
    print(f"stopped after {took_s:.1f} s with {len(placed)} placed and {len(left)} left")  # noqa: T201
    assert took_s < 60 / 2  # TimeoutStopSec
    assert running.show("Result") == "success"
    assert len(placed | left) == 1_000 and left and not placed & left
    running.start()
    wait_until(lambda: not running.left_in_inbox(), within_s=600)
    assert len(running.names_below(LIBRARY, "queued_*")) == 1_000
