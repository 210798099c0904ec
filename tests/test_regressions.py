"""Ways that real input broke an earlier version: wrong data without a word, and tracebacks where a sentence was due."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fishersft import (
    Budget,
    Pool,
    PromptCompletion,
    Store,
    TokenEmbeddings,
    compare,
    comparison_summary,
    embed,
    load_corpus,
    load_pool,
    make_selector,
    select,
    select_from,
    selection_files,
)
from fishersft.design.greedy import greedy
from fishersft.errors import CorpusError, DesignError, ModelError, ParameterError, UserError
from fishersft.experiments.experiment import About
from fishersft.finetuning.run import begin
from fishersft.lm.folder import find_model
from fishersft.pipeline.selections import load_kept, load_selection, save_selection
from fishersft.scoring.projection import project

from .conftest import ROOT, command_line
from .test_pages import open_page


def run(*arguments, stdout=None, **environment):
    if stdout is None:
        return command_line(*arguments, **environment)
    command = [sys.executable, "-m", "fishersft", *map(str, arguments)]
    return subprocess.run(
        command, stdout=stdout, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, check=False
    )


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def texts(path, **options):
    return [e.text for e in load_corpus(path, holdout=0, **options).examples]


def test_the_same_texts_with_other_metadata_are_another_run(tmp_path):
    runs = []
    for label in "AB":
        path = written(tmp_path, "c.jsonl", "".join(json.dumps({"text": t, "label": label}) + "\n" for t in ("the cat", "a dog")))
        corpus = load_corpus(path, holdout=0)
        runs.append(save_selection(corpus, embed(corpus), select(corpus, budget=2)))
    assert [load_selection(r)[1]["label"].tolist() for r in runs] == [["A", "A"], ["B", "B"]]


def test_the_corpus_is_never_overwritten_by_its_picks(jsonl):
    before = jsonl.read_bytes()
    done = run("select", jsonl, "--budget", 1, "--out", jsonl)
    assert done.returncode == 2
    assert "would overwrite the corpus" in done.stderr
    assert jsonl.read_bytes() == before


def test_csv_cells_stay_as_they_are_written(tmp_path):
    path = written(tmp_path, "n.csv", "text,code,big,amount,year\n007,00501,123456789012345678,1.50,1999\n1e5,01234,2,,2001\n")
    corpus = load_corpus(path, text_column="text", holdout=0)
    assert [e.text for e in corpus.examples] == ["007", "1e5"]
    assert corpus.fields["code"].tolist() == ["00501", "01234"]
    assert corpus.fields["big"].tolist() == [123456789012345678, 2]
    assert corpus.fields["amount"].tolist() == ["1.50", ""]
    assert corpus.fields["year"].tolist() == [1999, 2001]


@pytest.mark.parametrize("ragged", ["a,b\n1,2,3\n4,5\n", "a,b\n1,2\n4\n"])
def test_a_csv_row_of_another_width_is_never_cut_or_filled(tmp_path, ragged):
    path = written(tmp_path, "r.csv", ragged)
    with pytest.raises(CorpusError, match=r"line \d has \d fields? and the header has 2|has \d fields"):
        load_corpus(path, text_column="a")
    assert load_corpus(path, text_column="a", skip_bad=True).bad_lines == 1


def test_an_open_quote_is_refused_and_a_tsv_may_know_none(tmp_path):
    with pytest.raises(CorpusError, match="starts at line 3 has a misplaced quote"):
        load_corpus(written(tmp_path, "u.csv", 'text\na\n"b\nc\n'), skip_bad=True)
    assert texts(written(tmp_path, "q.tsv", 'text\tn\n"Oh!" she said\t1\nfine\t2\n')) == ['"Oh!" she said', "fine"]


def test_a_completion_that_is_json_stays_what_it_is(tmp_path):
    rows = [{"prompt": "give json", "completion": '[{"a": true}]'}, {"prompt": '[{"a":1}]', "completion": "y"}]
    path = written(tmp_path, "j.jsonl", "\n".join(map(json.dumps, rows)))
    assert load_corpus(path, holdout=0).examples[0] == PromptCompletion("give json", '[{"a": true}]')


def test_structured_content_is_read_as_text_or_refused_with_its_record(tmp_path):
    parts = [{"type": "text", "text": "yo "}, {"type": "text", "text": "yo"}]
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": parts}]
    corpus = load_corpus(written(tmp_path, "c.json", json.dumps([{"messages": chat}])), holdout=0)
    assert corpus.examples[0].messages[1].content == "yo yo"
    with pytest.raises(CorpusError, match="record 1: the value is a dict"):
        load_corpus(written(tmp_path, "d.json", json.dumps([{"text": "a"}, {"text": {"b": 1}}])))
    pd.DataFrame({"text": [b"caf\xc3\xa9"]}).to_parquet(tmp_path / "b.parquet")
    assert texts(tmp_path / "b.parquet") == ["café"]
    rows = [{"prompt": [{"role": "user", "content": "x"}], "completion": {"a": 1}}]
    with pytest.raises(CorpusError, match="record 0"):
        load_corpus(written(tmp_path, "n.json", json.dumps(rows)))


def test_two_fields_never_share_a_name_in_the_output(tmp_path):
    path = written(tmp_path, "o.csv", "text,rank,record_rank\nhello there,r1,x1\ngood bye,r2,x2\n")
    for ending in ("jsonl", "csv", "parquet"):
        out = tmp_path / f"picks.{ending}"
        assert run("select", path, "--holdout", 0, "--budget", 2, "--out", out).returncode == 0
    table = pd.read_parquet(out)
    assert sorted(table["record_rank_"]) == ["r1", "r2"]
    assert sorted(table["record_rank"]) == ["x1", "x2"]


def test_a_certificate_is_never_claimed_for_nothing():
    pool = Pool(TokenEmbeddings.of([np.zeros((2, 3))] * 4))
    with pytest.raises(DesignError, match="No sentence gains anything measurable"):
        make_selector("token_od").select(pool, 1)
    for sigma2 in (1e300, 1e-320, "1e30"):
        with pytest.raises(ParameterError, match="'sigma2' of 'token_od' must be a number from 1e-12 to 1e"):
            make_selector("token_od", {"sigma2": sigma2})


def test_utf32_and_late_zero_bytes_are_refused(tmp_path):
    (tmp_path / "u.txt").write_bytes("hello".encode("utf-32"))
    (tmp_path / "z.txt").write_bytes(b"a line\n" * 20_000 + b"\x00")
    with pytest.raises(CorpusError, match="UTF-32"):
        load_corpus(tmp_path / "u.txt")
    with pytest.raises(CorpusError, match="zero byte at position 140,000"):
        load_corpus(tmp_path / "z.txt")


def test_a_parquet_index_with_a_name_is_a_column(tmp_path):
    pd.DataFrame({"n": [1, 2]}, index=pd.Index(["one", "two"], name="text")).to_parquet(tmp_path / "i.parquet")
    assert texts(tmp_path / "i.parquet") == ["one", "two"]


def test_a_corpus_held_out_entirely_by_its_own_column_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="every record is held out"):
        load_corpus(written(tmp_path, "t.csv", "text,split\na,test\nb,test\n"))


@pytest.mark.slow
def test_places_that_cannot_be_written_and_a_full_pipe_get_a_sentence(jsonl, tmp_path):
    for out in (tmp_path / ("a" * 250 + ".jsonl"), jsonl / "x.jsonl"):
        done = run("select", jsonl, "--budget", 1, "--out", out)
        assert (done.returncode, len(done.stderr.strip().splitlines()[-1:])) == (2, 1)
        assert "Traceback" not in done.stderr
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = run("select", jsonl, "--budget", 1, stdout=full)
        assert done.returncode == 1
        assert "Standard output cannot be written" in done.stderr
        assert "Traceback" not in done.stderr


def test_seeds_and_other_arguments_of_the_wrong_kind(jsonl):
    for seed in (-1, 1.5, None, "x"):
        with pytest.raises(ParameterError, match="A seed must be a whole number"):
            select(jsonl, budget=1, selector="uniform", seed=seed)
    assert len(select(jsonl, budget=np.int64(1), seed=np.int64(3), max_tokens=np.int64(9))) == 1
    for seed in (-1, 2**53 + 1):
        for words in (
            ["select", jsonl, "--budget", 1, "--selector", "uniform", "--seed", seed],
            ["select", jsonl, "--budget", 1, "--target", "topic=a", "--target-seed", seed],
            ["compare", jsonl, "--budget", 1, "--selectors", "longest", "--seed", seed],
            ["curves", "synthetic", "--budgets", 4, "--seed", seed],
            ["finetune", jsonl, "--budgets", 1, "--sampling-seed", seed],
        ):
            done = command_line(*words)
            assert done.returncode == 2 and "must be a whole number" in done.stderr, done
    with pytest.raises(UserError):
        select(jsonl, budget=1, max_tokens="64")
    with pytest.raises(UserError):
        select(jsonl, budget=1, parameters="sigma2=1")
    with pytest.raises(CorpusError, match="--holdout must be at least 0 and below 1"):
        load_corpus(jsonl, holdout="0.1")


def test_lone_surrogates_and_huge_numbers_can_be_exported(tmp_path):
    content = '{"text": "a b", "v\\ud800": "\\udfff", "n": 99999999999999999999999}\n{"text": "c d", "n": 1}\n'
    path = written(tmp_path, "s.jsonl", content)
    for ending in ("jsonl", "csv", "parquet"):
        done = run("select", path, "--holdout", 0, "--budget", 2, "--out", tmp_path / f"out.{ending}")
        assert done.returncode == 0, done.stderr


def test_json_too_deep_or_with_endless_numbers_is_refused(tmp_path):
    deep = "[" * 900 + "]" * 900
    with pytest.raises(CorpusError, match="line 1 is broken: it is too deeply nested"):
        load_corpus(written(tmp_path, "d.jsonl", '{"text": "a", "v": ' + deep + "}\n"))
    with pytest.raises(CorpusError, match="a whole number that is too long"):
        load_corpus(written(tmp_path, "h.json", '[{"text": "a", "v": ' + "9" * 5000 + "}]"))


def test_a_tokenizer_of_another_model_is_noticed(shared, jsonl, tmp_path):
    folder = tmp_path / "mixed"
    shutil.copytree(shared / "models/stories260K", folder)
    os.chmod(folder, 0o755)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(shared / "models/gpt2-tokenizer" / name, folder / name)
    with pytest.raises(ModelError, match="do not belong together"):
        embed(jsonl, str(folder))


def test_stray_entries_in_a_model_folder_do_not_stop_it(tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(find_model("mini").path, folder)
    (folder / "tokenizer_old").mkdir()
    (folder / "vocab.bak").symlink_to("nowhere")
    assert find_model(folder).fingerprint == find_model("mini").fingerprint


@pytest.mark.parametrize("name", ["~nouser/x.txt", "x" * 5000, ""])
def test_odd_names_get_a_sentence(name):
    for arguments in (["select", name, "--budget", 1], ["select", "demo", "--budget", 1, "--model", name]):
        done = run(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert len(done.stderr) < 600


@pytest.mark.parametrize("device", ["meta", "hpu", "privateuseone", "cuda:99"])
def test_devices_that_are_not_here_get_a_sentence(jsonl, device):
    with pytest.raises(ModelError, match=f"device '{device}' is not available"):
        embed(jsonl, device=device)


@pytest.mark.parametrize("name", ["index.npy", "offsets.npy", "arrays.npz", "picks.jsonl"])
def test_damage_of_the_same_size_is_a_miss(jsonl, home, name):
    corpus = load_corpus(jsonl)
    chosen = select(corpus, budget=2)
    run_id = save_selection(corpus, embed(corpus), chosen)
    for file in home.rglob(name):
        file.write_bytes(b"\xff" * file.stat().st_size)
    if name == "picks.jsonl":
        with pytest.raises(UserError, match=r"must be selected again: picks.jsonl is not what was written"):
            load_selection(run_id)
    else:
        assert np.array_equal(select(corpus, budget=2).indices, chosen.indices)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["torn journal", "no values", "short values"])
def test_a_damaged_partial_start_never_becomes_an_artifact(some_of_the_demo, home, tmp_path, monkeypatch, damage):
    from fishersft.errors import Cancelled
    from fishersft.lm import embed as module

    monkeypatch.setattr(module, "BATCH_TOKENS", 512)

    def stop(done, total):
        if done > total / 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        embed(some_of_the_demo, on_progress=stop)
    (partial,) = (home / "partial").iterdir()
    match damage:
        case "torn journal":
            with (partial / "journal.txt").open("a") as f:
                f.write("1")
        case "no values":
            (partial / "values.bin").unlink()
        case "short values":
            os.truncate(partial / "values.bin", 1000)
    resumed = embed(some_of_the_demo)
    assert (resumed.facts["resumed_at_batch"] > 0) == (damage == "torn journal")
    undisturbed = embed(some_of_the_demo, store=Store(tmp_path / "other"))
    assert np.allclose(resumed.values, undisturbed.values, atol=1e-5)


def test_a_store_in_the_way_of_a_file_gets_one_line(tmp_path, jsonl):
    done = run("embed", jsonl, FISHERSFT_HOME=str(written(tmp_path, "file", "x")))
    assert done.returncode == 2
    *_, last = done.stderr.strip().splitlines()
    assert "set FISHERSFT_HOME to a writable folder" in last
    assert "Traceback" not in done.stderr
    assert run("export", "abc", FISHERSFT_HOME="a" * 300).returncode == 2


@pytest.mark.rare
@pytest.mark.slow
class TestInterruption:
    """Ctrl-C says what is kept, leaves no half artifact, and the same command resumes."""

    @pytest.mark.parametrize("selector", ["token_od", "matched_od"])
    def test_a_selection_stopped_by_hand(self, home, selector):
        command = [
            sys.executable,
            "-m",
            "fishersft",
            "select",
            "demo",
            "--selector",
            selector,
            "--set",
            "PARAMETER",
            "--budget",
            "1250",
        ]
        command[command.index("PARAMETER")] = "sigma2=1.5" if selector == "token_od" else "ridge=0.002"  # not among what ships
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = ""
        while "selecting" not in said:  # the bar appears with the first pick
            piece = running.stderr.read(1)
            assert piece, said
            said += piece
        running.send_signal(signal.SIGINT)
        out, rest = running.communicate(timeout=300)
        assert running.returncode == 130 and not out
        assert "Finished work is kept" in rest and "Traceback" not in said + rest
        assert not list(home.glob("artifacts/order/*"))
        kept = [path.name for path in home.glob("partial/*/*")]
        assert kept == (
            ["picks.jsonl"] if selector == "token_od" else []
        )  # the picks so far, where an order can go on behind them

    def test_a_comparison_stopped_by_hand(self, home):
        command = [sys.executable, "-m", "fishersft", "compare", "demo", "--budget", "100", "--selectors", "token_od,matched_od"]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        said = ""
        while "MatchedOD: choosing" not in said:
            piece = running.stderr.read(1)
            assert piece, said
            said += piece
        running.send_signal(signal.SIGINT)
        out, rest = running.communicate(timeout=300)
        assert running.returncode == 130 and not out and "Traceback" not in said + rest


def test_a_design_beyond_double_precision_says_so():
    blocks = [np.full((1, 3), 1e9) + np.eye(3)[[k % 3]] for k in range(6)]
    with pytest.raises(DesignError, match="condition number"):
        list(greedy(TokenEmbeddings(np.concatenate(blocks), np.arange(7)), 1e-12))


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize("where", ["text", "label"])
def test_a_lone_surrogate_is_a_question_mark_in_every_place(where):
    path = ROOT / "tests" / "data" / "cases" / f"lone_surrogate_in_{where}.jsonl"
    corpus = load_corpus(path, holdout=0)
    pool = load_pool(corpus)
    summary = comparison_summary(compare(pool, [make_selector("token_od")], Budget(sentences=3)))
    json.dumps(summary, ensure_ascii=False).encode()
    id = save_selection(corpus, pool.embeddings, select_from(pool, make_selector("token_od"), Budget(sentences=12)))
    table = pd.read_parquet(io.BytesIO(next(iter(selection_files(load_kept(id), "atlas").values()))))
    column = "text" if where == "text" else "topic"
    assert any(cell.endswith(" ?") for cell in table[column])
    for page in ("explore", "corpus"):
        at = open_page(page, corpus=str(path), holdout="0", **({"part": "Records"} if page == "corpus" else {}))
        shown = " ".join(str(frame.value.to_numpy().tolist()) for frame in at.dataframe)
        assert not at.error and (page == "explore" or " ?" in shown), page


def test_a_lone_surrogate_within_a_text_of_json_is_one_too(tmp_path):
    turns = [{"role": "user", "content": "a \ud83d"}, {"role": "assistant", "content": "b"}]
    path = written(tmp_path, "n.jsonl", json.dumps({"messages": json.dumps(turns)}) + "\n")
    assert load_corpus(path, holdout=0).texts == ["user: a ?\nassistant: b"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_file_whose_name_is_not_utf8_is_read_and_named_with_question_marks(tmp_path, home):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.txt")
    Path(path).write_text("a storm\na calm\nsome rain\n")
    corpus = load_corpus(path, holdout=0)
    assert (corpus.name, corpus.source) == ("??.txt", f"{tmp_path}/??.txt")
    assert load_corpus(path, holdout=0, name="\udcff").name == "?"
    pool = load_pool(corpus)
    id = save_selection(corpus, pool.embeddings, select_from(pool, make_selector("token_od"), Budget(sentences=1)))
    assert load_kept(id).manifest["corpus"] == "??.txt"
    run = begin(tmp_path / "run", "abc", {"command": ["fishersft", "finetune", path], "corpus": {"name": corpus.name}})
    assert run.about["command"][-1] == corpus.source
    about = About({"world": {"source": path}}, path, ["curves", "words", "--vectors", path])
    assert about == About({"world": {"source": corpus.source}}, corpus.source, [*about.arguments[:3], corpus.source])


@pytest.mark.parametrize("method", ["umap", "pca"])
def test_rows_of_any_size_have_a_map(method):
    rows = np.random.default_rng(0).standard_normal((40, 60)).astype(np.float32)
    rows[7] *= 100
    for scale in (1e30, 1e34):
        xy = project(rows * np.float32(scale), method)
        assert xy.shape == (40, 2) and np.isfinite(xy).all() and np.ptp(xy, axis=0).all(), scale
