"""The configuration: the documented file and the code agree, and mistakes are refused by name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from face_organizer.adapters.models import list_packs
from face_organizer.app.parts import DEFAULT_PACK
from face_organizer.config import (
    OWN,
    RELOADABLE,
    Config,
    LibraryConfig,
    Section,
    changes,
    check_folders,
    check_libraries,
    host_and_port,
    plain_path,
)
from face_organizer.config_file import load, load_libraries
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

    (pack,) = (pack for pack in list_packs() if pack.name == DEFAULT_PACK)
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
        ('placment = "move"', "unknown key placment: did you mean placement?"),
        ("[faces]\nbatch = 1", "unknown key batch in [faces]"),
        ("[wacth]\nsettle_s = 1", "unknown key wacth: did you mean [watch]?"),
        ("[watch]\nsettel_s = 1", "unknown key settel_s in [watch]: did you mean settle_s?"),
        ('devices = "cpu"', "unknown key devices: it belongs under [faces]"),
        ("settle_s = 1", "unknown key settle_s: it belongs under [watch] or under [folders]"),
        ("[watch]\npeople = 2", "unknown key people in [watch]: it belongs at the top, before the first table"),
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


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize(
    ("inbox", "told"),
    [
        ("sorted", r"is a library itself .*are inbox and library the wrong way round\?"),
        ("link", "is a library itself"),
        ("sorted/person_0001", r"lies in the library \S*/sorted "),
        ("sorted/person_0001/not made yet", r"lies in the library \S*/sorted "),
    ],
)
def test_an_inbox_that_is_or_lies_in_a_library_is_refused(tmp_path: Path, inbox: str, told: str, *, away: bool) -> None:
    (tmp_path / "sorted" / "person_0001").mkdir(parents=True)
    (tmp_path / "link").symlink_to("sorted")
    state = tmp_path / "sorted" / ".face-organizer"
    if away:
        state.symlink_to(tmp_path / "no disk")
    else:
        state.mkdir()

    with pytest.raises(ConfigError, match=told):
        check_folders(Config(inbox=str(tmp_path / inbox), library=str(tmp_path / "in")))


def test_folders_are_told_without_dots_and_what_leads_up_through_a_link_leads_where_the_link_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far" / "work").mkdir(parents=True)
    (tmp_path / "work").symlink_to(tmp_path / "far" / "work")
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "far" / "work")
    config = load(None, inbox="../in", library=f"{tmp_path}/work/../out/./lib")

    assert config.inbox_path == tmp_path / "far" / "in"
    assert config.library_path == tmp_path / "far" / "out" / "lib"
    assert plain_path(Path("../../mine")) == tmp_path / "mine"
    assert load(None, library="library").library == "library"


def test_separate_folders_are_fine(tmp_path: Path) -> None:
    check_folders(Config(inbox=str(tmp_path / "in"), library=str(tmp_path / "in2"), state_dir=str(tmp_path / "state")))


def test_changes_tells_what_applies_now_from_what_opens_the_library_anew_and_from_what_needs_a_restart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new.toml"
    path.write_text(
        'people = 2\nplacement = "copy"\n[watch]\nsettle_s = 1\n[log]\nlevel = "debug"\n[flow]\nlinger_s = 1'
    )

    now, anew, restart = changes(Config(), load(path))

    assert (now, anew, restart) == ({"watch", "log"}, {"people", "placement"}, {"flow"})
    assert changes(Config(), Config()) == (frozenset(), frozenset(), frozenset())


def test_what_can_be_reloaded_are_keys_that_exist() -> None:
    assert set(Config.__struct_fields__) >= RELOADABLE | set(OWN)


def test_the_documented_file_shows_a_table_of_a_library_with_every_key() -> None:
    shown = re.sub(r"^#  ", "", DOCUMENTED.read_text(), flags=re.MULTILINE).split("[[library]]\n")[1:]

    assert {key for table in shown for key in re.findall(r"^(\w+) = ", table.partition("\n\n")[0], re.MULTILINE)} == {
        *LibraryConfig.__struct_fields__
    }


TWO = """
[[library]]
inbox = "a/in"
library = "a/out"

[watch]
settle_s = 3

[[library]]
name = "second"
inbox = "b/in"
library = "b/out"
people = 2
placement = "copy"
state_dir = "b/state"
"""


def test_each_table_is_a_library_of_its_own_and_shares_the_other_settings(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(TWO)

    libraries = load_libraries(path)

    assert list(libraries) == ["out", "second"]
    first, second = libraries.values()
    assert (first.inbox, first.people, first.placement, first.state_dir) == ("a/in", None, None, "")
    assert (second.inbox, second.library, second.people, second.placement) == ("b/in", "b/out", 2, "copy")
    assert (second.state_dir, second.watch.settle_s, first.watch.settle_s) == ("b/state", 3.0, 3.0)
    assert load_libraries(None, people=3) == {"": Config(people=3)}
    with pytest.raises(ConfigError, match="about several libraries: out, second"):
        load(path)


def test_libraries_without_names_in_folders_called_library_are_called_as_what_those_lie_in(tmp_path: Path) -> None:
    path = tmp_path / "homes.toml"
    tables = (f'[[library]]\ninbox = "/srv/{home}/inbox"\nlibrary = "/srv/{home}/library"\n' for home in ("ada", "bo"))
    path.write_text("".join(tables))

    assert list(load_libraries(path)) == ["ada", "bo"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('inbox = "x"\npeople = 2\n' + TWO, "has both [[library]] tables and inbox and people outside of them"),
        ('library = "x"\n' + TWO, "has both [[library]] tables and library outside of them"),
        ("library = []", "leaves nothing to do"),
        ('[[library]]\ninbox = "x"', "[[library]] number 1: library is missing"),
        (TWO + "settle_s = 1", "[[library]] number 2: unknown key settle_s"),
        (TWO + "\n[[library]]\ninbox = 3", "[[library]] number 3: inbox must be text in quotes"),
        ("library = [1]", "[[library]] number 1: must be a table of its own"),
        (TWO.replace("second", "out"), "two libraries are called out"),
        ('[library]\ninbox = "x"', "write [[library]], in two pairs of brackets"),
    ],
)
def test_a_mistake_in_a_table_is_refused_with_its_number(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "mistake.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as caught:
        load_libraries(path)

    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)


def test_the_command_line_does_not_lie_over_tables(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(TWO)

    with pytest.raises(ConfigError, match="leave out --inbox and --people"):
        load_libraries(path, inbox="x", people=2, library=None)


def library_in(folder: Path, inbox: str, library: str, state_dir: str = "", placement: str = "move") -> Config:
    state = str(folder / state_dir) if state_dir else ""
    return Config(inbox=str(folder / inbox), library=str(folder / library), state_dir=state, placement=placement)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [
        ("b/in", "a/out"),
        ("b/in", "a/out/deeper"),
        ("b/in", "a"),
        ("a/out/person_A", "b/out"),
        ("a/out", "b/out"),
        ("b/in", "a/in/b"),
        ("a/in/deeper", "b/out"),
        ("b/in", "link/out"),
        ("b/in", "b/out", "a/in/state"),
        ("b/in", "b/out", "a/out/state"),
        ("b/in", "b/out", "a/state"),
    ],
)
def test_libraries_that_would_feed_one_another_are_refused(tmp_path: Path, other: tuple[str, ...]) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    first = library_in(tmp_path, "a/in", "a/out", "a/state")

    with pytest.raises(ConfigError, match=r"of one and the .* of other must not lie inside one another"):
        check_libraries({"one": first, "other": library_in(tmp_path, *other)})


def test_libraries_share_an_inbox_only_when_none_empties_it(tmp_path: Path) -> None:
    reader = library_in(tmp_path, "in", "a", placement="copy")
    check_libraries({"one": reader, "other": library_in(tmp_path, "in", "b", placement="symlink")})

    with pytest.raises(ConfigError, match="share the inbox"):
        check_libraries({"one": reader, "other": library_in(tmp_path, "in", "b")})


def test_an_elbow_needs_room_to_show(tmp_path: Path) -> None:
    path = tmp_path / "narrow.toml"
    path.write_text("[persons]\nelbow_min = 5\nelbow_max = 6\n")

    with pytest.raises(ConfigError, match="elbow_max must be at least"):
        load(path)
    assert load(None, people="elbow").people == "elbow"


@pytest.mark.parametrize("listen", ["8765", ":8765", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "[::1]"])
def test_an_address_without_host_or_port_is_refused_with_an_example(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"say HOST:PORT, like"):
        load_libraries(None, listen=listen)


def test_an_address_may_be_one_of_ipv6() -> None:
    assert host_and_port("[::1]:8765") == ("::1", 8765)
    assert host_and_port("localhost:0") == ("localhost", 0)


@pytest.mark.parametrize(
    "devices", ['"auto"', '"cuda"', '["cuda:0", "cuda:1"]', '["tensorrt:0"]', '["cpu", "openvino"]']
)
def test_devices_are_a_name_or_a_list_of_names(tmp_path: Path, devices: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[faces]\ndevices = {devices}\n")

    wanted = load(path).faces.wanted

    assert isinstance(wanted, tuple)
    assert all(name in devices for name in wanted)


@pytest.mark.parametrize(
    "devices", ['"gpu"', '["cuda:0", "cuda:x"]', "[]", '"cuda:"', '"cuda:00"', '"cuda:٣"', '"cpu:1"', "5", "[5]"]
)
def test_devices_that_do_not_exist_are_refused_by_name(tmp_path: Path, devices: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[faces]\ndevices = {devices}\n")

    with pytest.raises(ConfigError, match=r"c\.toml: faces\.devices must be"):
        load(path)


def test_web_without_an_address_means_that_of_the_settings_or_the_usual_one(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[web]\nlisten = "127.0.0.1:9000"\n')

    assert load(None).web.listen == ""
    assert load_libraries(None, listen="")[""].web.listen == "127.0.0.1:8765"
    assert load_libraries(file, listen="")[""].web.listen == "127.0.0.1:9000"
    assert load_libraries(file, listen="[::1]:1")[""].web.listen == "[::1]:1"
