"""A selection in every form, read back by the library that the form is for."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from fishersft import embed, load_corpus, load_pool, select
from fishersft.commands.export import NAMES
from fishersft.corpus.encode import encode
from fishersft.corpus.records import canonical
from fishersft.errors import StoreError, UserError
from fishersft.export import formats
from fishersft.export.provenance import command_of, python_of
from fishersft.export.selection_report import selection_page
from fishersft.lm.folder import find_model
from fishersft.lm.hyperparameters import Training
from fishersft.lm.model import load_tokenizer
from fishersft.pipeline.selections import EXAMPLES, by_hand, kept_of, load_kept, save_selection
from fishersft.store.artifacts import Store, open_artifact

from .conftest import TEXTS, command_line

HOSTILE = "=1+1 <script>alert(1)</script> ```\n# x ---\nlicense: mit"
SHAPES = {
    "text": [{"text": t, "topic": "ab"[k % 2], "rank": k} for k, t in enumerate([*TEXTS, HOSTILE])],
    "prompt": [{"instruction": f"Say {t}", "input": "", "output": t} for t in [*TEXTS, HOSTILE]],
    "chat": [
        {"messages": [{"role": "user", "content": "Speak."}, {"role": "assistant", "content": t}]} for t in [*TEXTS, HOSTILE]
    ],
}


@pytest.fixture(params=SHAPES)
def made(request, tmp_path):
    """(shape, the corpus' file, a kept selection of five records)."""
    path = tmp_path / f"{request.param}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in SHAPES[request.param]))
    corpus = load_corpus(path, holdout=0)
    run = save_selection(corpus, embed(corpus), select(corpus, budget=5))
    return request.param, path, load_kept(run)


@pytest.fixture
def kept(jsonl):
    corpus = load_corpus(jsonl, holdout=0)
    return load_kept(save_selection(corpus, embed(corpus), select(corpus, budget=3)))


def test_the_command_offers_every_form_and_the_report():
    assert set(NAMES) == {*formats.FORMATS, "report"}


def test_a_dataset_opens_with_datasets_and_its_card_states_where_it_came_from(made, tmp_path):
    datasets = pytest.importorskip("datasets")
    shape, path, kept = made
    out = tmp_path / "set"
    formats.write_selection(kept, "dataset", out)
    found = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    assert found["index"] == kept.picks["index"].tolist()
    assert found["rank"] == [1, 2, 3, 4, 5]
    if shape == "text":
        assert found["text"] == kept.picks["text"].tolist()
        assert found["record_rank"] == kept.picks["index"].tolist()
    card = (out / "README.md").read_text()
    header = yaml.safe_load(card.split("\n---\n")[0])
    came = header["provenance"]
    assert header["license"] == "unknown"
    assert came["licence"] == "unknown: that of the source corpus"
    assert came["corpus"] == path.name
    assert came["corpus fingerprint"] == load_corpus(path, holdout=0).fingerprint
    assert (came["model"], came["selector"], came["parameters"], came["seed"]) == ("mini", "token_od", {"sigma2": 1.0}, 0)
    assert came["trained tokens"] == int(kept.picks["tokens"].sum())
    assert came["versions"]["fishersft"]
    assert came["command"] == command_of(kept, shared=True)
    assert str(path.parent) not in card  # nobody learns where a file lies


def test_the_trl_examples_are_what_is_trained_in_the_shape_that_trl_takes(made, tmp_path):
    shape, path, kept = made
    out = tmp_path / "recipe"
    formats.write_selection(kept, "trl", out)
    lines = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    wanted = {"text": {"text"}, "prompt": {"prompt", "completion"}, "chat": {"messages"}}[shape]
    assert {frozenset(line) for line in lines} == {frozenset(wanted | {"input_ids", "labels"})}
    examples = load_corpus(path, holdout=0).examples
    read = load_corpus(out / "train.jsonl", holdout=0).examples
    assert [canonical(e) for e in read] == [canonical(examples[i]) for i in kept.picks["index"]]
    settings = yaml.safe_load((out / "sft.yaml").read_text())
    usual = Training(learning_rate=1e-4)
    assert settings["datasets"] == [{"path": "json", "data_files": "train.jsonl", "split": "train"}]
    assert (settings["learning_rate"], settings["num_train_epochs"]) == (usual.learning_rate, usual.epochs)
    assert (settings["per_device_train_batch_size"], settings["max_length"]) == (usual.batch, 256)
    assert not {"assistant_only_loss", "completion_only_loss"} & set(settings)  # the labels say what is trained
    encoded = encode([examples[i] for i in kept.picks["index"]], load_tokenizer(find_model("mini")))
    assert [line["input_ids"] for line in lines] == [e.ids.tolist() for e in encoded]
    assert [line["labels"] for line in lines] == [e.labels.tolist() for e in encoded]


def test_a_recipe_whose_model_is_gone_leaves_the_encoding_to_trl(made):
    shape, _, kept = made
    manifest = {**kept.manifest, "provenance": {**kept.provenance, "model": "/gone/model"}}
    files = formats.selection_files(replace(kept, manifest=manifest), "trl")
    settings = yaml.safe_load(files["sft.yaml"])
    assert settings["model_name_or_path"] == "/gone/model"
    assert settings.get("assistant_only_loss") is (True if shape == "chat" else None)
    assert settings.get("completion_only_loss") is (True if shape == "prompt" else None)
    assert "input_ids" not in json.loads(files["train.jsonl"].splitlines()[0])
    assert b"TRL encodes by its own rules" in files["README.md"]


def test_every_key_of_the_recipe_is_one_that_trl_knows(kept):
    trl = pytest.importorskip("trl", reason="TRL is not installed")
    from dataclasses import fields

    from trl.scripts.utils import DatasetMixtureConfig

    known = {f.name for kind in (trl.SFTConfig, trl.ModelConfig, DatasetMixtureConfig) for f in fields(kind)}
    assert set(yaml.safe_load(formats.selection_files(kept, "trl")["sft.yaml"])) <= known


def test_a_hub_model_keeps_its_revision_in_the_recipe_and_the_command(kept):
    manifest = {**kept.manifest, "provenance": {**kept.provenance, "model": "gpt2", "revision": "abc", "max_tokens": 64}}
    hub = replace(kept, manifest=manifest)
    settings = yaml.safe_load(formats.selection_files(hub, "trl")["sft.yaml"])
    assert (settings["model_name_or_path"], settings["model_revision"], settings["max_length"]) == ("gpt2", "abc", 64)
    assert "--model gpt2 --revision abc --max-tokens 64" in command_of(hub)
    assert "fishersft.load_model('gpt2', revision='abc')" in python_of(hub)


def test_indices_are_one_number_a_line(made):
    _, _, kept = made
    (text,) = formats.selection_files(kept, "indices").values()
    assert [int(line) for line in text.decode().splitlines()] == kept.picks["index"].tolist()


def test_an_atlas_table_has_the_whole_pool_with_its_map_and_the_picks_marked(made):
    shape, path, kept = made
    (data,) = formats.selection_files(kept, "atlas").values()
    table = pd.read_parquet(io.BytesIO(data))
    corpus = load_corpus(path, holdout=0)
    assert table["text"].tolist() == corpus.texts
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()
    assert table["x"].nunique() > 1
    picked = table[table["picked"]].sort_values("rank")
    assert picked["index"].tolist() == kept.picks["index"].tolist()
    assert picked["gain"].tolist() == pytest.approx(kept.picks["gain"].tolist())
    assert table.loc[~table["picked"], ["rank", "gain"]].isna().all().all()
    if shape == "text":
        assert table["topic"].tolist() == corpus.fields["topic"].tolist()


def test_a_corpus_that_has_changed_is_not_taken_for_the_old_one(jsonl, kept):
    jsonl.write_text(jsonl.read_text().replace("Rain.", "Snow."))
    with pytest.raises(UserError, match="has changed"):
        formats.selection_files(kept, "atlas")
    jsonl.unlink()
    with pytest.raises(UserError, match="There is no file"):
        formats.selection_files(kept, "atlas")
    assert formats.selection_files(kept, "dataset")  # needs the picks only


def test_the_command_and_the_python_of_an_export_make_the_same_picks(made, tmp_path):
    _, _, kept = made
    out = tmp_path / "again.jsonl"
    done = command_line(*command_of(kept, out=str(out)).split()[1:])
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["index"] for line in out.read_text().splitlines()] == kept.picks["index"].tolist()
    exec(python_of(kept).split("print(")[0], scope := {})
    assert scope["picks"].indices.tolist() == kept.picks["index"].tolist()


@pytest.mark.parametrize("format", formats.FORMATS)
def test_a_download_is_the_file_or_a_zip_of_the_folder(kept, format):
    content, data = formats.selection_files(kept, format), formats.packed(kept, format)
    name = formats.packed_name(kept.name, format)
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = {n.removeprefix("token_od-3-" + format + "/"): archive.read(n) for n in archive.namelist()}
        assert found == content
    else:
        assert [data] == list(content.values())


def test_what_is_exported_from_the_screen_is_what_is_exported_from_the_store(jsonl, kept):
    corpus = load_corpus(jsonl, holdout=0)
    rows = embed(corpus)
    at_hand = kept_of(corpus, rows, select(corpus, budget=3))
    for format in ("jsonl", "csv", "indices", "trl"):
        assert formats.selection_files(at_hand, format) == formats.selection_files(kept, format)


def test_pins_are_part_of_the_command_and_the_python(jsonl, tmp_path):
    corpus = load_corpus(jsonl, holdout=0)
    chosen = select(corpus, budget=3, pinned=[7, 2], excluded=[6])
    kept = load_kept(save_selection(corpus, embed(corpus), chosen))
    out = tmp_path / "again.jsonl"
    assert "--pin 7,2 --exclude 6" in command_of(kept)
    done = command_line(*command_of(kept, out=str(out)).split()[1:])
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["index"] for line in out.read_text().splitlines()] == chosen.indices.tolist()
    exec(python_of(kept).split("print(")[0], scope := {})
    assert scope["picks"].indices.tolist() == chosen.indices.tolist()


def test_a_set_chosen_by_hand_says_so_and_is_exported_like_any_other(jsonl, tmp_path):
    corpus = load_corpus(jsonl, holdout=0)
    rows = embed(corpus)
    run = save_selection(corpus, rows, by_hand(load_pool(corpus), np.array([5, 1])), name="two of mine")
    kept = load_kept(run)
    assert command_of(kept).startswith("# chosen by hand")
    exec(python_of(kept).split("print(")[0], scope := {})
    assert scope["picks"].index.tolist() == [5, 1]
    for format in formats.FORMATS:
        assert formats.selection_files(kept, format)
    assert (
        "two of mine: 2 records of small.jsonl chosen by hand" in formats.selection_files(kept, "dataset")["README.md"].decode()
    )
    assert selection_page(kept).title == "two of mine: 2 of 8 sentences of small.jsonl, chosen by hand"
    assert selection_page(kept).html()


class TestPlaces:
    def test_nothing_is_written_over_the_corpus(self, jsonl, kept):
        before = jsonl.read_bytes()
        for format in ("jsonl", "indices", "atlas"):
            with pytest.raises(UserError, match="overwrite the corpus"):
                formats.write_selection(kept, format, jsonl)
        for format in ("dataset", "trl"):
            with pytest.raises(UserError):
                formats.write_selection(kept, format, jsonl)
        assert jsonl.read_bytes() == before

    def test_a_folder_is_never_mixed_into_another(self, kept, tmp_path):
        out = tmp_path / "full"
        out.mkdir()
        formats.write_selection(kept, "trl", out)  # an empty one is taken
        before = sorted(p.name for p in out.iterdir())
        with pytest.raises(UserError, match="already exists"):
            formats.write_selection(kept, "dataset", out)
        assert sorted(p.name for p in out.iterdir()) == before

    def test_what_fails_half_way_leaves_nothing(self, kept, tmp_path, monkeypatch):
        def full(self, data):
            if self.name == "sft.yaml":
                raise OSError(28, "No space left on device")
            return real(self, data)

        real = type(tmp_path).write_bytes
        monkeypatch.setattr(type(tmp_path), "write_bytes", full)
        with pytest.raises(StoreError, match="no space left"):
            formats.write_selection(kept, "trl", tmp_path / "out")
        assert not [p for p in tmp_path.iterdir() if p.name.startswith((".out", "out"))]


class TestCommand:
    def test_each_form_says_how_it_is_opened(self, kept, tmp_path):
        done = command_line("export", kept.id, "--format", "trl", "--out", tmp_path / "a b", "--json")
        told = json.loads(done.stdout)
        assert (told["run"], told["picks"], told["format"]) == (kept.id, 3, "trl")
        assert told["opens_with"] == f"cd '{tmp_path / 'a b'}' && trl sft --config sft.yaml"
        readme = (tmp_path / "a b/README.md").read_text().replace("`", "").replace("\\", "")
        assert len(told["notes"]) == 4
        assert all(f"- {note}\n" in readme for note in told["notes"])

    def test_the_form_follows_the_ending(self, kept, tmp_path):
        assert command_line("export", kept.id, "--out", tmp_path / "picks.txt").returncode == 0
        assert (tmp_path / "picks.txt").read_text() == command_line("export", kept.id, "--format", "indices").stdout
        refused = command_line("export", kept.id, "--out", tmp_path / "picks.xyz")
        assert refused.returncode == 2
        assert "give --format, one of jsonl" in refused.stderr

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--format", "dataset"], "not for the terminal; name a folder"),
            (["--format", "report"], "not for the terminal; name a file"),
            (["--format", "trl", "--out", "/nowhere/deep/x"], "There is no folder /nowhere/deep"),
        ],
    )
    def test_a_refusal_is_one_sentence(self, kept, arguments, sentence):
        done = command_line("export", kept.id, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1

    def test_damaged_examples_are_named(self, kept):
        (artifact,) = (
            open_artifact(folder) for folder in Store.default().folders("selection").values() if folder.name.startswith(kept.id)
        )
        path = artifact.path / EXAMPLES
        path.write_bytes(b"{" + path.read_bytes()[1:-2] + b"\n\n")
        assert "damaged" in command_line("export", kept.id, "--format", "trl", "--out", "x").stderr
