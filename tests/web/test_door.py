"""The door where the extra [web] is missing, where it is closed, and where its address is taken."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog

from face_organizer.app.door import Door
from face_organizer.app.libraries import Libraries
from face_organizer.config_file import load_libraries
from face_organizer.errors import ConfigError


def test_without_the_extra_it_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("face_organizer.web.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    config = load_libraries(None, listen="127.0.0.1:0")[""]
    organizer: Any = SimpleNamespace(pulses=None)

    with pytest.raises(ConfigError, match=r"needs the extra \[web\].*pip install"):
        Door(organizer, config, organizer)


def test_it_stays_closed_unless_it_is_asked_for() -> None:
    organizer: Any = SimpleNamespace(pulses=None)
    door = Door(organizer, load_libraries(None)[""], organizer)

    door.start()
    door.stop()
    door.close()

    assert door.failure is None


def test_a_new_library_whose_page_would_get_no_port_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        folders = {"inbox": str(tmp_path / "in"), "library": str(tmp_path / "out")}

        with pytest.raises(ConfigError, match="cannot listen on"):
            Libraries(structlog.get_logger()).start(load_libraries(None, listen=listen, **folders))

    assert list(tmp_path.iterdir()) == []
