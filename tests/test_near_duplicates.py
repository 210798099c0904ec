"""Near-duplicates: what only looks different is the same, what only looks alike is not, and none stands on both sides of a split."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fishersft import load_corpus
from fishersft.corpus import near_duplicates
from fishersft.corpus.near_duplicates import COMMON, near_duplicate_groups, near_duplicates_of, without_repeats
from fishersft.corpus.splits import split_by_seed

from .test_pages import open_page, text_of

TEXT = (
    "The harbour master counts the boats twice every evening and writes the number on a board by the gate, so that "
    "whoever comes late can see who is still out."
)
WORDS = np.array([f"w{i}" for i in range(3000)])


def one_word_in_25(text, rng):
    words = text.split()
    for start in range(0, len(words), 25):
        words[start + int(rng.integers(len(words[start : start + 25])))] = str(rng.choice(WORDS))
    return " ".join(words)


TWINS = {
    "case": lambda text, rng: text.upper(),
    "white space": lambda text, rng: f"  {text.replace(' ', '  ' + chr(10))}\t",
    "punctuation": lambda text, rng: re.sub(r"(\w) ", r"\1, - ", text) + "!!",
    "one word in 25": one_word_in_25,
    "a preamble": lambda text, rng: f"Sure! Here is the answer: {text}",
    "a frame longer than the text": lambda text, rng: f"As an AI model I was asked for {' '.join(rng.choice(WORDS, 30))}: {text}",
    "a footer": lambda text, rng: f"{text}\n\nI hope this helps. Let me know if you have more questions!",
}


def planted(n, rng, words=40):
    """Texts of random words, and a twin of each of the first n in turn of every kind."""
    texts = [" ".join(rng.choice(WORDS, words)) for _ in range(10 * n)]
    kinds = list(TWINS.values())
    return texts, [kinds[i % len(kinds)](text, rng) for i, text in enumerate(texts[:n])]


@pytest.mark.parametrize("kind", TWINS)
def test_a_twin_is_found(kind):
    twin = TWINS[kind](TEXT, np.random.default_rng(0))
    assert near_duplicates_of([TEXT], [twin, "Another text."]).tolist() == [True, False]


@pytest.mark.parametrize("other", ["", "   ", "!!", "The boats are out.", " ".join(reversed(TEXT.split()))])
def test_what_is_not_a_twin_is_not_found(other):
    assert not near_duplicates_of([TEXT], [other]).any()


def test_texts_without_words_are_nobodys_twins():
    assert near_duplicate_groups(["", "  ", "...", "", "a", "A!"]).tolist() == [0, 1, 2, 3, 4, 4]
    assert near_duplicate_groups([]).tolist() == []
    assert near_duplicate_groups(["", ""]).tolist() == [0, 1]


def test_sums_with_other_numbers_differ():
    sums = [f"{a} plus {b} is {a + b}." for a in range(10) for b in range(10)]
    assert near_duplicates_of(sums[:1], sums).tolist() == [True] + [False] * 99


def test_texts_that_share_only_a_long_preamble_are_no_twins():
    rng = np.random.default_rng(0)
    preamble = " ".join(f"rule{i}" for i in range(60))
    texts = [f"{preamble} {' '.join(rng.choice(WORDS, 20))}" for _ in range(300)]
    assert near_duplicate_groups(texts).tolist() == list(range(300))
    assert near_duplicates_of(texts[:1], [*texts[1:], one_word_in_25(texts[0], rng)]).tolist() == [False] * 299 + [True]


def test_scripts_without_spaces_are_compared_by_characters():
    one = "漁港の管理人は毎晩二度、船を数えて門の板に書く"
    assert near_duplicates_of([one], [one.replace("毎晩", "毎朝"), "猫は窓辺で眠る"]).tolist() == [True, False]


def test_the_same_letters_in_another_encoding_are_the_same():
    assert (
        near_duplicate_groups(["Caf\u00e9 au lait, please", "Cafe\u0301 au lait please", "ＣＡＦÉ au lait, please"]).tolist()
        == [0] * 3
    )


def test_the_first_of_several_stays():
    assert without_repeats([TEXT, "Another text.", TEXT.upper(), "Another text!"]).tolist() == [0, 1]


def by_hand(texts):
    """Groups by comparing every two texts with the definition."""
    split = [re.findall(r"\w+", text) for text in texts]
    sets = [{*words, *itertools.pairwise(words)} for words in split]
    distinct = {frozenset(s) for s in sets if s}
    having = {e: sum(e in s for s in distinct) for s in distinct for e in s}
    weight = {e: 3 - 2 * np.log(k) / np.log(1_000) for e, k in having.items()}
    group = list(range(len(texts)))

    def weighs(elements):
        return sum(weight[e] for e in elements)

    for i, a in enumerate(sets):
        for j, b in enumerate(sets[:i]):
            both, either, less, more = map(weighs, (a & b, a | b, *sorted([a, b], key=weighs)))
            alike = a and b and both >= 0.6 * either * (1 - 1e-9)
            within = min(len(a), len(b)) >= 9 and both >= 0.9 * less * (1 - 1e-9) and 3 * less >= more * (1 - 1e-9)
            if alike or within:
                group = [min(group[i], group[j]) if g in (group[i], group[j]) else g for g in group]
    return group


@given(st.lists(st.lists(st.sampled_from("abcdefghijklmno"), max_size=16).map(" ".join), min_size=1, max_size=14), st.data())
def test_groups_are_those_of_comparing_every_two_texts(texts, data):
    texts += [f"{data.draw(st.sampled_from(texts))} {data.draw(st.sampled_from(['x', 'x y z', 'a b c d e f']))}"]
    assert near_duplicate_groups(texts).tolist() == by_hand(texts)


def test_more_variants_of_a_text_than_are_compared_one_by_one_are_one_group():
    variants = [f"{TEXT} Ticket {i}." for i in range(COMMON + 200)]
    assert set(near_duplicate_groups(["Something else altogether.", *variants]).tolist()) == {0, 1}


def test_no_planted_twin_crosses_a_split():
    texts, twins = planted(300, np.random.default_rng(1))
    groups = near_duplicate_groups([*texts, *twins])
    assert (groups[len(texts) :] == np.arange(300)).all()
    held = split_by_seed(len(groups), 0.1, groups)
    assert held.sum() == 330 and not (held[:300] ^ held[len(texts) :]).any()


@pytest.mark.rare
@pytest.mark.slow
def test_among_twenty_thousand_texts_none_of_a_thousand_twins_crosses():
    rng = np.random.default_rng(2)
    texts, twins = planted(1_000, rng, 56)
    texts += [" ".join(rng.choice(WORDS, 56)) for _ in range(19_000 - len(texts))]
    held = split_by_seed(20_000, 0.1, near_duplicate_groups([*texts, *twins]))
    assert held.sum() == 2_000 and not (held[:1_000] ^ held[19_000:]).any()


@given(st.lists(st.integers(0, 30), min_size=2, max_size=300), st.sampled_from([0.05, 0.1, 0.3, 0.5]))
def test_a_split_holds_out_whole_groups_and_as_many_records_as_without_if_they_fit(labels, holdout):
    labels = [label if label < 20 else 1000 + i for i, label in enumerate(labels)]
    groups = np.array([labels.index(label) for label in labels])
    plain, held = split_by_seed(len(groups), holdout), split_by_seed(len(groups), holdout, groups)
    sizes = np.bincount(groups)
    if sizes.max() > len(groups) - min(plain.sum(), 2):
        return  # a group of nearly all cannot be held out as a whole
    alone = sizes[groups] == 1
    assert 0 < held.sum() <= plain.sum()
    assert all(len(set(held[groups == g].tolist())) == 1 for g in set(groups.tolist()))
    assert held.sum() == plain.sum() or plain.sum() - held.sum() < sizes[np.unique(groups[~held])].min()
    assert held[plain & alone].all()  # who has no near-duplicate stays where it was


def test_without_near_duplicates_the_split_is_the_one_drawn_record_by_record():
    for n in (2, 9, 100, 1_389):
        drawn = np.random.default_rng(0).choice(n, min(max(round(0.1 * n), 50), n // 2), replace=False)
        assert np.flatnonzero(split_by_seed(n, 0.1, np.arange(n))).tolist() == sorted(drawn.tolist())


def test_one_text_repeated_is_still_split():
    groups = np.zeros(100, dtype=np.int64)
    assert split_by_seed(100, 0.1, groups).sum() == 50


@pytest.fixture
def leaky(tmp_path):
    """Three texts held out by their column, two of them with a twin in the pool, where another text stands twice."""
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, 30)) for _ in range(8)]
    rows = [("test", texts[0]), ("test", texts[1]), ("test", texts[2]), ("train", texts[0].upper()), ("train", texts[3])]
    rows += [("train", f"Sure! {texts[1]}"), ("train", texts[4]), ("train", texts[4] + "!"), ("train", texts[5])]
    path = tmp_path / "leaky.jsonl"
    path.write_text("".join(json.dumps({"text": text, "split": split}) + "\n" for split, text in rows))
    path.with_name("one.jsonl").write_text(json.dumps({"text": texts[0]}) + "\n")
    return path


def test_twins_across_a_split_of_the_corpus_are_counted_and_said(leaky):
    corpus = load_corpus(leaky)
    assert np.flatnonzero(corpus.held_out).tolist() == [0, 1, 2]  # its own split stays
    assert [g.tolist() for g in corpus.repeats.groups] == [[0, 3], [1, 5], [6, 7]]
    assert corpus.repeats.leaking.tolist() == [0, 1]
    assert corpus.repeats.sentence == (
        "6 records are near-duplicates, in 3 groups; 2 of the 3 held-out records have one in the pool."
    )


def test_near_duplicates_are_dropped_from_the_pool_and_nothing_is_renumbered(leaky):
    whole, kept = load_corpus(leaky), load_corpus(leaky, drop_near_duplicates=True)
    assert kept.pool_index.tolist() == [4, 6, 8] and kept.texts == whole.texts
    assert kept.held_out.tolist() == whole.held_out.tolist() and kept.fingerprint != whole.fingerprint
    assert not len(kept.repeats.leaking) and "3 were left out of the pool" in kept.repeats.sentence
    assert kept.options == (("drop_near_duplicates", ""),)


def test_chats_are_compared_without_the_system_prompt_that_they_share(tmp_path):
    rng = np.random.default_rng(4)
    system = {"role": "system", "content": " ".join(rng.choice(WORDS, 300))}
    asked = [" ".join(rng.choice(WORDS, 10)) for _ in range(40)]
    chats = [[system, {"role": "user", "content": a}, {"role": "assistant", "content": a[::-1]}] for a in asked]
    chats.append([{"role": "user", "content": asked[0].title()}, {"role": "assistant", "content": asked[0][::-1]}])
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    assert [g.tolist() for g in load_corpus(path).repeats.groups] == [[0, 40]]


def test_the_demo_keeps_its_split_and_says_what_leaks():
    demo = load_corpus("demo")
    drawn = np.random.default_rng(0).choice(len(demo), round(0.1 * len(demo)), replace=False)
    assert np.flatnonzero(demo.held_out).tolist() == sorted(drawn.tolist())
    assert len(demo.repeats.leaking) == 11
    assert not len(load_corpus("demo", drop_near_duplicates=True).repeats.leaking)


def test_the_corpus_page_shows_the_groups_and_drops_them_from_the_pool(leaky):
    at = open_page("corpus", corpus=str(leaky), part="Near-duplicates")
    assert "2 of the 3 held-out records have one in the pool" in text_of(at)
    groups = at.dataframe[-1].value
    assert groups["group"].tolist() == [1, 1, 2, 2, 3, 3] and groups["record"].tolist() == [0, 3, 1, 5, 6, 7]
    assert groups["part"].tolist() == ["held out", "pool", "held out", "pool", "pool", "pool"]
    at.toggle(key="across-the-split").set_value(True).run()
    assert at.dataframe[-1].value["record"].tolist() == [0, 3, 1, 5]
    next(b for b in at.button if b.label == "Drop 3 of them from the pool").click().run()
    assert at.query_params["drop_near_duplicates"] == "1"
    assert at.dataframe[-1].value["part"].tolist() == ["held out", "dropped", "held out", "dropped", "pool", "dropped"]
    next(b for b in at.button if b.label == "Put them back into the pool").click().run()
    assert "drop_near_duplicates" not in at.query_params
    assert "No record is a near-duplicate of another." in text_of(
        open_page("corpus", corpus=str(leaky.with_name("one.jsonl")), part="Near-duplicates")
    )


def test_the_groups_of_many_texts_are_found_once_and_again_where_their_file_is_damaged(home, monkeypatch):
    texts = ["One two three four five.", "one two three four five", "Something else.", *map(str, range(10))]
    true = near_duplicate_groups(texts)
    monkeypatch.setattr(near_duplicates, "KEPT", 5)
    assert near_duplicates.kept_groups(texts).tolist() == true.tolist()
    with monkeypatch.context() as unable:
        unable.setattr(near_duplicates, "near_duplicate_groups", None)
        assert near_duplicates.kept_groups(texts).tolist() == true.tolist()
        with pytest.raises(TypeError):
            near_duplicates.kept_groups(texts[::-1])
    (file,) = (home / "near-duplicates").iterdir()
    sound = file.read_bytes()
    zeroed = sound[:-36] + bytes(4) + sound[-32:]  # the last text would be in the first one's group
    for damage in (b"", sound[:-4], sound[:-32], zeroed, b"\x93NUMPY"):
        file.write_bytes(damage)
        assert near_duplicates.kept_groups(texts).tolist() == true.tolist()
