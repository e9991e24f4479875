"""Places: what a folder and a bucket both do, and which URLs are taken."""

from __future__ import annotations

import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ussim.dataset.local_place import LocalPlace
from ussim.dataset.place import Place, place_of
from ussim.dataset.remote_place import RemotePlace
from ussim.errors import UssimError

SECRET = "hunter2"


@pytest.fixture(params=["folder", "memory", "bucket"])
def place(request, tmp_path) -> Place:
    match request.param:
        case "folder":
            return place_of(tmp_path / "a.zarr")
        case "memory":
            pytest.importorskip("obstore", reason="needs the extra remote")
            return place_of(f"memory://test/{uuid.uuid4().hex}")
        case _:
            return place_of(request.getfixturevalue("url"))


def test_of_many_who_create_one_name_exactly_one_does_and_its_data_are_there(place):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: place.create("claims/000012/3", f"process {i}".encode()), range(8)))
    assert sum(made) == 1
    assert place.read("claims/000012/3") == f"process {made.index(True)}".encode()
    assert place.list("claims/000012") == ["claims/000012/3"], "and nothing else"


def test_what_was_created_is_listed_and_read_until_it_is_removed(place):
    names = ["claims/000001/1", "claims/000001/2", "claims/000002/1", "other"]
    for name in names:
        assert place.create(name, name.encode())
    assert place.list() == names
    assert place.list("claims") == names[:3]
    assert place.list("claims/000001") == names[:2]
    assert place.list("claims/00000") == [], "a folder's name is whole"
    assert place.list("nothing") == []
    assert place.folders() == ["claims"]
    assert place.sizes() == {name: len(name) for name in names}
    assert place.has("other")
    place.remove("other")
    place.remove("other")
    assert place.read("other") is None
    assert not place.has("other")
    assert place.create("other", b"again")


def test_a_folder_without_links_is_one_clear_line(tmp_path, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", no_links)
    with pytest.raises(UssimError, match=r"a.zarr: cannot make claims/1: Operation not supported"):
        place_of(tmp_path / "a.zarr").create("claims/1", b"")
    assert place_of(tmp_path / "a.zarr").sizes() == {}


# URLs -------------------------------------------------------------------------------------------------


def test_a_path_or_a_file_url_is_a_folder(tmp_path):
    for where in (tmp_path, str(tmp_path), f"file://{tmp_path}", place_of(tmp_path)):
        place = place_of(where)
        assert isinstance(place, LocalPlace)
        assert place.where == tmp_path
        assert str(place) == str(tmp_path)


@pytest.mark.parametrize("url", ["s3://b/k", "gs://bucket-1/a/b.zarr", "az://container/a_b=1/c+d.zarr", "S3://b/k/"])
def test_a_url_prints_as_it_is(url, monkeypatch):
    pytest.importorskip("obstore", reason="needs the extra remote")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.setenv(name, "any")
    place = place_of(url)
    assert isinstance(place, RemotePlace)
    assert str(place) == place.where == url.lower().rstrip("/")
    assert place.name == place.where.rsplit("/", 1)[1]
    assert place.folder is None


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/a.zarr", "unknown kind of URL; allowed: a path, s3://…, gs://…, az://…, file://…"),
        ("https://bucket.s3.amazonaws.com/a.zarr", "unknown kind of URL"),
        (f"s3://me:{SECRET}@bucket/a.zarr", "a URL holds no user, password or query: set credentials in the env"),
        (f"s3://bucket/a.zarr?X-Amz-Signature={SECRET}", "a URL holds no user, password or query"),
        (f"az://c/a.zarr#{SECRET}", "a URL holds no user, password or query"),
        (f"s3://me:{SECRET}/a.zarr", "names no bucket and key; allowed: s3://bucket/key"),
        ("s3://bucket", "names no bucket and key"),
        ("s3://bucket/", "names no bucket and key"),
        ("s3:///key", "names no bucket and key"),
        ("s3://bucket/a//b", "names no bucket and key"),
        ("s3://bucket/../b", "names no bucket and key"),
        ("s3://bucket/a b", "names no bucket and key"),
        ("file://host/a.zarr", "names no folder; allowed: file:///absolute/path"),
        ("s3:/bucket/key", "s3:/ begins no path: write a URL, s3://…, and give it as text"),
        (Path("s3://bucket/key"), "write a URL, s3://…, and give it as text"),
    ],
)
def test_another_url_is_refused_in_one_line_that_repeats_no_secret(url, message):
    with pytest.raises(UssimError) as caught:
        place_of(url)
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_url_without_the_extra_says_what_to_install(monkeypatch):
    for name in ("obstore", "obstore.store"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UssimError) as caught:
        place_of("s3://bucket/a.zarr")
    assert str(caught.value) == 's3://bucket/a.zarr: a URL needs the package obstore: pip install "ussim[remote]"'


@pytest.mark.parametrize("url", ["s3://b/k", "gs://b/k", "az://b/k"])
def test_half_of_a_credential_is_told(url, monkeypatch, tmp_path):
    pytest.importorskip("obstore", reason="needs the extra remote")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SECRET)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    (tmp_path / "key.json").write_text(f'{{"private_key": "{SECRET}"}}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(UssimError, match="bucket 'b'") as caught:
        place_of(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY"])
def test_a_key_that_ends_with_a_line_break_is_named_and_not_told(name, monkeypatch):
    pytest.importorskip("obstore", reason="needs the extra remote")
    monkeypatch.setenv(name, f"{SECRET}\n")
    with pytest.raises(UssimError, match=f"{name} holds a line break") as caught:
        place_of("s3://bucket/key")
    assert SECRET not in str(caught.value)


def test_an_endpoint_that_is_no_url_is_one_line(way, url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"no url {SECRET}")
    with pytest.raises(UssimError, match="the environment holds what is no endpoint, region or key") as caught:
        place_of(url).read("zarr.json")
    assert SECRET not in str(caught.value)
