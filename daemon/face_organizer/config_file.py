"""A configuration file, read: what it sets, or what is wrong with it in the words of whoever wrote it.

Room:    names
Imports: config, errors, msgspec, stdlib
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from face_organizer.config import OWN, WEB_ADDRESS, Config, LibraryConfig, Section, host_and_port, plain_path
from face_organizer.errors import ConfigError

C = TypeVar("C", bound=Section)

DEVICE = re.compile(r"auto|openvino|cpu|(cuda|tensorrt)(:(0|[1-9][0-9]{0,2}))?")
"""Checked here: msgspec 0.22 frees a pattern twice where text with one, and lists of such text, are both allowed."""

ONE_BRACKET = (
    "[library] is no table: write [[library]], in two pairs of brackets, above the inbox and library of each of several"
    ' libraries; of a single one, inbox = "..." and library = "..." stand at the top, under no bracket'
)
BOTH = "has both [[library]] tables and {} outside of them: give every library its own"


def load(path: Path | None, **overrides: Any) -> Config:
    """The configuration of a file (or the defaults), with the given top-level keys laid over it.

    overrides: None means "not given". Raises ConfigError naming the file, the key and what was expected, or where the
    file is about several libraries.
    """
    libraries = load_libraries(path, **overrides)
    if len(libraries) > 1:
        raise ConfigError(f"{path} is about several libraries: {', '.join(libraries)}")
    return next(iter(libraries.values()))


def load_libraries(path: Path | None, listen: str | None = None, **overrides: Any) -> dict[str, Config]:
    """The same for each [[library]] table of the file, by name; without such tables the one library is called "".

    listen: over web.listen; "" for what that says, or WEB_ADDRESS if it says nothing.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    where = str(path or "command line")
    settings = _read(path)
    if listen is not None:
        web = settings.get("web", {})
        settings["web"] = {**web, "listen": listen or web.get("listen") or WEB_ADDRESS}
    if isinstance(settings.get("library"), dict):
        raise ConfigError(f"{where}: {ONE_BRACKET}")
    if isinstance(settings.get("library"), list):
        return _by_name(where, settings, given)
    return {"": _plainly(_config(where, settings | given))}


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    text = b""
    try:
        text = path.read_bytes()
        return dict(msgspec.toml.decode(text))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if b"\n[[library]]" in text and "overwrite" in str(error):
            raise ConfigError(f"{path} {BOTH.format('library')}") from error
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _by_name(where: str, settings: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Config]:
    """Each [[library]] table laid over what all of them share."""
    tables = settings.pop("library")
    if given:
        options = " and ".join(f"--{key}" for key in given)
        raise ConfigError(f"{where} has [[library]] tables: leave out {options}, and say it in the tables")
    if outside := [key for key in LibraryConfig.__struct_fields__ if key in settings]:
        raise ConfigError(f"{where} {BOTH.format(' and '.join(outside))}")
    if not tables:
        raise ConfigError(f"{where}: library = [] leaves nothing to do")
    libraries: dict[str, Config] = {}
    shared = _config(where, settings)
    for number, table in enumerate(tables, 1):
        own = _converted(where, f"[[library]] number {number}: ", table, LibraryConfig)
        fields = {key: getattr(own, key) for key in OWN}
        config = _plainly(msgspec.structs.replace(shared, **fields))
        name = own.name or _folder_name(config.library_path)
        if name in libraries:
            raise ConfigError(f"{where}: two libraries are called {name}: give one a name = ...")
        libraries[name] = config
    return libraries


def _folder_name(library: Path) -> str:
    """What a library is called that has no name: as its folder, or as what that lies in where it is just "library"."""
    return library.parent.name or library.name if library.name == Config().library else library.name


def _plainly(config: Config) -> Config:
    """With folders that can be shown to people wherever they are."""
    folders = {key: getattr(config, key) for key in ("inbox", "library", "state_dir")}
    plain = {key: str(plain_path(Path(path))) for key, path in folders.items() if ".." in Path(path).parts}
    return msgspec.structs.replace(config, **plain)


def _config(where: str, settings: dict[str, Any]) -> Config:
    """The settings of one library, or what all of them share. Refuses what no key can see for itself."""
    config = _converted(where, "", settings, Config)
    if config.persons.elbow_max < config.persons.elbow_min + 2:
        raise ConfigError(f"{where}: persons.elbow_max must be at least persons.elbow_min + 2, or no elbow can show")
    if config.web.listen:
        host_and_port(config.web.listen)
    if not all(map(DEVICE.fullmatch, config.faces.wanted or ("",))):
        raise ConfigError(
            f'{where}: faces.devices must be "auto", "openvino", "cpu", "cuda", "cuda:N", "tensorrt", "tensorrt:N" or'
            " a list of these"
        )
    return config


def _converted(where: str, table: str, settings: Any, kind: type[C]) -> C:
    try:
        return msgspec.convert(settings, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {table}{_explain(str(error), kind)}") from error


def _explain(problem: str, within: type[Section]) -> str:
    """msgspec's "Invalid enum value 'x' - at `$.people`", in the user's words: which key, and what it may be."""
    problem, _, at = problem.partition(" - at `$.")
    table = at.rstrip("`").partition("[")[0]
    if problem.startswith("Object contains unknown field"):
        key = problem.split("`")[1]
        return f"unknown key {key}" + (f" in [{table}]" if table else "") + _meant(key, table, within)
    if problem.startswith("Object missing required field"):
        return f"{problem.split('`')[1]} is missing"
    if not table:
        return "must be a table of its own"
    kind: inspect.Type = inspect.type_info(within)
    for name in table.split("."):
        assert isinstance(kind, inspect.StructType), table
        kind = next(field.type for field in kind.fields if field.name == name)
    kinds = kind.types if isinstance(kind, inspect.UnionType) else (kind,)
    words = [word for each in kinds if (word := _describe(each))]
    return f"{table} must be {' or '.join(words)}"


def _meant(key: str, table: str, within: type[Section]) -> str:
    """What an unknown key may have been meant for: ": it belongs under [faces]", or a name much like it."""
    tables = {
        each.name: each.type
        for each in msgspec.structs.fields(Config)
        if isinstance(each.type, type) and issubclass(each.type, Section)
    }
    here = tables.get(table, within).__struct_fields__
    above = ["at the top, before the first table"] if table and key in Config.__struct_fields__ else []
    homes = above + [f"under [{name}]" for name, kind in tables.items() if key in kind.__struct_fields__]
    if homes:
        return f": it belongs {' or '.join(homes)}"
    close = get_close_matches(key, here, 1)
    return "".join(f": did you mean {f'[{name}]' if not table and name in tables else name}?" for name in close)


def _describe(kind: inspect.Type) -> str:
    """What a value may be: "text", "a whole number from 1 to 64"; "" for what cannot be written in TOML (None)."""
    match kind:
        case inspect.LiteralType(values=values):
            return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)
        case inspect.IntType(ge=low, le=high, gt=above) | inspect.FloatType(ge=low, le=high, gt=above):
            noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
            bounds = ((" above", above), (" from", low), (" to" if low is not None else " up to", high))
            return noun + "".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
        case inspect.BoolType():
            return "true or false"
        case inspect.VarTupleType():
            return "a list of that"
        case inspect.StrType():
            return "text in quotes"
        case inspect.StructType():
            return "a table of its own"
    return ""
