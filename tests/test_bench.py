"""The benchmarks: rivals that make our picks, pools that are what they say, extrapolations that are called so."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from fishersft.corpus.load import load_corpus
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import BudgetError, ParameterError, UserError
from fishersft.experiments.timing import Boxed, Progressed, agreeing, boxed
from fishersft.lm.model import load_model
from fishersft.selectors import Pool
from tests.bench import coverage, embedding, large, machine, operations, peers, pools, rivals, selection
from tests.bench.__main__ import bench
from tests.bench.report import MEASURED, Row
from tests.reference import algorithm_1

from .conftest import ROOT

TINY = {"sentences": 60, "dimension": 8, "picks": 12}


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def tiny():
    return pools.generate(60, 8, seed=3).embeddings


@pytest.fixture(scope="module")
def blocks(tiny):
    return [tiny.block(i) for i in range(len(tiny))]


@pytest.fixture(scope="module")
def model():
    return load_model("mini", device="cpu")


@pytest.fixture(autouse=True)
def small_peaks(monkeypatch):
    monkeypatch.setattr(machine, "gemm_peak", lambda dtype, device="cpu": 1e9 if dtype == torch.float64 else 2e9)


class TestRivals:
    @pytest.mark.parametrize("way", list(selection.RIVALS))
    def test_every_way_picks_what_algorithm_1_picks(self, way, tiny, blocks):
        events = selection.RIVALS[way].events(tiny, 1.0)
        done = boxed(events, 40, 60.0, lambda k, seconds: None)
        assert done.picks == algorithm_1(blocks, 40)[0]

    @pytest.mark.parametrize("way", list(selection.RIVALS))
    def test_copies_of_one_sentence_are_taken_in_their_order(self, way):
        X = np.random.default_rng(0).normal(size=(3, 4))
        same = TokenEmbeddings.of([X] * 5)
        events = selection.RIVALS[way].events(same, 0.5)
        assert boxed(events, 5, 60.0, lambda k, seconds: None).picks == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("way", ["naive", "algorithm_1"])
    def test_ways_that_see_all_take_the_evaluations_that_are_extrapolated_with(self, way, tiny):
        rival = selection.RIVALS[way]
        done = boxed(rival.events(tiny, 1.0), 9, 60.0, lambda k, seconds: None)
        assert done.evaluations == rival.evaluations(60, 9)

    def test_the_index_scan_passes_batches_over_and_the_smaller_the_batch_the_more(self, tiny):
        blocks = tiny
        work = [boxed(rivals.index_scan(blocks, 1.0, b), 20, 60.0, lambda k, seconds: None).evaluations for b in (1, 8, 60)]
        assert work[0] < work[1] < work[2] == sum(60 - k for k in range(20))

    @pytest.mark.parametrize("way", [rivals.fast_map, rivals.lazy_fast_map])
    def test_fast_map_on_one_row_a_sentence_picks_what_algorithm_1_picks(self, tiny, way):
        picks = [s.position for s in way(torch.from_numpy(tiny.means), 30, 0.7) if s.position is not None]
        assert picks == algorithm_1([m[None] for m in tiny.means], 30, 0.7)[0]


class TestPool:
    def test_the_same_seed_gives_the_same_pool_and_another_seed_another(self):
        a, b, c = (pools.generate(700, 4, seed).embeddings for seed in (1, 1, 2))
        assert np.array_equal(a.values, b.values) and np.array_equal(a.offsets, b.offsets)
        assert not np.array_equal(a.offsets, c.offsets)

    def test_one_sentence_in_a_hundred_repeats_an_earlier_one_exactly(self):
        made = pools.generate(700, 4)
        copies = np.flatnonzero(made.original != np.arange(700))
        assert len(copies) == 7
        for i in copies:
            source = made.original[i]
            assert source < i and made.original[source] == source
            assert np.array_equal(made.embeddings.block(i), made.embeddings.block(source))
        assert len({made.embeddings.block(i).tobytes() for i in range(700)}) == 693

    def test_the_spectrum_falls_as_one_over_j_and_squared_norms_are_d_on_average(self):
        values = pools.generate(4_000, 16).embeddings.values.astype(float)
        eigenvalues = np.linalg.eigvalsh(values.T @ values / len(values))[::-1]
        assert np.polyfit(np.log(np.arange(1, 17)), np.log(eigenvalues), 1)[0] == pytest.approx(-1, abs=0.15)
        assert (values**2).sum(1).mean() == pytest.approx(16, rel=0.15)
        assert pools.spectrum(16).sum() == pytest.approx(16)

    def test_sentences_of_a_topic_lie_closer_than_those_of_others(self):
        made = pools.generate(500, 32)
        means, first = made.embeddings.means, made.topic == 0
        centre = means[first].mean(0)
        distance = np.linalg.norm(means - centre, axis=1)
        assert np.median(distance[first]) < np.quantile(distance[~first], 0.1)

    def test_lengths_are_log_normal_with_mean_30_and_end_at_128(self):
        lengths = pools.generate(8_000, 1).embeddings.tokens
        assert lengths.mean() == pytest.approx(29.6, abs=0.6)
        assert lengths.max() == 128 and lengths.min() >= 1
        assert np.log(lengths).std() == pytest.approx(pools.LENGTH_SPREAD, abs=0.03)

    def test_near_equal_lengths_stay_within_a_tenth_of_the_mean(self):
        lengths = pools.generate(500, 1, near_equal=True).embeddings.tokens
        assert (lengths.min(), lengths.max()) == (27, 33)

    def test_the_pool_in_a_file_is_the_one_in_memory_rounded_to_float16(self, tmp_path):
        kept, mapped = (pools.generate(1_100, 5, 9, file=f).embeddings for f in (None, tmp_path / "values.bin"))
        assert isinstance(mapped.values, np.memmap) and not mapped.values.flags.writeable
        assert np.array_equal(mapped.values, kept.values.astype(np.float16))
        assert np.array_equal(mapped.offsets, kept.offsets)

    def test_a_folder_that_is_not_there_is_one_sentence(self, tmp_path):
        with pytest.raises(UserError, match="could not be written"):
            pools.generate(5, 2, file=tmp_path / "none" / "values.bin")


class TestTimeBox:
    def test_a_way_is_stopped_within_a_pick(self):
        def endless():
            yield Progressed(None, 0)
            for k in range(1, 10**9):
                yield Progressed(None, k)

        done = boxed(endless(), 5, 0.01, lambda k, seconds: None)
        assert done.picks == [] and 0 < done.evaluations < 10**9 - 1

    def test_all_picks_made_is_a_measurement(self):
        assert rivals.extrapolated(Boxed([4, 2], 0.5, 3.0, 20, [(1.5, 10), (3.0, 20)]), 2, 20) == (3.0, MEASURED)

    def test_a_way_that_sees_all_is_extrapolated_by_evaluations_after_its_preparation(self):
        done = Boxed([4, 2], 1.0, 6.0, 25, [(3.0, 10), (5.0, 20)])
        assert rivals.extrapolated(done, 10, 100) == (1.0 + 4.0 * 5, "extrapolated from 2 picks")

    def test_without_a_whole_pick_the_evaluations_are_named(self):
        assert rivals.extrapolated(Boxed([], 0.0, 2.0, 400, []), 10, 4_000) == (20.0, "extrapolated from 400 evaluations")

    def test_the_scan_is_extrapolated_on_a_line_through_the_second_half_of_its_picks(self):
        done = Boxed([1, 2, 3, 4, 5], 0.0, 13.0, 0, [(5.0, 50), (9.0, 70), (11.0, 80), (12.0, 85), (13.0, 90)])
        assert rivals.extrapolated(done, 15, None) == (13.0 + 10 * 1.0, "extrapolated linearly from 5 picks")
        two = Boxed([1, 2], 0.0, 9.0, 0, [(5.0, 50), (7.0, 55)])
        assert rivals.extrapolated(two, 3, None) == (9.0, "extrapolated linearly from 2 picks")
        nothing, why = rivals.extrapolated(Boxed([1], 0.0, 9.0, 0, [(5.0, 50)]), 11, None)
        assert nothing is None and "too few to extrapolate" in why

    def test_agreement_counts_the_first_picks_that_are_the_same(self):
        assert [agreeing([1, 2, 3], other) for other in ([1, 2, 3, 9], [1, 5, 3], [7], [])] == [3, 1, 0, 0]


class TestSelection:
    def test_a_run_has_a_row_a_way_and_all_agree(self):
        report = selection.run(**TINY, box_seconds=30)
        ways = {r.way: r for r in report.rows}
        assert {"ours", *selection.RIVALS, "sentence_od", "fast_map", "lazy_fast_map"} <= set(ways)
        for way in selection.RIVALS:
            assert (ways[way].picks, ways[way].same, ways[way].basis) == (12, 12, MEASURED)
        assert ways["naive"].evaluations_a_pick == 60
        assert ways["fast_map"].same == 12
        assert ways["ours"].ratio == 1 and ways["naive"].ratio == ways["naive"].seconds_for_n / ways["ours"].seconds_for_n

    def test_what_did_not_finish_says_that_it_is_extrapolated(self, monkeypatch):
        # one event a second: no clock but this one decides
        clock = iter(np.arange(0.0, 1e6, 1.0))
        monkeypatch.setattr("fishersft.experiments.timing.time.perf_counter", lambda: float(next(clock)))
        report = selection.run(**TINY, box_seconds=150, only=["algorithm_1"])
        row = report.row("algorithm_1")
        assert row.picks == 2 and row.seconds_for_n > row.seconds
        assert row.basis == "extrapolated from 2 picks"
        assert "(extrapolated from 2 picks)" in report.markdown()
        assert "yes, 2 of 2" in report.markdown()

    def test_picks_that_differ_are_told(self):
        row = Row("x", "x", "blocks", 9, 1.0, 1.0, same=4)
        assert row.verdict == "first 4 of 9"
        assert replace(row, same=9).verdict == "yes, 9 of 9"

    @pytest.mark.parametrize(("load", "said"), [(0.0, False), (None, False), (64.0, True)])
    def test_a_busy_machine_is_told(self, load, said, monkeypatch):
        monkeypatch.setattr(machine, "load", lambda: load)
        monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
        assert ("kept the machine busy" in selection.run(**TINY, only=["ours"]).markdown()) is said

    def test_other_selectors_get_their_regret(self):
        report = selection.run(**TINY, only=["ours"], also=["token_od:sigma2=1", "uniform"])
        assert report.row("token_od:sigma2=1").regret == pytest.approx(0, abs=1e-9)
        assert report.row("uniform").regret > 0.3
        assert "Regret" in report.markdown()
        assert selection.regret(7.0, 10.0, 4.0) == 0.5

    def test_a_mapped_pool_runs_ours_alone_and_says_so(self):
        report = selection.run(**TINY, memory_mapped=True)
        assert [r.way for r in report.rows] == ["ours"]
        assert "naive" in " ".join(report.not_run)
        assert "float16 in a mapped file" in report.markdown()

    def test_every_table_of_the_markdown_has_as_many_cells_in_each_row(self):
        report = selection.run(**TINY, also=["longest"])
        for block in report.markdown().split("\n\n"):
            if block.startswith("|"):
                assert len({line.count("|") for line in block.splitlines()}) == 1

    def test_operations_of_one_pick_by_hand(self):
        # two sentences of 2 and 3 rows, d = 4; one pick of 3 rows, one evaluation after the sweep
        screen, update = operations.of_ours(np.array([2, 3]), np.array([3]), 3, 4)
        gram = {M: 2 * M * M * 4 + M**3 / 3 for M in (2, 3)}
        assert screen == pytest.approx(gram[2] + gram[3] + 3 * 16 + gram[3])
        assert update == pytest.approx(2 * 3 * 16 + 64 / 3)

    def test_rows_above_d_are_counted_by_the_smaller_product(self):
        assert operations.of_ours(np.array([10]), np.array([10]), 1, 4)[0] == pytest.approx(2 * 10 * 4 * 4 + 64 / 3)

    def test_operations_of_the_slow_ways_by_hand(self):
        report = selection.run(**{**TINY, "picks": 1}, box_seconds=30, only=["naive", "algorithm_1"])
        T, squares, cubes = (float((pools.generate(60, 8).embeddings.tokens ** k).sum()) for k in (1, 2, 3))
        assert report.row("naive").flops_for_n == pytest.approx(2 * T * 64 + 2 * squares * 8 + cubes / 3)
        assert report.row("algorithm_1").flops_for_n == pytest.approx(2 * T * 64 + 60 * 2 * 512 / 3)

    def test_a_missing_peer_is_named_with_what_to_install(self, monkeypatch):
        def missing():
            raise ModuleNotFoundError("No module named 'submodlib'", name="submodlib")

        peer = replace(next(p for p in peers.PEERS if p.name == "submodlib"), load=missing)
        monkeypatch.setattr(peers, "PEERS", (peer,))
        report = selection.run(**TINY, only=["submodlib"])
        assert "not installed (submodlib); pip install submodlib-py" in report.markdown()

    @pytest.mark.parametrize("peer", [p for p in peers.PEERS if p.install], ids=lambda p: p.name)
    def test_an_installed_peer_makes_distinct_picks(self, peer, tiny):
        try:
            picks, seconds = peers.pick(peer, Pool(tiny), 10, 1.0)
        except peers.NotRunError as reason:
            pytest.skip(str(reason))
        assert len(set(picks)) == 10 and seconds > 0
        if peer.ours == "sentence_od":
            assert picks == algorithm_1([m[None] for m in tiny.means], 10)[0]

    @pytest.mark.parametrize(
        ("wrong", "kind", "said"),
        [
            ({"picks": 61}, BudgetError, "--picks 61 is above the 60 sentences"),
            ({"picks": 0}, UserError, "--picks must be above 0"),
            ({"box_seconds": 0}, UserError, "--box must be above 0"),
            ({"only": ["fast"]}, UserError, "There is no way 'fast'"),
            ({"also": ["token_od:sigma2"]}, UserError, "--also takes NAME"),
            ({"also": ["none"]}, ParameterError, "There is no selector 'none'"),
            ({"device": "abacus"}, UserError, "'abacus' is not available"),
        ],
    )
    def test_a_wrong_argument_is_one_sentence(self, wrong, kind, said):
        with pytest.raises(kind, match=said):
            selection.run(**{**TINY, **wrong})


class TestEmbedding:
    def test_all_ways_read_the_same_rows(self, jsonl, model):
        report = embedding.run(load_corpus(str(jsonl)), model, texts=3, box_seconds=30)
        ours, *others = report.rows
        assert [r.way for r in report.rows] == ["ours", "no_head", "one_text"]
        assert {r.texts for r in report.rows} == {3} and {r.tokens for r in report.rows} == {ours.tokens}
        for row in others:
            assert row.largest_difference < 1e-4
        json.dumps(report.as_dict())
        assert "one text a call, with logits" in report.markdown()

    def test_weights_that_multiply_are_counted_from_the_configuration(self, model):
        c = model.network.config
        weights, attention = embedding.model_flops(model, np.array([5, 7]))
        assert weights == c.n_layer * 12 * c.n_embd**2  # q, k, v, out and a hidden layer of 4 d
        assert attention == 4 * c.n_layer * c.n_embd * (25 + 49)

    def test_no_more_texts_are_read_than_asked(self, jsonl, model):
        assert embedding.run(load_corpus(str(jsonl)), model, texts=2).problem["texts"] == 2
        with pytest.raises(UserError, match="--texts must be above 0"):
            embedding.run(load_corpus(str(jsonl)), model, texts=0)


class TestMachine:
    def test_the_number_of_threads_is_put_back(self):
        before = torch.get_num_threads()
        with machine.threads(1) as used:
            assert used == torch.get_num_threads() == 1
        assert torch.get_num_threads() == before

    def test_peak_memory_remembers_what_was_held_for_a_moment(self):
        code = "from tests.bench.machine import peak_memory as p; import numpy; a = p(); numpy.ones(25_000_000); print(a, p())"
        told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        before, after = told.split()
        if before == "None":
            pytest.skip("this system does not say")
        assert int(after) - int(before) == pytest.approx(200e6, rel=0.2)

    def test_nobody_is_named(self):
        import platform

        assert platform.node() not in json.dumps(machine.describe())


class TestCommand:
    def test_json_is_one_document_with_the_rows(self):
        done = CliRunner().invoke(
            bench,
            [
                "selection",
                "--sentences",
                "60",
                "--dimension",
                "8",
                "--picks",
                "5",
                "--only",
                "naive,index_scan",
                "--json",
            ],
        )
        assert done.exit_code == 0, done.output
        report = json.loads(done.stdout)
        assert [r["way"] for r in report["rows"]] == ["ours", "index_scan", "naive"]
        assert {"label", "picks", "seconds", "seconds_for_n", "basis", "evaluations_a_pick", "ratio", "same"} <= set(
            report["rows"][0]
        )
        assert report["facts"]["peak_memory_bytes"] and report["facts"]["gemm_pass_seconds"] > 0
        assert report["problem"]["tokens"] > 60

    @pytest.mark.slow
    def test_more_picks_than_sentences_are_refused_in_one_sentence(self):
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench", "selection", "--sentences", "5", "--picks", "10"],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1 and "--picks 10 is above the 5 sentences" in done.stderr

    def test_embedding_prints_a_table_and_keeps_progress_off_it(self, jsonl):
        done = CliRunner().invoke(bench, ["embedding", str(jsonl), "--texts", "2", "--json"])
        assert done.exit_code == 0, done.output
        assert [r["way"] for r in json.loads(done.stdout)["rows"]] == ["ours", "no_head", "one_text"]


@pytest.mark.rare
@pytest.mark.slow
def test_every_line_of_the_large_benchmark_is_measured_beside_its_target_and_says_what_misses(monkeypatch):
    monkeypatch.setattr(large, "TARGET_TOKENS", 300)
    report = large.run(large.Given(sentences=30))
    for line in large.LINES:
        assert f"| {line.name} |" in report
    assert f"at most {large.LINES[0].target:g} s" in report and "nan" not in report
    never = large.Line("never", 0.0, lambda given: (2.0, "3 of 4 picks"))
    assert never.row(never.measure(None), 1_500_000_000) == (
        "never",
        "more than 2 s, 3 of 4 picks, missed",
        "at most 0 s",
        "1.5 GB",
    )
    with pytest.raises(UserError, match="No line"):
        large.run(large.Given(sentences=30), ["nothing"])


def test_simulated_intervals_with_few_seeds_hold_the_truth_more_often_than_a_bootstrap_over_seeds():
    rows = [line.strip("| ").split(" | ") for line in coverage.differences(40, 0, lambda done, total: None).splitlines()[2:]]
    found = {(luck, int(seeds)): (float(ours[:-1]), float(drawn[:-1])) for luck, seeds, ours, drawn in rows}
    assert len(found) == 8
    assert all(ours >= 85 for (_, seeds), (ours, _) in found.items() if seeds > 1)
    assert found["larger", 2][0] > found["larger", 2][1]


def test_a_simulated_curve_has_a_truth_that_its_interval_is_held_against():
    rows = coverage.tokens(2, 0, lambda done, total: None).splitlines()[2:]
    assert len(rows) == 12
    assert coverage.loss(0) > coverage.loss(coverage.EQUAL) > coverage.loss(coverage.WHOLE)
