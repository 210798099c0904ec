"""Word vectors as files have them, and sentences drawn from them."""

import struct

import numpy as np
import pytest

from fishersft.errors import CorpusError, ParameterError
from fishersft.experiments.word_vectors import input_embeddings, read_vectors
from fishersft.experiments.worlds import Words
from fishersft.lm.model import load_model

VECTORS = np.array([[0.5, -1.0, 2.0], [1.0, 0.0, 0.25], [-3.0, 1.5, 0.0]], dtype=np.float32)
NAMES = ("the", "of", "caffè")


def lines(vectors=VECTORS, names=NAMES):
    return [f"{n} {' '.join(f'{v:g}' for v in row)}" for n, row in zip(names, vectors, strict=True)]


def write(path, text):
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def binary(path, vectors=VECTORS, newline=b"\n"):
    body = b"".join(n.encode() + b" " + struct.pack("<3f", *row) + newline for n, row in zip(NAMES, vectors, strict=True))
    path.write_bytes(f"{len(vectors)} 3\n".encode() + body)
    return path


def test_a_header_whose_numbers_have_no_end_is_no_header(tmp_path):
    path = tmp_path / "v.txt"
    path.write_bytes(b"9" * 5_000 + b" 3\na 1 2 3\nb 4 5 6\n")
    with pytest.raises(CorpusError, match=r"Line 2 of .* has 3 numbers where the lines before have 1"):
        read_vectors(path)


def test_glove_text_word2vec_text_and_binary_hold_the_same_vectors(tmp_path):
    glove = read_vectors(write(tmp_path / "a.txt", lines()))
    word2vec = read_vectors(write(tmp_path / "b.txt", ["3 3", *lines()]))
    np.testing.assert_array_equal(glove, VECTORS)
    np.testing.assert_array_equal(word2vec, VECTORS)
    for newline in (b"\n", b""):  # both are found
        np.testing.assert_array_equal(read_vectors(binary(tmp_path / "c.bin", newline=newline)), VECTORS)


def test_only_the_first_words_are_read(tmp_path):
    broken_later = write(tmp_path / "a.txt", [*lines(), "broken"])
    assert read_vectors(broken_later, 2).shape == (2, 3)


def test_a_word_may_hold_spaces(tmp_path):
    path = write(tmp_path / "a.txt", lines(names=("the", ". . .", "at name@domain.com")))
    np.testing.assert_array_equal(read_vectors(path), VECTORS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ([*lines(), "x 1 2 three"], "Line 4 of .* is not a word and 3 numbers"),
        ([*lines(), "x 1 2 nan"], "Line 4 of .* is not a word and 3 numbers"),
        ([lines()[0], "", *lines()[1:]], "Line 2 of .* is not a word and 3 numbers"),
        ([*lines(), "x 1 2"], "Line 4 of .* has 2 numbers where the lines before have 3"),
        ([*lines(), "x 1 2 3 4"], "Line 4 of .* has 4 numbers where the lines before have 3"),
        (["3 4", *lines()], "Line 2 of .* has 3 numbers where the lines before have 4"),
        (["alone"], "Line 1 of"),
        ([lines()[0]], "at least 2 are needed"),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path, text, sentence):
    with pytest.raises(CorpusError, match=sentence):
        read_vectors(write(tmp_path / "a.txt", text))


@pytest.mark.parametrize(("count", "dimension"), [(5, 99_999_999_999), (99_999_999_999, 3), (5, 0)])
def test_a_header_that_the_file_cannot_hold_is_refused_with_its_numbers(tmp_path, count, dimension):
    path = tmp_path / "a.bin"
    path.write_bytes(f"{count} {dimension}\n".encode() + b"w0 \x00\x00\x80?\x00\x00\x00@\x00\x00@@" * 5)
    with pytest.raises(CorpusError, match=f"{count:,} vectors of {dimension:,} numbers"):
        read_vectors(path)


def test_a_binary_file_that_ends_early_is_named(tmp_path):
    path = binary(tmp_path / "a.bin")
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(CorpusError, match="within vector 3 of 3"):
        read_vectors(path)


def test_a_file_that_is_not_there_gets_a_sentence(tmp_path):
    with pytest.raises(CorpusError, match="cannot be read"):
        read_vectors(tmp_path / "none.txt")


def test_rows_of_words_have_the_promised_length_and_frequent_words_come_often():
    vectors = np.random.default_rng(0).normal(size=(500, 30)) * np.arange(1, 31)
    made = Words(vectors=vectors, source="drawn", dimension=5, sentences=2_000, zipf=1.0).problem(0)
    assert made.embeddings.values.shape[1] == 5
    _, counts = np.unique(made.embeddings.values, axis=0, return_counts=True)
    assert counts.max() / counts.sum() == pytest.approx(1 / np.sum(1 / np.arange(1, 501)), rel=0.1)
    even = Words(vectors=vectors, source="drawn", dimension=5, sentences=2_000, zipf=0.0).problem(0)
    assert (even.embeddings.values**2).sum(1).mean() == pytest.approx(5, rel=0.05)


def test_more_directions_than_the_vectors_have_are_refused():
    with pytest.raises(ParameterError, match="--dimension 4 is above"):
        Words(vectors=VECTORS, source="three", dimension=4)


@pytest.fixture(scope="module")
def mini():
    return load_model("mini", device="cpu")


def test_the_models_own_input_embeddings_are_a_world_of_words(mini):
    rows = input_embeddings(mini, 300)
    np.testing.assert_array_equal(rows, mini.network.get_input_embeddings().weight.detach()[:300].numpy())
    assert Words(vectors=rows, source=mini.name, dimension=4).settings["words"] == 300
