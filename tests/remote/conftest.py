"""A bucket on this machine.

A server has as long for an answer as in use, since machines strain; what fails is asked again thrice, at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
from support.object_server import BUCKET, SECRET, TroubledWay, s3_server

from ussim.dataset import remote_place


@pytest.fixture(scope="session")
def server() -> Iterator[int]:
    pytest.importorskip("obstore", reason="needs the extra remote")
    pytest.importorskip("moto", reason="needs moto, of the extra dev")
    with s3_server() as port:
        yield port


@pytest.fixture
def way(server, monkeypatch) -> Iterator[TroubledWay]:
    """The way to the server, of which the environment tells."""
    way = TroubledWay(server)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": f"id-{SECRET}",
        "AWS_SECRET_ACCESS_KEY": f"key-{SECRET}",
        "AWS_SESSION_TOKEN": f"token-{SECRET}",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    quick = {"init_backoff": timedelta(seconds=0.01), "max_backoff": timedelta(seconds=0.05), "base": 2}
    retry = {"max_retries": 3, "retry_timeout": timedelta(minutes=2), "backoff": quick}
    monkeypatch.setattr(remote_place, "_RETRY", retry)
    yield way
    way.close()


@pytest.fixture
def url(way) -> str:
    """A place in the bucket where nothing is yet."""
    return f"s3://{BUCKET}/{uuid.uuid4().hex}/a.zarr"
