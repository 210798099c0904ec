"""What columns are taken as: public shapes rebuilt as small files, options, and the sentence for a shape that is not known."""

import json
import random
import re
import tomllib

import pandas as pd
import pytest

from fishersft import Chat, PromptCompletion, Text, load_corpus
from fishersft.corpus.encode import encode, token_texts
from fishersft.corpus.records import ReadOptions
from fishersft.corpus.shapes import ANSWERS, SHAPES, read_examples
from fishersft.errors import ColumnError, CorpusError
from fishersft.lm.folder import find_model
from fishersft.lm.model import load_tokenizer

from .conftest import ROOT

FOLDER = ROOT / "tests" / "data" / "shapes"
WANTED = tomllib.loads((FOLDER / "shapes.toml").read_text(encoding="utf-8"))
KINDS = {"text": Text, "prompt": PromptCompletion, "chat": Chat}


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(find_model("mini"))


def table(rows, **options):
    return read_examples(pd.DataFrame(rows, dtype=object), "t.jsonl", ReadOptions(**options))


@pytest.mark.parametrize("file", WANTED)
def test_a_public_shape_is_understood_and_trains_what_its_author_meant(file, tokenizer):
    wanted = WANTED[file]
    corpus = load_corpus(FOLDER / file, holdout=0)
    about = corpus.understood
    assert (about.shape, dict(about.columns), list(about.unused)) == (
        wanted["shape"],
        wanted["columns"],
        wanted.get("unused", []),
    )
    assert {type(e) for e in corpus.examples} == {KINDS[wanted["kind"]]}
    assert len(corpus) == wanted["records"]
    encoded = encode(corpus.examples, tokenizer)
    assert sum(int(e.trained.sum()) for e in encoded) == wanted["tokens"]
    first = next(e for e in encoded if e.trained.any())
    words = "".join(t for t, trained in zip(token_texts(tokenizer, first.ids.tolist()), first.trained, strict=True) if trained)
    assert " ".join(words.split()).startswith(wanted["first"])


def test_every_file_of_the_folder_has_its_expectations_and_every_shape_a_file():
    assert {p.name for p in FOLDER.iterdir()} == {*WANTED, "shapes.toml"}
    assert {s.name for s in SHAPES} <= {w["shape"] for w in WANTED.values()}


def test_a_string_column_is_never_text_because_it_is_the_only_one_left():
    for row in ({"id": "identity_0"}, {"tools": "[]", "n": 1}, {"category": "open_qa"}, {"source": "x", "conversations": None}):
        with pytest.raises(ColumnError, match="no known shape"):
            table([row])


@pytest.mark.parametrize(
    ("rows", "option"),
    [
        ([{"asked": "q", "said": "a"}], "--prompt-column and --completion-column"),
        ([{"log": [{"role": "user", "content": "hi"}]}], "--messages-column"),
        ([{"title": "t", "abstract": "some words"}], "--text-column"),
    ],
)
def test_the_sentence_for_an_unknown_shape_names_the_columns_and_what_to_pass(rows, option):
    with pytest.raises(ColumnError) as error:
        table(rows)
    assert option in str(error.value)
    assert all(column in str(error.value) for column in rows[0])
    assert error.value.columns == list(rows[0])


def test_options_override_what_the_columns_say():
    row = {
        "messages": [{"role": "user", "content": "hi"}],
        "question": "q",
        "answer": "a",
        "text": "t",
        "note": "n",
        "persona": "p",
    }
    assert table([row])[1] == (table([{"messages": row["messages"]}])[1])
    assert table([row], text_column="note")[1] == (Text("n"),)
    assert table([row], prompt_column="note", completion_column="text")[1] == (PromptCompletion("n", "t"),)
    beside = table([row], prompt_column="note", completion_column="text", context_column="question", system_column="persona")[1]
    assert [(m.role, m.content) for m in beside[0].messages] == [("system", "p"), ("user", "n\n\nq"), ("assistant", "t")]


def test_a_system_column_that_is_only_named_joins_the_shape_that_is_found():
    rows = [{"question": "q", "answer": "a", "persona": "You are terse."}]
    (chat,) = table(rows, system_column="persona")[1]
    assert [m.role for m in chat.messages] == ["system", "user", "assistant"]
    with pytest.raises(ColumnError, match="use no context column"):
        table([{"text": "t", "c": "x"}], context_column="c")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"text_column": "a", "messages_column": "b"}, "Name either the text column"),
        ({"prompt_column": "a"}, "belong together"),
        ({"text_column": "a", "system_column": "b"}, "--system-column belongs to prompts and completions"),
        ({"text_column": ""}, "cannot be empty"),
        ({"text_column": "c"}, "has no column 'c'; its columns are: a, b"),
    ],
)
def test_options_that_do_not_fit_together_get_one_sentence(options, sentence):
    with pytest.raises(ColumnError, match=sentence):
        table([{"a": "x", "b": "y"}], **options)


def test_columns_that_matter_and_are_not_used_are_said():
    row = {"text": "t", "system": "s", "history": [["q", "a"]], "context": "c", "tools": "[]", "label": False, "topic": "x"}
    _, _, about = table([row, {**row, "system": None}])
    assert about.unused == ("system (filled in 1 record)", "history (filled in 2 records)", "context (filled in 2 records)")
    _, _, pair = table([{"prompt": "p", "completion": "c", "label": False}, {"prompt": "p", "completion": "c", "label": True}])
    assert pair.unused == ("label (false in 1 record, which is trained all the same)",)
    _, _, named = table([row], prompt_column="text", completion_column="topic")
    assert "system (filled in 1 record)" in named.unused


def test_a_system_column_without_a_single_prompt_leaves_plain_pairs():
    rows = [{"question": "q", "answer": "a", "system": None}, {"question": "r", "answer": "b", "system": " "}]
    assert table(rows)[1] == (PromptCompletion("q", "a"), PromptCompletion("r", "b"))


def test_the_understanding_in_words_and_as_json():
    corpus = load_corpus(FOLDER / "sharegpt_tools.json", holdout=0)
    taken = "messages: conversations, system: system, tools: tools"
    assert corpus.understood.sentence == f"Read as ShareGPT chats ({taken})."
    assert json.loads(json.dumps(corpus.understood.as_json()))["columns"]["messages"] == "conversations"


def test_the_readme_lists_every_shape_with_its_columns_in_the_order_in_which_they_are_tried():
    readme = (ROOT / "fishersft" / "corpus" / "README.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines() if line.startswith("| ")]
    listed = {cell[0]: set(re.findall(r"`(\w+)`", cell[1])) for cell in cells if len(cell) == 3 and cell[0] != "shape"}
    assert list(listed) == [shape.name for shape in SHAPES]
    assert set(re.search(r"An answer is (.*?);", readme)[1].replace("`", "").replace(" or ", ", ").split(", ")) == set(ANSWERS)
    for shape in SHAPES:
        known = {name for names in (*shape.takes.values(), *shape.may_take.values()) for name in names}
        assert listed[shape.name] <= known
        assert {name for names in shape.takes.values() for name in names} - set(ANSWERS) <= listed[shape.name]


def tree(path, parents):
    """Messages by number, each with the number of the one that it answers, or None."""
    rows = [
        {
            "message_id": str(k),
            "parent_id": None if up is None else str(up),
            "role": "assistant" if k % 3 else "user",
            "text": str(k),
        }
        for k, up in enumerate(parents)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("seed", range(20))
def test_a_thread_goes_from_its_root_to_its_last_answer_or_is_a_question_without_one(tmp_path, seed):
    rng = random.Random(seed)
    above = [rng.choice([None, *range(k)]) for k in range(rng.randrange(2, 14))]

    def path(k):
        return [k] if above[k] is None else [*path(above[k]), k]

    answers = {k for k in range(len(above)) if k % 3}
    ends = [k for k in answers if not any(k in path(a)[:-1] for a in answers)]
    ends += [k for k in range(len(above)) if k not in above and answers.isdisjoint(path(k))]
    corpus = load_corpus(tree(tmp_path / "t.jsonl", above), holdout=0)
    assert [[int(m.content) for m in chat.messages] for chat in corpus.examples] == [path(k) for k in sorted(ends)]


@pytest.mark.timeout(60)
def test_a_long_thread_is_read_in_a_moment_and_a_comb_that_multiplies_is_refused(tmp_path):
    long = load_corpus(tree(tmp_path / "long.jsonl", [None, *range(10_000)]), holdout=0)
    assert [len(chat.messages) for chat in long.examples] == [10_001]
    comb = [None, *((k - 1 if k % 2 else k - 2) for k in range(1, 6_000))]  # a chain whose every link has an answer of its own
    with pytest.raises(CorpusError, match="come to more than 1,000,000 messages"):
        load_corpus(tree(tmp_path / "comb.jsonl", comb), holdout=0)
    ring = load_corpus(tree(tmp_path / "ring.jsonl", [1, 2, 0]), holdout=0)  # each answers another, and none is the first
    assert [len(chat.messages) for chat in ring.examples] == [3]


def test_threads_of_one_root_stay_on_one_side_of_the_split(tmp_path):
    words = random.Random(0).choices(["rain", "kite", "moss", "heron", "ferry", "bell", "linen", "rye", "tide", "wall"], k=4_000)
    rows = []
    for tree in range(60):
        said = [" ".join(words[9 * (4 * tree + k) : 9 * (4 * tree + k + 1)]) for k in range(4)]
        rows.append({"message_id": f"{tree}", "parent_id": None, "role": "prompter", "text": f"Question {tree}?"})
        answers = [{"message_id": f"{tree}-{k}", "parent_id": f"{tree}", "role": "assistant", "text": said[k]} for k in range(4)]
        rows += answers[: 1 + tree % 4]
    path = tmp_path / "trees.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = load_corpus(path, holdout=0.3)
    roots = [chat.messages[0].content for chat in corpus.examples]
    sides = {root: {bool(held) for r, held in zip(roots, corpus.held_out, strict=True) if r == root} for root in roots}
    assert len(corpus) == 150
    assert corpus.held_out.sum() == 50
    assert all(len(side) == 1 for side in sides.values())
