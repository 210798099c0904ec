"""Embeddings: the row contract, batches, storage, and what a kill loses."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from fishersft import Store, TokenEmbeddings, embed, load_corpus, load_model
from fishersft.corpus.encode import encode
from fishersft.errors import Cancelled, CorpusError, StoreError, UserError
from fishersft.lm import embed as module
from fishersft.lm.embed import plan, storage_dtype
from fishersft.lm.folder import effective_max_tokens, find_model
from fishersft.lm.model import load_tokenizer


def independent_rows(lm, example, max_tokens=256):
    """One text a call, with logits and all hidden states: the plain way."""
    (e,) = encode([example], lm.tokenizer, max_tokens)
    with torch.inference_mode():
        out = lm.network(input_ids=torch.tensor([e.ids.tolist()]), output_hidden_states=True)
    return out.hidden_states[-1][0, :-1][torch.tensor(e.trained[1:])].numpy()


@pytest.mark.parametrize("name", ["mini", "stories260K", "slm4096-gpt2"])
def test_rows_are_the_models_own_last_hidden_states(shared, jsonl, name):
    lm = load_model("mini" if name == "mini" else str(shared / "models" / name))
    corpus = load_corpus(jsonl, holdout=0)
    rows = embed(corpus, lm)
    for position, index in enumerate(rows.index):
        assert np.allclose(rows.block(position), independent_rows(lm, corpus.examples[index]), atol=2e-4)


def test_only_completion_tokens_are_rows(shared):
    lm = load_model("mini")
    corpus = load_corpus(shared / "data/instruction/instruction-data.json")
    layout = plan(corpus, lm.tokenizer)
    for k in range(0, len(layout.index), 97):
        example = corpus.examples[layout.index[k]]
        completion = lm.tokenizer(example.completion, add_special_tokens=False)["input_ids"]
        assert len(layout.encoded[k].rows) == len(completion) + 1


def test_batches_cover_every_record_once_and_respect_the_size(shared):
    layout = plan(load_corpus("demo"), load_tokenizer(find_model("mini")))
    assert sorted(np.concatenate(layout.batches).tolist()) == list(range(1250))
    for batch in layout.batches:
        lengths = [len(layout.encoded[i].ids) for i in batch]
        assert len(batch) * max(lengths) <= module.BATCH_TOKENS


def test_held_out_and_blank_records_have_no_rows(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("text,split\n" + "".join(f"t{i},{'test' if i == 2 else 'train'}\n" for i in range(4)) + "' ',train\n,train\n")
    rows = embed(load_corpus(path), "mini")
    assert rows.index.tolist() == [0, 1, 3, 4]
    assert (rows.facts["skipped"], rows.facts["held_out"]) == (1, 1)


def test_a_corpus_without_a_trained_token_is_refused(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"prompt": "a", "completion": ""}\n')
    with pytest.raises(CorpusError, match="no record has a trained token"):
        embed(load_corpus(path), "mini")


def test_the_second_call_reads_the_store_and_never_loads_weights(jsonl, monkeypatch):
    first = embed(jsonl, "mini")
    monkeypatch.setattr("fishersft.pipeline.embed_and_select.load_model", lambda *a, **k: pytest.fail("weights were loaded"))
    again = embed(jsonl, "mini")
    assert again.key == first.key
    assert np.array_equal(again.values, first.values)
    assert isinstance(again.values, np.memmap)


def test_storage_is_float32_up_to_a_gigabyte_and_float16_above():
    assert storage_dtype(1_000_000, 250) == np.float32
    assert storage_dtype(1_000_001, 250) == np.float16


def test_max_tokens_is_never_above_the_context():
    assert effective_max_tokens(1000, 128) == 128
    assert effective_max_tokens(100, 0) == 100
    with pytest.raises(UserError, match="at least 2"):
        effective_max_tokens(1, 128)


def test_a_cancelled_start_keeps_its_batches_and_the_next_goes_on(some_of_the_demo, monkeypatch):
    monkeypatch.setattr(module, "BATCH_TOKENS", 512)
    reports = []

    def stop_halfway(done, total):
        reports.append(done)
        if done > total / 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        embed(some_of_the_demo, "mini", on_progress=stop_halfway)
    resumed = embed(some_of_the_demo, "mini", on_progress=lambda d, t: reports.append(d))
    stopped_at = next(k for k in range(1, len(reports)) if reports[k] <= reports[k - 1])  # the second start's first report
    assert reports[stopped_at] == reports[stopped_at - 1]
    assert resumed.facts["resumed_at_batch"] == stopped_at - 1


def test_rows_that_were_damaged_after_an_interruption_are_computed_again(some_of_the_demo, tmp_path, monkeypatch, home):
    monkeypatch.setattr(module, "BATCH_TOKENS", 512)

    def stop_halfway(done, total):
        if done > total / 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        embed(some_of_the_demo, "mini", on_progress=stop_halfway)
    (folder,) = (home / "partial").iterdir()
    batches = plan(load_corpus(some_of_the_demo), load_tokenizer(find_model("mini")))
    rows = np.memmap(folder / "values.bin", dtype=np.float32, mode="r+").reshape(batches.rows, -1)
    rows[batches.offsets[batches.batches[1][0]], 3] = 1e6
    rows.flush()
    resumed = embed(some_of_the_demo, "mini")
    assert resumed.facts["resumed_at_batch"] == 1
    assert np.array_equal(resumed.values, embed(some_of_the_demo, "mini", store=Store(tmp_path / "other")).values)


SCRIPT = """
import sys, time, fishersft
from fishersft.lm import embed as module
module.BATCH_TOKENS = 128
def told(done, total):
    print(done, flush=True)
    time.sleep(0.02)  # it is killed long before the end
fishersft.embed(sys.argv[1], "mini", on_progress=told)
"""


@pytest.mark.rare
@pytest.mark.slow
def test_kill_9_in_the_middle_loses_at_most_the_batch_in_hand(some_of_the_demo, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BATCH_TOKENS", 128)
    corpus = some_of_the_demo
    child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(corpus)], stdout=subprocess.PIPE, text=True)
    reported = next(done for done in map(int, child.stdout) if done > 1_500)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    seen = []
    resumed = embed(corpus, "mini", on_progress=lambda d, t: seen.append(d))
    assert seen[0] >= reported
    undisturbed = embed(corpus, "mini", store=Store(tmp_path / "other"))
    assert np.array_equal(resumed.values, undisturbed.values)
    assert undisturbed.facts["resumed_at_batch"] == 0


@pytest.mark.rare
@pytest.mark.slow
def test_two_processes_compute_once(home, jsonl):
    code = f"import fishersft; print(fishersft.embed({str(jsonl)!r}, 'mini').facts['made'])"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    made = {p.communicate()[0] for p in both}
    assert len(made) == 1
    assert made.pop().startswith("20")


@pytest.mark.rare
@pytest.mark.slow
def test_a_full_disk_gets_a_sentence_and_keeps_what_was_done(jsonl):
    code = (
        "import resource, signal, fishersft\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        f"fishersft.embed({str(jsonl)!r}, 'mini')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "StoreError" in run.stderr
    assert "free some space or set FISHERSFT_HOME" in run.stderr
    assert len(embed(jsonl, "mini")) > 0


def test_a_store_that_cannot_be_written_gets_a_sentence(tmp_path, jsonl, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FISHERSFT_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="cannot be written"):
        embed(jsonl, "mini")


def test_shapes_are_checked_where_arrays_enter():
    with pytest.raises(ValueError, match="offsets must rise"):
        TokenEmbeddings(np.zeros((3, 2)), np.array([0, 3, 3]), np.arange(2), {})
    with pytest.raises(ValueError, match="values must be"):
        TokenEmbeddings(np.zeros((3, 2)), np.array([0, 3]), np.arange(2), {})


@pytest.mark.rare
@pytest.mark.slow
def test_the_shipped_demo_rows_are_those_this_machine_computes(fresh):
    shipped = embed("demo", "mini")
    assert shipped.facts["dtype"] == "float16"
    computed = embed("demo", "mini", store=fresh)
    assert np.array_equal(shipped.offsets, computed.offsets)
    assert np.abs(shipped.values.astype(np.float32) - computed.values).max() < 0.02
