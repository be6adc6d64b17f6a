"""Respond as the API does to the key of one team: its orders, its rate limit, its faults, what it counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random

import orjson

from exporter.simulator.faults import REFUSAL, Spoiler, WireResponse, spoiled
from exporter.simulator.options import SimulatorOptions
from exporter.simulator.rate_rules import rule
from exporter.simulator.requests import WRONG_PARAMETER
from exporter.simulator.statistics import ServerStatistics
from exporter.simulator.world import World
from exporter.vendor.orders import LANGUAGES

_NO_JSON = b'{"code":%d,"message":"the body must be a JSON object"}' % WRONG_PARAMETER


class Team:
    """One team: teams share nothing but the server."""

    def __init__(self, options: SimulatorOptions, world: World | None = None) -> None:
        self.options = options
        self.world = world or World.of(options)
        self.statistics = ServerStatistics()
        self._random = Random(options.seed)
        self._spoiler = Spoiler(options.faults, Random(options.seed))
        self._rule = rule(options.rule, options.rate, strict=options.strict)

    def decide(self, headers: Mapping[str, str], body: bytes, now: float) -> WireResponse:
        """Return what is sent to a request that arrives at `now`, in seconds on a monotonic clock."""
        if not self._rule.allows(now):
            self.statistics.refused += 1
            return self._refusal()
        fault = self._spoiler.choose()
        if fault == "gzip" and "gzip" not in headers.get("Accept-Encoding", ""):
            fault = None
        language = headers.get("Lang", "en")
        self.statistics.serve((body, language), fault)
        try:
            envelope = self.world.response_bytes(
                orjson.loads(body), language=language if language in LANGUAGES else "en"
            )
        except orjson.JSONDecodeError:
            envelope = _NO_JSON
        if fault is None:
            return WireResponse(body=envelope)
        return spoiled(fault, envelope, faults=self.options.faults, random=self._random)

    def _refusal(self) -> WireResponse:
        if self.options.refusal == "160004":
            return WireResponse(body=REFUSAL)
        wait = self.options.retry_after
        return WireResponse(status=429, body=b"Too Many Requests", headers={"Retry-After": str(wait)} if wait else {})


def teams_of(options: SimulatorOptions, world: World | None = None) -> dict[str, Team]:
    """Return the teams by their keys: of several, each has orders from a seed of its own.

    A `world` is that of the first team.
    """
    return {
        key: Team(replace(options, key=key, seed=options.seed + number, teams=1), None if number else world)
        for number, key in enumerate(options.keys())
    }
