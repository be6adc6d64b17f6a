"""Write all orders as Singer messages: a tap made with Meltano's SDK, msgspec writing the JSON."""

from __future__ import annotations

from typing import Any, ClassVar

import requests
from endpoint import PATH, body, headers
from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.pagination import PageNumberPaginator

TEXTS = ("type", "order_id", "product", "description", "status", "total", "created_at", "expired_at")


class Pages(PageNumberPaginator):
    """Count up to the last page that a response names."""

    def has_more(self, response: requests.Response) -> bool:
        """Tell whether this was not the last page."""
        return bool(self.current_value < response.json()["data"]["total_page"])


class Orders(RESTStream[int]):
    """All orders, page by page."""

    name = "orders"
    path = PATH
    http_method = "POST"
    payload_as_json = True
    records_jsonpath = "$.data.list[*]"
    schema: ClassVar[dict[str, Any]] = th.PropertiesList(
        *(th.Property(name, th.StringType) for name in TEXTS), th.Property("expired_seconds", th.IntegerType)
    ).to_dict()

    @property
    def url_base(self) -> str:
        """The server."""
        return str(self.config["url"])

    @property
    def http_headers(self) -> dict[str, str]:
        """Key and language."""
        return headers()

    def get_new_paginator(self) -> Pages:
        """Begin at the first page."""
        return Pages(1)

    def prepare_request_payload(self, context: object, next_page_token: int | None) -> dict[str, Any]:  # noqa: ARG002
        """Ask for one page."""
        return body(next_page_token or 1)


class TapOrders(Tap):
    """The one stream that there is."""

    name = "tap-orders"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("url", th.StringType, required=True)
    ).to_dict()
    message_writer_class = MsgSpecWriter

    def discover_streams(self) -> list[Orders]:
        """Give the stream."""
        return [Orders(self)]


if __name__ == "__main__":
    TapOrders.cli()
