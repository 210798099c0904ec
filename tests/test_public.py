"""A hosted demo (FISHERSFT_PUBLIC=1): nothing of its host or of other visitors is shown, and what may be used is limited."""

import json
import os
import re
import shutil
import threading
import time
from contextlib import nullcontext

import pytest

from fishersft import Store, embed, load_corpus, load_pool, select
from fishersft.catalogue import runs
from fishersft.errors import CorpusError
from fishersft.pipeline.selections import save_selection
from fishersft.store import jobs
from fishersft.ui import behind, cached, cached_target, uploads
from fishersft.ui.address import PAGES
from fishersft.ui.components import without_places
from fishersft.ui.session import Choice

from .conftest import ROOT
from .judged_run import make_run
from .test_pages import open_page

SECRET = "zimtstern"  # in every name of the host's and of other people's


@pytest.fixture
def host(home, tmp_path, monkeypatch):
    """A store with a selection, a fine-tuned run, curves and a job of other people, in folders of the host."""
    path = tmp_path / f"{SECRET}.jsonl"
    path.write_text(
        "".join(json.dumps({"text": f"A storm of the year {n}.", SECRET: f"{SECRET} {n % 2}"}) + "\n" for n in range(12))
    )
    corpus = load_corpus(path, holdout=0)
    save_selection(corpus, embed(corpus), select(corpus, budget=3), name=SECRET)
    make_run(home / "runs" / SECRET, model=False, id=SECRET)
    shutil.copytree(ROOT / "assets" / "curves" / "sweep", home / "curves" / SECRET)
    jobs.start(["runs", "list"], kind="curves", title=SECRET)
    assert sum(SECRET in f"{run.title}{run.id}{run.folder}" for run in runs()) == 4
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    return home


def payload(at):
    """Everything that a page sends to a browser: every element with its tables and figures."""
    parts = []

    def walk(block):
        for child in getattr(block, "children", {}).values():
            if (proto := getattr(child, "proto", None)) is not None:
                parts.append(str(proto).encode().decode("unicode_escape", "replace"))
            if getattr(child, "type", "") in ("arrow_data_frame", "dataframe", "table"):
                parts.append(child.value.to_string())
            walk(child)

    walk(at._tree)
    return "\n".join(parts)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_no_page_tells_of_the_host_or_of_what_others_have(host, page, tmp_path):
    ids = [run.id for run in runs() if SECRET in f"{run.title}{run.id}{run.folder}"] if page != "learn" else []
    asked = {"explore": "set", "compare": "set", "curves": "result", "generations": "run", "runs": "run"}
    links = [{}, *({asked[page]: id} for id in ids if page in asked), *({"corpus": c} for c in (f"{tmp_path}/{SECRET}.jsonl",))]
    for address in links:
        at = open_page(page, **address)
        told = payload(at).replace(address.get("corpus", "\0"), "").replace("".join(address.values()) or "\0", "")
        for private in (SECRET, str(host), str(tmp_path), str(ROOT), os.path.expanduser("~") + "/"):
            assert private not in told, (page, address, private)


def test_elsewhere_the_same_pages_show_all_of_it(host, monkeypatch):
    monkeypatch.delenv("FISHERSFT_PUBLIC")
    for show in ("jobs", "selections"):
        assert SECRET in payload(open_page("runs", show=show)), show
    assert SECRET in payload(open_page("curves", result=SECRET))
    assert SECRET in payload(open_page("generations", run=SECRET))


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("The store at /srv/fishersft home cannot be written", "The store at a file of this host home cannot be written"),
        ("/home/a/b.jsonl is empty.", "a file of this host is empty."),
        ("/home/a/My Files/b.jsonl is empty.", "a file of this host is empty."),
        ("There is no model folder ~/models/x; give another.", "There is no model folder a file of this host; give another."),
        ("The server at http://127.0.0.1:8000/v1 gave 1/2 and/or nothing.", None),
        ("mine.jsonl, line 2 is broken: it is not an object in braces", None),
    ],
)
def test_paths_of_the_host_are_no_part_of_a_sentence(sentence, told, monkeypatch):
    assert without_places(sentence) == sentence
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    assert without_places(sentence) == (told or sentence)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["/" + "." * 60, "/" + ":." * 30, "~/" * 30 + ".", "/a " * 30, "\\" * 60, "/." * 30 + "/:"])
def test_a_visitors_words_never_keep_the_search_for_paths_busy(name, tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text(f'"{name}",k\na,b\n')
    with pytest.raises(CorpusError) as refusal:
        load_corpus(tmp_path / "mine.csv")
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    assert str(tmp_path) not in without_places(str(refusal.value))


@pytest.mark.parametrize(
    ("page", "address", "gone"),
    [
        ("generations", {}, ("Vote", "Set up")),
        ("explore", {}, ("Sets",)),
        ("compare", {}, ("Transfer",)),
        ("runs", {}, ("jobs", "selections", "Delete")),
        ("corpus", {}, ("Path", "Hub")),
    ],
)
def test_what_cannot_work_there_is_not_there(page, address, gone, monkeypatch):
    def offered():
        at = open_page(page, **address)
        groups = [option for group in at.get("button_group") for option in group.options]
        return {*groups, *(b.label for b in at.button), *(t.label for t in at.text_input)}

    before = offered()
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    after = offered()
    assert not after & set(gone)
    assert before & set(gone)


class TestUploads:
    @pytest.fixture
    def state(self, monkeypatch, home):
        state = {}
        monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
        monkeypatch.setattr(uploads.st, "session_state", state)
        return state

    def test_the_limit_is_said_and_holds_before_a_file_is_read(self, monkeypatch):
        with pytest.raises(CorpusError, match="has 201.0 MB; at most 200 MB"):
            uploads.check_upload("a.txt", 201 * uploads.MB)
        monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
        with pytest.raises(CorpusError, match="has 11.0 MB; at most 10 MB"):
            uploads.check_upload("a.txt", 11 * uploads.MB)
        at = open_page("corpus")
        at.get("button_group")[0].set_value("Upload").run()
        (box,) = at.get("file_uploader")
        assert box.proto.max_upload_size_mb == uploads.MOST_PUBLIC_MB

    def test_another_visitor_with_the_same_file_has_another_address_and_name(self, state):
        one = uploads.keep(b"the same", ".txt", "one.txt")
        assert uploads.keep(b"the same", ".txt", "one.txt") == one
        state.clear()
        other = uploads.keep(b"the same", ".txt", "other.txt")
        store = Store.default()
        titles = [store.upload_title(store.path / "uploads" / name.removeprefix("upload:")) for name in (one, other)]
        assert one != other
        assert titles == ["one.txt", "other.txt"]

    def test_the_oldest_of_a_visitor_go_first(self, state, home):
        names = [uploads.keep(bytes([65 + n]) * 10, ".txt", f"{n}.txt") for n in range(uploads.MOST_FILES + 2)]
        there = {f"upload:{file.name}" for file in (home / "uploads").glob("*.txt")}
        assert there == set(names[2:])
        large = [uploads.keep(bytes([97 + n]) * (uploads.MOST_OWN // 2), ".txt", "large.txt") for n in range(3)]
        assert {f"upload:{file.name}" for file in (home / "uploads").glob("*.txt")} == set(large[1:])

    def test_what_is_old_or_too_much_in_all_makes_room_and_selections_stay(self, home):
        store, now = Store.default(), time.time()
        made = [store.keep_upload(bytes([65 + n]) * 100, ".txt", "x") for n in range(6)]
        kept = home / "artifacts" / "selection" / "abc"
        kept.mkdir(parents=True)
        (kept / "x").write_bytes(b"0" * 1_000)
        computed = home / "artifacts" / "map" / "abc"
        computed.mkdir(parents=True)
        (computed / "x").write_bytes(b"0" * 10_000)
        groups = home / "near-duplicates" / "abc.npy"
        groups.parent.mkdir()
        groups.write_bytes(b"0" * 10)
        os.utime(groups, (now - 3_600 * 30,) * 2)
        for hours, path in enumerate([computed, *made]):
            os.utime(path, (now - 3_600 * (30 - 4 * hours),) * 2)
        store.trim(10**9, 24 * 3_600)
        assert not computed.exists() and not groups.exists()
        assert [path.exists() for path in made] == [False, True, True, True, True, True]
        store.trim(250, 10**9)
        assert [path.exists() for path in made] == [False, False, False, False, True, True]  # with their titles
        assert kept.exists()


@pytest.fixture
def turns(monkeypatch, home):
    """The turns that were taken on a hosted demo."""
    taken = []
    monkeypatch.setattr(behind, "turn", lambda: taken.append(1) or nullcontext())
    monkeypatch.setenv("FISHERSFT_PUBLIC", "1")
    return taken


def aimed_at(texts):
    """The demo's pool for a link whose target is an upload."""
    name = Store.default().keep_upload("\n".join(texts).encode(), ".txt", "mine.txt").name
    return cached_target.aimed(Choice(target=f"upload:{name}"), load_pool("demo"))


def test_a_target_by_a_link_is_embedded_in_turn_and_its_tokens_are_limited(turns, monkeypatch):
    texts = [f"A storm over the river in the year {year}." for year in range(1900, 2000)]
    monkeypatch.setattr(cached, "MOST_PUBLIC_TOKENS", 300)
    with pytest.raises(CorpusError, match="embeds at most 300 tokens"):
        aimed_at(texts)
    assert turns == []
    assert aimed_at(texts[:8]).target.facts["given"] == 8
    assert turns == [1]


def test_a_link_makes_no_target_of_a_file_that_is_too_large_for_one(turns):
    with pytest.raises(CorpusError, match="at most 2 MB are accepted"):
        aimed_at([f"A storm of the year {n} and what it left of the town." for n in range(45_000)])
    assert turns == []


def test_a_sentence_of_ones_own_is_read_in_turn(turns):
    cached.pasted("The tide rose in the night.", cached.folder(Choice()), Choice())
    assert turns == [1]


def test_who_waits_for_a_turn_is_told_how_many_are_before(monkeypatch):
    said, go, inside = [], threading.Event(), []

    class Place:
        def caption(self, text):
            said.append(int(re.search(r"with (\d+) before you", text)[1]))

        def empty(self):
            pass

    monkeypatch.setattr(behind.st, "empty", Place)
    monkeypatch.setattr(behind, "EVERY", 0.02)

    def work(n):
        with behind.turn():
            inside.append(n)
            go.wait(20)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    assert inside == [0, 1]
    assert set(said) == {2, 3}
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(inside) == [0, 1, 2, 3]
    with behind.turn():  # everybody has left
        pass
