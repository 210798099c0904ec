"""Files as they come: formats, separators, headers, JSON in every arrangement, limits; generated files get an answer or a sentence."""

import gzip
import io
import json
import random
import time

import pandas as pd
import pyarrow as pa
import pytest

from fishersft import load_corpus
from fishersft.corpus.encode import encode
from fishersft.corpus.files import ENDINGS, MOST_COLUMNS, ending, read_table, unique
from fishersft.corpus.shapes import SHAPES
from fishersft.corpus.unpack import unpacked
from fishersft.errors import ColumnError, CorpusError, UserError
from fishersft.lm.folder import find_model
from fishersft.lm.model import load_tokenizer
from fishersft.text import encodable

from .conftest import ROOT

CASES = ROOT / "tests" / "data" / "cases"
CHATS = [f"What is {i} plus {i + 1}?" for i in range(12)]
ANSWERS = [f"It is {2 * i + 1}, because {i} and {i + 1} add up to it." for i in range(12)]
RECORDS = [{"text": "The ferry leaves.", "n": 1}, {"text": "Moss grows, slowly.", "n": 2}]


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def texts(path, **options):
    return [e.text for e in load_corpus(path, holdout=0, **options).examples]


# the cases, each with its right value


@pytest.mark.parametrize("file", ["semicolon.csv", "tab_separated.csv"])
def test_the_separator_is_found_and_labels_stay_out_of_the_texts(file):
    corpus = load_corpus(CASES / file, holdout=0)
    assert corpus.texts == [f"record number {i} of a small set about {('cats', 'dogs', 'rain')[i % 3]}" for i in range(8)]
    assert corpus.fields["label"].tolist() == [0, 1] * 4
    assert corpus.understood.notes[0].startswith("fields separated by ")


def test_a_header_that_looks_like_a_record_is_asked_about():
    with pytest.raises(ColumnError, match="looks like a record; pass --header none") as error:
        load_corpus(CASES / "no_header.csv")
    assert "\n" not in str(error.value)
    assert len(texts(CASES / "no_header.csv", header="none")) == 8
    assert len(texts(CASES / "no_header.csv", text_column="record number 0 of a small set about cats")) == 7


@pytest.mark.parametrize(
    ("file", "shape"),
    [
        ("chat_human_gpt_roles_all", "chats"),
        ("chat_human_gpt_roles_mixed", "chats"),
        ("chat_sharegpt_from_value", "ShareGPT chats"),
        ("chat_one_turn", "chats"),
        ("prompt_list_completion_str", "prompts and completions"),
    ],
)
def test_every_name_of_a_role_is_known_and_no_record_vanishes(file, shape):
    corpus = load_corpus(CASES / f"{file}.jsonl", holdout=0)
    assert corpus.understood.shape == shape
    assert [[(m.role, m.content) for m in e.messages] for e in corpus.examples] == [
        [("user", q), ("assistant", a)] for q, a in zip(CHATS, ANSWERS, strict=True)
    ]


def test_calls_tools_and_reasoning_are_kept():
    chat = load_corpus(CASES / "chat_tool_calls.jsonl", holdout=0).examples[1]
    assert [m.role for m in chat.messages] == ["user", "assistant", "tool", "assistant"]
    assert chat.messages[1].tool_calls == (
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"x": 1, "y": 2}}},
    )
    assert (chat.messages[2].call_id, chat.messages[2].content) == ("c1", "3")
    assert chat.tools[0]["function"]["name"] == "add"
    thought = load_corpus(CASES / "chat_reasoning_content.jsonl", holdout=0).examples[3].messages[1]
    assert (thought.reasoning, thought.content) == ("3 then 4", ANSWERS[3])


def test_prompts_with_any_name_of_the_answer_are_read_and_missing_answers_stay_as_blank_records():
    pairs = load_corpus(CASES / "prompt_response.jsonl", holdout=0).examples
    assert [(e.prompt, e.completion) for e in pairs] == list(zip(CHATS, ANSWERS, strict=True))
    some = load_corpus(CASES / "prompt_only_none_completion.jsonl", holdout=0).examples
    assert [i for i, e in enumerate(some) if not e.completion] == [0, 3, 6, 9]
    alpaca = load_corpus(CASES / "alpaca_null_input.jsonl", holdout=0).examples
    assert [(e.asked, e.completion) for e in alpaca] == list(zip(CHATS, ANSWERS, strict=True))
    assert not any("Input" in e.prompt for e in alpaca)
    assert texts(CASES / "text_and_messages.jsonl") == CHATS


def test_the_splits_of_a_trainer_are_known_and_none_of_its_test_records_is_chosen():
    corpus = load_corpus(CASES / "split_train_sft.jsonl")
    splits = corpus.fields["split"].tolist()
    assert {splits[i] for i in corpus.pool_index} == {"train_sft"}
    assert corpus.held_out.tolist() == [split != "train_sft" for split in splits]


@pytest.mark.parametrize("file", ["lone_surrogate_in_text.jsonl", "lone_surrogate_in_label.jsonl"])
def test_a_lone_surrogate_is_read_as_a_question_mark(file):
    corpus = load_corpus(CASES / file, holdout=0)
    cells = [str(cell) for column in corpus.fields for cell in corpus.fields[column]]
    assert all(cell == encodable(cell) for cell in cells)
    assert any(cell.endswith(" ?") for cell in cells)
    json.dumps(corpus.texts, ensure_ascii=False).encode()


def test_zero_characters_stay_and_a_pair_of_surrogates_is_one_character(tmp_path):
    assert texts(CASES / "nul_in_text.jsonl")[0] == "record number 0 of a small set about cats\x00 end"
    assert texts(written(tmp_path, "pair.jsonl", '{"text": "a \\ud83d\\ude00 b \\ud83d"}\n')) == ["a \U0001f600 b ?"]


def test_columns_are_limited_and_counting_them_is_linear(tmp_path):
    started = time.process_time()
    with pytest.raises(CorpusError, match="has 4,000 columns"):
        load_corpus(CASES / "same_header.csv")
    keys = "".join(json.dumps({"text": f"t{i}", f"k{i}": i}) + "\n" for i in range(30_000))
    with pytest.raises(CorpusError, match=f"{MOST_COLUMNS + 1:,} columns"):
        load_corpus(written(tmp_path, "keys.jsonl", keys))
    assert unique(["a"] * 4_000)[-1] == "a_4000"
    assert time.process_time() - started < 10


# what else is a file


def test_names_are_unique_whatever_they_were():
    assert unique(["k", "k", "", " k ", "k_2", "k"]) == ["k", "k_2", "column_3", "k_3", "k_2_2", "k_4"]


@pytest.mark.parametrize("inner", ["jsonl", "ndjson", "json", "csv", "tsv", "txt"])
@pytest.mark.parametrize("packed", ["", "gz", "zst"])
def test_every_text_format_is_read_plain_and_compressed(tmp_path, inner, packed):
    table, lines = pd.DataFrame(RECORDS), [r["text"] for r in RECORDS]
    plain = {
        "jsonl": "".join(json.dumps(r) + "\n" for r in RECORDS),
        "ndjson": "".join(json.dumps(r) + "\n" for r in RECORDS),
        "json": json.dumps(RECORDS),
        "csv": table.to_csv(index=False),
        "tsv": table.to_csv(index=False, sep="\t"),
        "txt": "\n".join(lines),
    }[inner].encode()
    data = {"": plain, "gz": gzip.compress(plain), "zst": pa.compress(plain, codec="zstd", asbytes=True)}[packed]
    path = written(tmp_path, f"Corpus.{inner}{f'.{packed}' if packed else ''}", data)
    assert ending(path.name) in ENDINGS
    assert texts(path) == lines


def test_a_damaged_or_swelling_archive_gets_one_sentence(tmp_path):
    for name in ("a.jsonl.gz", "a.jsonl.zst"):
        with pytest.raises(CorpusError, match="is not a readable"):
            load_corpus(written(tmp_path, name, b"not compressed at all"))
    with pytest.raises(CorpusError, match="is not a readable"):
        load_corpus(written(tmp_path, "cut.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 999)[:-9]))
    for data, name in ((gzip.compress(bytes(10**6)), "b.txt.gz"), (pa.compress(bytes(10**6), "zstd", asbytes=True), "b.txt.zst")):
        with pytest.raises(CorpusError, match="unpacks to more than"):
            unpacked(data, name, most=1_000)


@pytest.mark.parametrize(
    "value",
    [
        RECORDS,
        {"data": RECORDS, "version": "1.1"},
        {"rows": [{"row_idx": i, "row": r} for i, r in enumerate(RECORDS)], "features": [{"name": "text"}]},
        {"text": [r["text"] for r in RECORDS], "n": [1, 2]},
        {"text": {"0": RECORDS[0]["text"], "1": RECORDS[1]["text"]}, "n": {"0": 1, "1": 2}},
        {"columns": ["text", "n"], "index": [0, 1], "data": [[r["text"], r["n"]] for r in RECORDS]},
        {"first": RECORDS[0], "second": RECORDS[1]},
    ],
    ids=["records", "data", "viewer", "columns", "pandas columns", "pandas split", "by name"],
)
def test_the_records_of_a_json_file_are_found_wherever_they_are(tmp_path, value):
    corpus = load_corpus(written(tmp_path, "a.json", json.dumps(value)), holdout=0)
    assert corpus.texts == [r["text"] for r in RECORDS]
    assert corpus.fields["n"].tolist() == [1, 2]


def test_a_json_file_of_splits_brings_its_split_column(tmp_path):
    corpus = load_corpus(written(tmp_path, "s.json", json.dumps({"train": RECORDS, "test": [{"text": "z", "n": 3}]})))
    assert corpus.held_out.tolist() == [False, False, True]


def test_one_record_one_conversation_and_lines_with_the_other_ending(tmp_path):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    for value in ({"messages": turns}, turns, [turns]):
        corpus = load_corpus(written(tmp_path, "one.json", json.dumps(value)), holdout=0)
        assert [m.content for m in corpus.examples[0].messages] == ["hi", "ho"]
    lines = "".join(json.dumps(r) + "\n" for r in RECORDS)
    assert texts(written(tmp_path, "lines.json", lines)) == [r["text"] for r in RECORDS]
    assert texts(written(tmp_path, "list.jsonl", json.dumps(RECORDS, indent=1))) == [r["text"] for r in RECORDS]
    bare = load_corpus(written(tmp_path, "bare.jsonl", json.dumps(turns) + "\n" + json.dumps(turns) + "\n"), holdout=0)
    assert len(bare) == 2


@pytest.mark.parametrize(
    ("head", "rows"),
    [("text,label", '"a; b",1'), ("text;label", "a, b;1"), ("text|label", "a, b; c|1"), ("text\tlabel", "a, b\t1")],
)
def test_a_separator_within_the_texts_is_not_taken_for_one(tmp_path, head, rows):
    corpus = load_corpus(written(tmp_path, "s.csv", f"{head}\n{rows}\n{rows}\n"), holdout=0)
    assert list(corpus.fields.columns) == ["text", "label"]
    assert corpus.fields["label"].tolist() == [1, 1]


def test_without_a_header_columns_get_numbers(tmp_path):
    path = written(tmp_path, "h.csv", "What is rain?,water\nWhat is ice?,water too\n")
    assert list(read_table(path, header="none").fields.columns) == ["column_1", "column_2"]
    corpus = load_corpus(path, header="none", prompt_column="column_1", completion_column="column_2", holdout=0)
    assert corpus.examples[1].completion == "water too"


@pytest.mark.parametrize(
    ("splits", "held", "said"),
    [
        (["train", "test"], [False, True], ""),
        (["train_sft", "validation_v2"], [False, True], ""),
        (["training", "holdout"], [False, True], ""),
        (["Train", "dev-2"], [False, True], ""),
        (["train", "extra"], [False, True], "'extra' in 1 record"),
        (["train", None], [False, True], "missing in 1 record"),
    ],
)
def test_unknown_and_missing_splits_are_held_out_and_named(tmp_path, splits, held, said):
    rows = [{"text": f"t{i}", "split": s} for i, s in enumerate(splits)]
    corpus = load_corpus(written(tmp_path, "s.json", json.dumps(rows)))
    assert corpus.held_out.tolist() == held
    assert said in " ".join(corpus.understood.notes)
    assert bool(said) == bool(corpus.understood.notes)


# generated files

WORDS = [
    "rain",
    "=1+1",
    "Où?",
    "\u202e",
    "a,b;c|d\te",
    '"',
    "'",
    "\ud83d",
    "\x00",
    "",
    " ",
    "### Human: x",
    "[",
    "{}",
    "null",
    "<|endoftext|>",
]


SIMPLE, NESTED = ["text", "text", "none", "int", "float", "bool", "nan", "big"], ["list", "dict", "turns", "pairs"]


def _value(dice, depth=0, kinds=None):
    match dice.choice(kinds or SIMPLE + (NESTED if depth < 3 else [])):
        case "text":
            return " ".join(dice.choices(WORDS, k=dice.randint(0, 6)))
        case "list":
            return [_value(dice, depth + 1) for _ in range(dice.randint(0, 3))]
        case "dict":
            return {
                dice.choice(["text", "value", "role", "input", "k", ""]): _value(dice, depth + 1)
                for _ in range(dice.randint(0, 3))
            }
        case "turns":
            speaker, said = dice.choice([("role", "content"), ("from", "value")])
            roles = ["user", "assistant", "gpt", "human", "system", "tool", "critic", "function_call"]
            roles += ["", None, 3] if dice.random() < 0.1 else []
            words = dice.choice([None, ["text"]])
            turn = {speaker: None, said: None, "weight": None}
            calls = {"tool_calls": _value(dice, depth + 1), "reasoning_content": _value(dice, depth + 2)}
            turn |= calls if dice.random() < 0.3 else {}
            filled = {
                speaker: lambda: dice.choice(roles),
                said: lambda: _value(dice, 3, words),
                "weight": lambda: dice.choice([0, 1, "x"]),
            }
            return [{k: filled[k]() if k in filled else v for k, v in turn.items()} for _ in range(dice.randint(0, 4))]
        case "pairs":
            return [[_value(dice, 3), _value(dice, 3)] for _ in range(dice.randint(0, 2))]
        case kind:
            return {
                "none": None,
                "int": dice.randint(-5, 5),
                "float": dice.random(),
                "bool": True,
                "nan": float("nan"),
                "big": 10**30,
            }[kind]


def _file(dice, tmp_path):
    """A file whose columns are those of a shape, or nearly, with cells of any kind; now and then damaged."""
    shape = dice.choice(SHAPES)
    columns = [dice.choice(names) for names in shape.takes.values()]
    columns += [dice.choice(names) for names in shape.may_take.values() if dice.random() < 0.4]
    columns += dice.sample(["id", "split", "label", "text", "messages", "Ünï", "a b", ""], dice.randint(0, 3))
    if dice.random() < 0.2:
        columns.pop(0)
    usual = {c: "turns" if c in SHAPES[0].takes["messages"] else "text" for c in columns if dice.random() < 0.8}
    rows = []
    for _ in range(dice.randint(1, 5)):
        row = {c: _value(dice, kinds=[usual[c]] if c in usual else None) for c in columns}
        rows.append({c: v for c, v in row.items() if dice.random() < 0.95})
    format = dice.choice(["jsonl", "json", "csv", "tsv", "parquet", "jsonl.gz", "json.zst"])
    packed = {"gz": gzip.compress, "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True)}
    inner, _, outer = format.partition(".")
    if inner == "jsonl":
        data = "".join(json.dumps(r) + "\n" for r in rows).encode()
    elif inner == "json":
        data = json.dumps(dice.choice([rows, {"data": rows}, rows[0], {"train": rows, "test": rows}])).encode()
    elif inner == "parquet":
        try:
            data = pd.DataFrame(rows, dtype=object).to_parquet()
        except (pa.ArrowException, ValueError, OverflowError, TypeError):  # parquet has one type a column
            data = pd.DataFrame([{k: str(v).encode("utf-8", "replace") for k, v in r.items()} for r in rows]).to_parquet()
    else:
        buffer = io.StringIO()
        pd.DataFrame(rows, dtype=object).map(lambda v: encodable(str(v)).replace("\0", "")).to_csv(
            buffer, index=False, sep=dice.choice([",", "\t", ";"])
        )
        data = buffer.getvalue().encode("utf-8", "replace")
    if dice.random() < 0.1:
        data = data[: dice.randint(0, len(data))]
    if outer:
        data = packed[outer](data)
    if dice.random() < 0.1:
        place = dice.randrange(len(data) + 1)
        data = data[:place] + bytes([dice.randrange(256)]) + data[place + 1 :]
    return written(tmp_path, f"generated.{format}", data), columns


def _is_answered(path, columns, dice, tokenizer):
    roles = ["text", "prompt", "completion", "system", "context", "messages"]
    options = {f"{role}_column": dice.choice([*columns, "nope"]) for role in dice.sample(roles, dice.choice([0] * 9 + [1, 2, 3]))}
    try:
        corpus = load_corpus(path, holdout=dice.choice([0, 0.1]), skip_bad=dice.random() < 0.3, **options)
    except UserError as error:
        sentence = str(error)
        return "refused" if "\n" not in sentence and sentence.endswith(".") else f"badly refused: {sentence}"
    assert len(corpus.fields) == len(corpus) == len(encode(corpus.examples, tokenizer))
    assert corpus.understood.sentence.startswith("Read as ")
    json.dumps([corpus.texts, corpus.understood.as_json(), corpus.fingerprint, corpus.categories], ensure_ascii=False).encode()
    return corpus.shape


@pytest.mark.parametrize(
    "seed", [pytest.param(0, id="80"), pytest.param(1, id="400", marks=[pytest.mark.slow, pytest.mark.rare])]
)
def test_a_generated_file_is_read_or_refused_with_one_sentence(seed, tmp_path):
    tokenizer = load_tokenizer(find_model("mini"))
    found = []
    for n in range((80, 400)[seed]):
        dice = random.Random(seed * 10_000 + n)
        path, columns = _file(dice, tmp_path)
        found.append(_is_answered(path, columns, dice, tokenizer))
    assert set(found) == {"refused", "text", "prompt", "chat"}
    assert found.count("refused") < 0.8 * len(found)
