"""A count takes what a response says, and makes nothing of its records."""

from __future__ import annotations

from random import Random

import pytest

from exporter import columns
from exporter.certify.profile import ServerProfile
from exporter.crawl.asker import Asker
from exporter.vendor.orders import Filters
from tests.crawl.hostile_server import START, HostileQuirks, HostileServer
from tests.crawl.test_engine_cases import made_at
from tests.virtual_time import run as run_virtual


def test_a_count_makes_no_columns_and_still_learns_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(columns, "gather")
    server = HostileServer(orders=made_at(0), quirks=HostileQuirks(), random=Random(0), seconds=1)
    profile = ServerProfile(asked_page_size=500, segment_pages=20)
    asker = Asker(server.ask, filters=Filters(), page_size=500, profile=profile)
    assert run_virtual(asker.count(START, START)) == 1
    assert profile.inclusive
