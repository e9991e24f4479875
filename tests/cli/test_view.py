"""``ussim view`` before its page is there; the page itself is in tests/viewer."""

from __future__ import annotations

import socket
import sys

from support.commands import assert_one_line_error, ussim


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_one_line_error(ussim("view", "--port", port), f"--host 127.0.0.1 --port {port}", "choose another --port")


def test_an_address_that_is_not_this_machines_is_refused():
    assert_one_line_error(ussim("view", "--host", "203.0.113.7"), "--host 203.0.113.7", "cannot listen there")


def test_a_generator_or_scene_that_is_not_there_is_refused(tmp_path):
    assert_one_line_error(ussim("view", "--generator", tmp_path / "no_run"), "no_run")
    assert_one_line_error(ussim("view", tmp_path / "no_scene", "--generator", "none"), "no_scene")


def test_without_its_extra_it_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    monkeypatch.delitem(sys.modules, "cli.viewer.page", raising=False)
    assert_one_line_error(ussim("view", "--generator", "none"), "viser", 'pip install "ussim[view]"')
