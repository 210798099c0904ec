"""Real small checkpoints load, their heads are checked, and what cannot be trusted is refused."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fishersft import load_model
from fishersft.corpus.encode import tokenized
from fishersft.errors import MissingExtra, ModelError
from fishersft.lm.folder import find_model
from fishersft.lm.model import load_tokenizer


@pytest.mark.parametrize(("name", "d", "context"), [("stories260K", 64, 512), ("slm4096-gpt2", 64, 128), ("mini", 256, 256)])
def test_gpt2_and_llama_checkpoints_load_and_their_head_is_exact(shared, name, d, context):
    lm = load_model(str(shared / "models" / name))
    assert (lm.dimension, lm.context, lm.head) == (d, context, "exact")


def test_rows_times_head_are_the_logits(shared):
    lm = load_model(str(shared / "models/stories260K"))
    ids = torch.randint(3, 512, (2, 12))
    with torch.inference_mode():
        logits = lm.network(input_ids=ids).logits
        assert torch.allclose(lm.network.lm_head(lm.rows(ids)), logits, atol=1e-4)


def tiny(tmp_path, config, kind):
    """A randomly initialised model of another family, saved with mini's tokenizer."""
    torch.manual_seed(0)
    kind(config).save_pretrained(tmp_path / "tiny")
    load_tokenizer(find_model("mini")).save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


SIZES = {"vocab_size": 4096, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_scaled_head_is_handled_and_noted(tmp_path):
    from transformers import CohereConfig, CohereForCausalLM

    config = CohereConfig(**SIZES, num_key_value_heads=2, logit_scale=0.25, pad_token_id=0, bos_token_id=0, eos_token_id=0)
    assert load_model(tiny(tmp_path, config, CohereForCausalLM)).head == "scaled by 0.25"


def test_a_capped_head_is_handled_and_noted(tmp_path):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=8, final_logit_softcapping=0.05, initializer_range=0.5)
    assert load_model(tiny(tmp_path, config, Gemma2ForCausalLM)).head == "capped at 0.05"


def test_a_head_that_does_more_is_refused(tmp_path):
    from transformers import PhiConfig, PhiForCausalLM

    config = PhiConfig(**SIZES, num_key_value_heads=2)
    model = PhiForCausalLM(config)
    torch.nn.init.normal_(model.lm_head.bias)  # a bias is part of head(rows), so it still passes
    model.save_pretrained(tmp_path / "phi")
    load_tokenizer(find_model("mini")).save_pretrained(tmp_path / "phi")
    assert load_model(str(tmp_path / "phi")).head == "exact"
    from transformers import XGLMConfig, XGLMForCausalLM

    config = XGLMConfig(vocab_size=4096, d_model=16, ffn_dim=32, num_layers=1, attention_heads=2)
    path = tiny(tmp_path, config, XGLMForCausalLM)
    lm = load_model(path)
    broken = type(lm.network.lm_head)(16, 4096, bias=False)
    from fishersft.lm.model import _check_head

    class Odd(torch.nn.Module):
        config, base_model = lm.network.config, lm.network.base_model

        def get_output_embeddings(self):
            return broken

        def forward(self, **k):
            return lm.network(**k)

    with pytest.raises(ModelError, match="are not its head times its last hidden states"):
        _check_head(Odd(), "odd", torch.device("cpu"))


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(find_model("mini").path, folder)
    return folder


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_folder_without_safetensors_is_refused(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no safetensors weights"):
        find_model(copy)


def test_pickled_weights_are_refused_and_never_opened(copy):
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    with pytest.raises(ModelError, match=r"pickled weights only \(pytorch_model.bin\)"):
        load_model(str(copy))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_model_that_asks_for_remote_code_is_refused(copy, file):
    edit(copy / file, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"})
    with pytest.raises(ModelError, match="asks to run code of its own"):
        load_model(str(copy))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (None, "names no model_type, such as gpt2"),
        ("", "names no model_type"),
        ("clip", "names the model_type clip, which continues no text"),
        ("gpt7", "names a model_type that transformers does not have, 'gpt7'"),
        (["gpt2"], r"does not have, \['gpt2'\]"),
        ("x" * 5_000, r"does not have, 'x{59}\.$"),
    ],
)
def test_a_model_of_no_known_kind_is_refused_without_a_list_of_all_kinds(copy, kind, said):
    edit(copy / "config.json", model_type=kind)
    (copy / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ModelError, match=said) as refusal:
        load_model(str(copy))
    assert len(str(refusal.value)) < 300


def replaces(old, new):
    return {"type": "Replace", "pattern": {"String": old}, "content": new}


@pytest.mark.parametrize(
    "normalizer",
    [
        {"type": "Sequence", "normalizers": [replaces("a", "a" * 8)] * 7},
        replaces("a", "b" * 20_000_000),
        {"type": "Prepend", "prepend": "x" * 10**6},
    ],
    ids=["one after the other", "at once", "before"],
)
def test_a_tokenizer_that_makes_texts_many_times_longer_is_refused(copy, normalizer):
    edit(copy / "tokenizer.json", normalizer=normalizer)
    with pytest.raises(ModelError, match=r"may make a text [\d,]+ times longer by what it replaces"):
        load_tokenizer(find_model(copy))


def test_a_tokenizer_that_gives_up_on_a_text_is_told_of(copy):
    split = {"type": "Split", "pattern": {"Regex": "(a+)+b"}, "behavior": "Isolated", "invert": False}
    before = json.loads((copy / "tokenizer.json").read_text())["pre_tokenizer"]
    edit(copy / "tokenizer.json", pre_tokenizer={"type": "Sequence", "pretokenizers": [split, before]})
    with pytest.raises(ModelError, match="tokenizer gave up on a text"):
        tokenized(load_tokenizer(find_model(copy)), ["a" * 40])


def test_replacements_that_keep_a_text_about_as_long_are_read(copy):
    edit(copy / "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [replaces(" ", "▁"), replaces("``", '"')] * 4})
    assert load_tokenizer(find_model(copy))("a heron")["input_ids"]


@pytest.mark.timeout(60)
def test_odd_settings_and_what_is_no_file_are_passed_over_or_refused(copy):
    usual = find_model(copy)
    edit(copy / "config.json", text_config=["no", "object"], max_position_embeddings=True)
    (copy / "additional_chat_templates" / "folder.jinja").mkdir(parents=True)
    os.mkfifo(copy / "additional_chat_templates" / "pipe.jinja")
    found = find_model(copy)
    assert (found.context, found.has_chat_template, len(found.fingerprint)) == (usual.context, False, 64)
    (copy / "tokenizer_config.json").unlink()
    os.mkfifo(copy / "tokenizer_config.json")
    with pytest.raises(ModelError, match=r"tokenizer_config.json cannot be read \(it is a pipe"):
        find_model(copy)


def test_broken_missing_and_foreign_parts_get_a_sentence(copy, tmp_path):
    weights = load_file(copy / "model.safetensors")
    first = next(iter(weights))
    save_file({k: v for k, v in weights.items() if k != first}, copy / "model.safetensors")
    with pytest.raises(ModelError, match="lacks weights"):
        load_model(str(copy))
    (copy / "model.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model(str(copy))
    (copy / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_model(str(copy))
    with pytest.raises(ModelError, match="has no config.json"):
        find_model(tmp_path)
    with pytest.raises(ModelError, match="is a file"):
        find_model(copy / "config.json")
    with pytest.raises(ModelError, match="no model folder"):
        find_model("./nowhere")


def test_a_hub_id_without_a_network_gets_a_sentence():
    with pytest.raises(ModelError, match="the hub could not be reached"):
        find_model("nobody/nothing")


def test_the_fingerprint_follows_the_weights(copy):
    assert find_model(copy).fingerprint == find_model("mini").fingerprint
    weights = load_file(copy / "model.safetensors")
    first = next(iter(weights))
    weights[first] = weights[first] + 1
    save_file(weights, copy / "model.safetensors")
    assert find_model(copy).fingerprint != find_model("mini").fingerprint


def test_the_fingerprint_follows_every_chat_template(copy):
    seen = [find_model(copy).fingerprint]
    assert not find_model(copy).has_chat_template
    for place in ("chat_template.jinja", "additional_chat_templates/tool_use.jinja"):
        (copy / place).parent.mkdir(exist_ok=True)
        (copy / place).write_text("{{ messages }}")
        seen.append(find_model(copy).fingerprint)
        assert find_model(copy).has_chat_template
    assert len(set(seen)) == 3


def test_a_gguf_file_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    for name in (tmp_path, tmp_path / "model.gguf"):
        with pytest.raises(MissingExtra, match=r"Reading a GGUF file needs the extra 'gguf'"):
            find_model(name)


def test_an_unknown_device_gets_a_sentence():
    with pytest.raises(ModelError, match="device 'warp' is not available"):
        load_model("mini", device="warp")


def test_padding_changes_no_row():
    lm = load_model("mini")
    ids = torch.randint(1, 4096, (1, 9))
    padded = torch.cat([ids, torch.zeros(1, 20, dtype=torch.long)], 1)
    assert np.allclose(lm.rows(ids), lm.rows(padded)[:, :9], atol=1e-5)


@pytest.mark.slow
def test_two_threads_may_be_the_first_to_load_a_tokenizer():
    """The library makes its parts on first touch; a visitor's second click must not meet a half-made one."""
    code = (
        "import threading\n"
        "from fishersft.lm.folder import find_model\n"
        "from fishersft.lm.model import load_tokenizer\n"
        "folder, got = find_model('mini'), []\n"
        "threads = [threading.Thread(target=lambda: got.append(load_tokenizer(folder))) for _ in range(6)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print(len(got))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "6", done.stderr


# sizes under every name that a family may have for them; those that a family does not know are left out
TINY = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim", "embedding_size"), 32),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "d_ff", "n_inner", "intermediate_size_mlp"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx"), 64),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 0),
    **dict.fromkeys(("linear_num_value_heads", "linear_num_key_heads"), 2),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim", "rotary_dim", "head_dim", "state_size"), 8),
    "vocab_size": 4096,
    "vocab_size_per_layer_input": 4096,
    "hidden_size_per_layer_input": 8,
    "num_kv_shared_layers": 0,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "decoder_ffn_dim": 64,
    "layer_types": None,
    "sliding_window": 16,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
}
TEXT_HEADS = {"bert", "electra"}  # their heads do more than multiply; refused in one sentence
FEW = ["gpt2", "llama", "qwen3", "gemma3_text", "llama4_text", "bert"]
MANY = """
apertus arcee aria_text bart bitnet bloom codegen cohere2 ctrl cwm diffllama doge dots1 electra ernie4_5 ernie4_5_moe exaone4
falcon falcon_mamba flex_olmo gemma gemma2 gemma3n_text gemma4_text glm glm4 glm4_moe gpt_bigcode gpt_neox gpt_oss gptj
granite granitemoe helium hunyuan_v1_dense jamba jetmoe lfm2 mamba minimax mistral ministral mixtral mpt nemotron olmo olmo2
olmo3 olmoe opt persimmon phi phi3 phimoe qwen2 qwen3_moe qwen3_next qwen3_5_text rwkv seed_oss smollm3 stablelm starcoder2
xglm
""".split()  # noqa: SIM905 - a list of names reads better so


def family(name, folder):
    """A small random model of a family, with mini's tokenizer."""
    import inspect

    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KINDS

    if name not in KINDS:
        pytest.skip(f"this version of transformers does not have the family {name}")
    config = transformers.CONFIG_MAPPING[name]
    known = {*inspect.signature(config.__init__).parameters, *config.attribute_map}
    torch.manual_seed(0)
    sized = config(**{size: value for size, value in TINY.items() if size in known})
    getattr(transformers, KINDS[name])(sized).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(find_model("mini").path / file, folder)
    return str(folder)


def check_family(name, folder):
    model = family(name, folder)
    if name in TEXT_HEADS:
        with pytest.raises(ModelError, match=r"^The (logits of the )?model [^.]*\.$"):
            load_model(model)
        return
    lm = load_model(model)
    ids = torch.randint(1, 4096, (2, 9))
    with torch.inference_mode():
        assert torch.allclose(lm.logits(lm.rows(ids)), lm.network(input_ids=ids, use_cache=False).logits, atol=1e-4)


@pytest.mark.parametrize("name", FEW)
def test_a_family_is_read_or_refused_in_one_sentence(tmp_path, name):
    check_family(name, tmp_path)


@pytest.mark.rare
@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_many_families_are_read_or_refused_in_one_sentence(tmp_path, name):
    check_family(name, tmp_path)


def test_a_model_that_reads_pictures_as_well_is_read_by_its_part_for_texts(tmp_path):
    from transformers import Llama4Config, Llama4ForCausalLM

    text = {k: TINY[k] for k in ("vocab_size", "hidden_size", "intermediate_size", "intermediate_size_mlp", "num_hidden_layers")}
    text |= {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "num_local_experts": 2,
        "max_position_embeddings": 64,
    }
    config = Llama4Config(text_config={**text, "pad_token_id": 0})
    Llama4ForCausalLM(config.text_config).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config.to_dict(), "vision_config": {}}))
    load_tokenizer(find_model("mini")).save_pretrained(tmp_path)
    assert find_model(tmp_path).context == 64


@pytest.mark.parametrize("more", [{"n_layer": 100_000}, {"n_embd": 2**16, "n_head": 2**10}])
def test_a_configuration_that_promises_more_than_its_files_hold_is_refused_before_it_is_built(tmp_path, more):
    shutil.copytree(find_model("mini").path, tmp_path / "model")
    file = tmp_path / "model" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))
    with pytest.raises(ModelError, match=r"describes [\d,]+ (layers|weights), which its files do not hold; download it again\.$"):
        load_model(tmp_path / "model")


def test_a_model_whose_parts_do_not_fit_is_refused_in_one_sentence(tmp_path, monkeypatch):
    from fishersft.lm import model

    monkeypatch.setattr(model, "_check_head", lambda *a: torch.ones(2) @ torch.ones(3))
    with pytest.raises(ModelError, match="cannot read a text by itself: inconsistent tensor size"):
        load_model("mini")
