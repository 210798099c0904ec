"""GGUF files are written out once as a folder, with the numbers that they hold, and are used as any other model."""

import numpy as np
import pytest

from fishersft import embed, load_corpus, load_model
from fishersft.corpus.encode import encoding_sentences
from fishersft.errors import ModelError
from fishersft.lm.folder import find_model
from fishersft.lm.gguf import dequantised

gguf = pytest.importorskip("gguf", reason="the package gguf is not installed")


@pytest.fixture
def file(tmp_path):
    """A Llama of one layer and nine tokens with weights of 8 bits, and the head that it was made of."""
    path, d = tmp_path / "models/tiny.gguf", 32
    path.parent.mkdir()
    out, rng = gguf.GGUFWriter(str(path), "llama"), np.random.default_rng(0)
    out.add_context_length(64)
    out.add_embedding_length(d)
    out.add_block_count(1)
    out.add_feed_forward_length(64)
    out.add_head_count(4)
    out.add_head_count_kv(2)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(8)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("default")
    out.add_token_list(["<|endoftext|>", *"abcdef", "ab", "Ġ"])
    out.add_token_types([3, *[1] * 8])
    out.add_token_merges(["a b"])
    out.add_bos_token_id(0)
    out.add_eos_token_id(0)
    out.add_chat_template("{% for m in messages %}{{ m.role[0] }} {{ m.content }}{{ eos_token }}{% endfor %}")
    eight = gguf.GGMLQuantizationType.Q8_0
    sizes = {"token_embd": (9, d), "output": (9, d), "blk.0.attn_q": (d, d), "blk.0.attn_k": (16, d), "blk.0.attn_v": (16, d)}
    sizes |= {"blk.0.attn_output": (d, d), "blk.0.ffn_gate": (64, d), "blk.0.ffn_up": (64, d), "blk.0.ffn_down": (d, 64)}
    for name, size in sizes.items():
        packed = gguf.quants.quantize(rng.normal(size=size).astype(np.float32) * 0.1, eight)
        out.add_tensor(f"{name}.weight", packed, raw_dtype=eight)
        if name == "output":
            path.with_suffix(".head").write_bytes(gguf.quants.dequantize(packed, eight).tobytes())
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        out.add_tensor(f"{name}.weight", np.ones(d, np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def test_a_gguf_file_or_its_folder_is_a_model_and_said_to_be_dequantised(file, tmp_path):
    model = load_model(str(file))
    head = np.frombuffer(file.with_suffix(".head").read_bytes(), np.float32).reshape(9, 32)
    assert np.allclose(model.network.get_output_embeddings().weight.detach(), head, rtol=1e-3)  # as exactly as 16 bits hold them
    assert (model.context, model.head, model.folder.has_chat_template) == (64, "exact", True)
    assert find_model(file.parent).path == find_model(file).path == dequantised(file)
    path = tmp_path / "c.jsonl"
    path.write_text('{"prompt": "ab", "completion": "cd"}\n{"prompt": "b", "completion": "fa"}\n')
    facts = embed(load_corpus(path, holdout=0), model).facts
    assert facts["tokens"] == 6  # two letters and the end mark of each
    said = encoding_sentences(facts)
    assert said[0].startswith("The weights of tiny.gguf are quantised; they are read as 16-bit numbers")
    assert "chat template" in said[1]


def test_it_is_written_out_once_and_again_when_the_file_changes(file, monkeypatch):
    first = dequantised(file)
    with monkeypatch.context() as patch:
        patch.setattr("fishersft.lm.gguf._read", lambda f: pytest.fail("it was read again"))
        assert dequantised(file) == first
    file.touch()
    assert dequantised(file) != first


def test_what_is_no_gguf_and_several_of_them_get_a_sentence(file):
    broken = file.with_name("broken.gguf")
    broken.write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(ModelError, match="broken.gguf could not be read"):
        find_model(broken)
    with pytest.raises(ModelError, match="has 2 GGUF files; name one of them"):
        find_model(file.parent)
