"""What a server does once: objects of heavy imports are frozen, and a page that imports nothing costs nothing."""

import gc
import tomllib
from importlib import import_module

from fishersft.ui import server

from .conftest import ROOT
from .test_pages import open_page


def test_what_imports_left_is_frozen_once_and_again_only_after_many_more(monkeypatch):
    monkeypatch.setattr(server, "_seen", 0)
    try:
        server.freeze_imports()
        assert gc.get_freeze_count() > 100_000
        monkeypatch.setattr(server.gc, "collect", lambda: 1 / 0)
        server.freeze_imports()
    finally:
        gc.unfreeze()


def test_a_page_that_was_drawn_ends_with_freezing(monkeypatch):
    called = []
    monkeypatch.setattr(server, "freeze_imports", lambda: called.append(True))
    open_page()
    assert called


def test_what_is_loaded_early_exists():
    for name in server.FIRST_PAGE:
        import_module(name)


def test_names_that_may_reach_the_dashboard_are_added_to_those_of_this_machine(monkeypatch):
    monkeypatch.setattr(server.cli, "main", lambda: started.append(server.sys.argv))
    monkeypatch.setattr(server.sys, "argv", [])
    started = []
    server.launch(("--server.port", "8600"), ("lab.example.org",))
    server.launch(())
    named, alone = started
    assert [w for w in named if "allowedHosts" in w][-1] == "--server.allowedHosts=lab.example.org"
    assert {f"--server.allowedHosts={name}" for name in server.LOOPBACK} < set(named)
    assert named[-2:] == ["--server.port", "8600"]
    kept = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["server"]["allowedHosts"]
    assert not any("allowedHosts" in word for word in alone)
    assert kept == list(server.LOOPBACK)
