"""Figures for Prometheus: of requests, counted here; of everything else, asked for when somebody looks.

Room:    web (talks)
Imports: prometheus_client, starlette, stdlib
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "face_organizer_"
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Figures(Collector):
    """Asks for the figures once a scrape. ask(): {"gauges": {name: (help, label or "", {label's value: figure} or
    figure)}, "latencies": {step: (bounds in s, counts at each bound and beyond, sum in s)}}."""

    def __init__(self, ask: Callable[[], Mapping[str, Any]]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        found = self._ask()
        for name, (told, label, values) in found["gauges"].items():
            gauge = GaugeMetricFamily(PREFIX + name, told, labels=[label] if label else [])
            for value, figure in values.items() if label else [(None, values)]:
                gauge.add_metric([str(value)] if label else [], float(figure))
            yield gauge
        steps = HistogramMetricFamily(PREFIX + "step_seconds", "How long a step of an image takes", labels=["step"])
        for step, (bounds_s, counts, sum_s) in found["latencies"].items():
            total, buckets = 0, []
            for bound_s, count in zip([*bounds_s, float("inf")], counts, strict=True):
                total += count
                buckets.append(("+Inf" if bound_s == float("inf") else str(bound_s), float(total)))
            steps.add_metric([step], buckets, sum_s)
        yield steps

    def describe(self) -> Iterator[Metric]:
        return iter(())


class Metrics:
    """ASGI around ASGI: counts requests by route, and how long they take. text(): all figures."""

    def __init__(self, ask: Callable[[], Mapping[str, Any]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Figures(ask))
        self._requests = Counter(
            PREFIX + "http_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            PREFIX + "http_request_seconds",
            "How long a request takes, to its first byte",
            ["route"],
            buckets=BOUNDS_S,
            registry=self._registry,
        )

    def around(self, app: ASGIApp) -> ASGIApp:
        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            began = monotonic()

            async def give(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = _route(scope)
                    self._requests.labels(scope["method"][:10], route, str(message["status"])).inc()
                    self._seconds.labels(route).observe(monotonic() - began)
                await send(message)

            await app(scope, receive, give)

        return counted

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


def _route(scope: Scope) -> str:
    """The route's pattern, like /api/people/{person_id}; never a path, of which there are endlessly many."""
    if "endpoint" not in scope:
        return "none"
    path, given = str(scope["path"]), scope.get("path_params", {})
    for name, value in given.items():
        if "/" in str(value) or path.endswith(f"/static/{value}"):
            return path.removesuffix(str(value)) + f"{{{name}}}"
    names = {str(value): f"{{{name}}}" for name, value in given.items()}
    return "/".join(names.get(part, part) for part in path.split("/"))
