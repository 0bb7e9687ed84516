"""Whatever the specification allows, and much that it does not: schemathesis asks a real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from browsing import CHANGES, Web

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance  # noqa: E402

QUIET = settings(suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def specification(web: Web) -> Iterator[Any]:
    yield schemathesis.openapi.from_url(f"{web.address}/openapi.json").exclude(path="/api/events")
    assert web.daemon.process.poll() is None, web.daemon.lines[-3:]
    assert web.daemon.events("request_failed") == []
    assert web.get("/health")["ok"] is True


def ask_everything(specification: Any, mode: Any, examples: int) -> None:
    for found in specification.get_all_operations():
        operation = found.ok()
        # What is no image is refused, and no schema can say what one is; and a form knows only texts and files.
        is_form = any(body.media_type == "multipart/form-data" for body in operation.body)
        excluded = [positive_data_acceptance, negative_data_rejection] if is_form else []

        with suppress(Unsatisfiable):  # nothing can be wrong about a request that takes nothing
            ask(operation.as_strategy(generation_mode=mode), excluded, examples)


def ask(cases: Any, excluded: list[Any], examples: int) -> None:
    @settings(QUIET, max_examples=examples)
    @given(case=cases)
    def one(case: Any) -> None:
        case.call_and_validate(headers=CHANGES, excluded_checks=excluded, timeout=100)

    one()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_the_interface_keeps_to_its_specification(specification: Any, mode: Any) -> None:
    ask_everything(specification, mode, examples=8)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_the_interface_keeps_to_its_specification_for_long(specification: Any, mode: Any) -> None:
    ask_everything(specification, mode, examples=300)
