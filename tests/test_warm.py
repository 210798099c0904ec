"""What a server does once: objects of heavy imports leave the collector's lists, and a page that imports nothing costs nothing."""

import gc

from fishersft.ui import preload

from .test_pages import open_page


def test_what_imports_left_is_set_aside_once_and_again_only_after_many_more(monkeypatch):
    monkeypatch.setattr(preload, "_seen", 0)
    try:
        preload.settle()
        assert gc.get_freeze_count() > 100_000
        monkeypatch.setattr(preload.gc, "collect", lambda: 1 / 0)
        preload.settle()
    finally:
        gc.unfreeze()


def test_a_page_that_was_drawn_ends_with_it(monkeypatch):
    called = []
    monkeypatch.setattr(preload, "settle", lambda: called.append(True))
    open_page()
    assert called
