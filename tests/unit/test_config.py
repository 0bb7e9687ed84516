"""The configuration: the documented file and the code agree, and mistakes are refused by name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from face_organizer.adapters.models import list_packs
from face_organizer.config import RELOADABLE, Config, Section, changes, check_folders, load
from face_organizer.errors import ConfigError

DOCUMENTED = Path(__file__).resolve().parents[2] / "config" / "face-organizer.toml"


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"watch.settle_s": 0.5, ...} of a Config, of its sections, or of parsed TOML."""
    pairs = value.items() if isinstance(value, dict) else msgspec.structs.asdict(value).items()
    flat: dict[str, Any] = {}
    for key, inner in pairs:
        flat |= flatten(inner, f"{prefix}{key}.") if isinstance(inner, dict | Section) else {f"{prefix}{key}": inner}
    return flat


def uncomment(text: str) -> str:
    """Settings whose default is the pack's own value stand as "#key = value"; prose is "# ..."."""
    return re.sub(r"^#(?=\w)", "", text, flags=re.MULTILINE)


def test_the_documented_file_names_every_key_and_no_other() -> None:
    documented = flatten(tomllib.loads(uncomment(DOCUMENTED.read_text())))

    assert documented.keys() == flatten(Config()).keys()


def test_the_documented_file_shows_every_default() -> None:
    documented = flatten(tomllib.loads(DOCUMENTED.read_text()))

    assert documented == {key: value for key, value in flatten(Config()).items() if value is not None}
    assert load(DOCUMENTED) == Config()


def test_the_values_that_the_pack_decides_are_shown_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(uncomment(DOCUMENTED.read_text()))

    persons = load(path).persons

    (pack,) = (pack for pack in list_packs() if pack.name == Config().faces.pack)
    shown = {key: value for key, value in msgspec.structs.asdict(persons).items() if key.startswith("similarity_")}
    assert shown == {key: getattr(pack, key) for key in shown}


def test_every_key_is_explained_above_it() -> None:
    lines = DOCUMENTED.read_text().splitlines()

    for above, line in zip(["", *lines], lines, strict=False):
        if re.match(r"#?\w+ = ", line):
            assert above.startswith("# "), line


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('placment = "move"', "unknown key placment"),
        ("[faces]\nbatch = 1", "unknown key batch in [faces]"),
        ("[wacth]\nsettle_s = 1", "unknown key wacth"),
        ('people = "x"', 'people must be a whole number from 1 to 1000 or "auto"'),
        ("people = 0", 'people must be a whole number from 1 to 1000 or "auto"'),
        ("people = 2.5", 'people must be a whole number from 1 to 1000 or "auto"'),
        ('placement = "moved"', 'placement must be "copy" or "hardlink" or "move" or "symlink"'),
        ("inbox = 3", "inbox must be text in quotes"),
        ("watch = 3", "watch must be a table of its own"),
        ('[watch]\nsettle_s = "1"', "watch.settle_s must be a number from 0"),
        ("[watch]\nsettle_s = -1", "watch.settle_s must be a number from 0"),
        ("[watch]\nrescan_s = 0", "watch.rescan_s must be a number above 0"),
        ('[faces]\npre_cropped = "yes"', 'faces.pre_cropped must be true or false or "auto"'),
        ("[faces]\ndetection_side_px = 500", "faces.detection_side_px must be 320 or 480 or 640 or 960 or 1280"),
        ("[flow]\ndecoders = 65", "flow.decoders must be a whole number from 1 to 64"),
        ("[persons]\nsimilarity_join_min = 2", "persons.similarity_join_min must be a number from -1 to 1"),
        ("people = ", "is not valid TOML"),
        ("[watch]\n[watch]\n", "is not valid TOML"),
    ],
)
def test_a_mistake_is_refused_with_its_file_its_key_and_what_was_expected(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "mistake.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b'inbox = "\xff"')

    with pytest.raises(ConfigError, match=re.escape(f"{path} is not valid TOML")):
        load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*gone\.toml: No such file"):
        load(tmp_path / "gone.toml")


def test_a_mistake_on_the_command_line_says_so() -> None:
    with pytest.raises(ConfigError, match=r"^command line: people must be"):
        load(None, people="two")


def test_the_command_line_lies_over_the_file_and_none_means_not_given(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text('people = 2\ninbox = "in"\n[watch]\nsettle_s = 3\n')

    config = load(path, people="auto", inbox=None, library="out")

    assert (config.people, config.inbox, config.library, config.watch.settle_s) == ("auto", "in", "out", 3.0)
    assert load(None) == Config()


def test_paths_are_absolute_and_the_state_lies_in_the_library_unless_told_otherwise(tmp_path: Path) -> None:
    there = Config(library=str(tmp_path / "library"))
    elsewhere = Config(library=str(tmp_path / "library"), state_dir="~/state")

    assert Config().inbox_path == Path.cwd() / "inbox"
    assert there.state_path == tmp_path / "library" / ".face-organizer"
    assert elsewhere.state_path == Path.home() / "state"


@pytest.mark.parametrize(
    ("inbox", "library", "state_dir"),
    [
        ("a", "a", ""),
        ("a/inbox", "a", ""),
        ("a", "a/library", ""),
        ("a", "link-to-a/library", ""),
        ("a", "b", "a"),
        ("a", "b", "a/state"),
    ],
)
def test_folders_that_would_feed_the_organizer_its_own_output_are_refused(
    tmp_path: Path, inbox: str, library: str, state_dir: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link-to-a").symlink_to(tmp_path / "a")
    state = str(tmp_path / state_dir) if state_dir else ""

    with pytest.raises(ConfigError, match="must not lie inside"):
        check_folders(Config(inbox=str(tmp_path / inbox), library=str(tmp_path / library), state_dir=state))


def test_separate_folders_are_fine(tmp_path: Path) -> None:
    check_folders(Config(inbox=str(tmp_path / "in"), library=str(tmp_path / "in2"), state_dir=str(tmp_path / "state")))


def test_changes_tells_what_applies_now_from_what_needs_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "new.toml"
    path.write_text('people = 2\nplacement = "copy"\n[watch]\nsettle_s = 1\n[log]\nlevel = "debug"\n')

    now, restart = changes(Config(), load(path))

    assert (now, restart) == ({"watch", "log"}, {"people", "placement"})
    assert changes(Config(), Config()) == (frozenset(), frozenset())


def test_what_can_be_reloaded_are_keys_that_exist() -> None:
    assert set(Config.__struct_fields__) >= RELOADABLE


def test_an_elbow_needs_room_to_show(tmp_path: Path) -> None:
    path = tmp_path / "narrow.toml"
    path.write_text("[persons]\nelbow_min = 5\nelbow_max = 6\n")

    with pytest.raises(ConfigError, match="elbow_max must be at least"):
        load(path)
    assert load(None, people="elbow").people == "elbow"
