"""Many workers give the answer of one process, whatever happens to them."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from fishersft import Store, TokenEmbeddings, embed, load_corpus, make_selector, select
from fishersft.corpus.records import Corpus
from fishersft.design.greedy import Contender, greedy, winner_of
from fishersft.design.rows import open_mapped, where_mapped
from fishersft.distributed import engine as readers
from fishersft.distributed import greedy as distributed
from fishersft.distributed.cluster import Crew, Worker, connected, kept, seats
from fishersft.distributed.engine import Engine
from fishersft.distributed.greedy import Traffic, cut, rising
from fishersft.errors import Cancelled, ClusterError, DesignError, MissingExtra, ModelError, UserError
from fishersft.lm.folder import find_model
from fishersft.pipeline import embed_and_select
from tests.reference import algorithm_1

from .conftest import random_blocks

pytestmark = [pytest.mark.slow, pytest.mark.rare]


@pytest.fixture(scope="module")
def ray():
    """One cluster for the module, started and ended as the engine does it."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'fishersft[ray]'")
    with kept(), connected("local") as ray:
        yield ray
    assert not ray.is_initialized()


def both(blocks, n, workers, weights=None, **options):
    """Steps of one process, of many, and what they exchanged."""
    e = replace(TokenEmbeddings.of(blocks), weights=weights)
    traffic = Traffic()
    here = list(islice(greedy(e, **options), n))
    there = list(islice(distributed.greedy(e, workers=workers, traffic=traffic, **options), n))
    return here, there, traffic


def assert_same(here, there):
    assert [s.position for s in there] == [s.position for s in here]
    assert np.allclose([s.gain for s in there], [s.gain for s in here], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("workers", [2, 3])
def test_shards_pick_what_one_process_picks_to_the_end_of_the_pool_ties_and_zeros_too(ray, workers):
    a, b = random_blocks(2, 6, 3)
    same = [np.ones((2, 6))] * 3
    blocks = [a, *same, *random_blocks(25, 6, workers), b, a, *same, np.zeros((2, 6)), b, a, np.zeros((1, 6)), *same]
    here, there, traffic = both(blocks, None, workers, sigma2=0.5)
    assert len(there) == len(blocks)
    assert_same(here, there)
    assert len(traffic.workers) == workers
    f = np.cumsum([s.gain for s in here])
    assert all(s.optimum_bound >= g * (1 - 1e-9) for s, g in zip(there, f, strict=True))
    assert [s.position for s in there[:20]] == algorithm_1(blocks, 20, 0.5)[0]


def test_costs_and_weights_reach_every_shard(ray):
    rng = np.random.default_rng(4)
    blocks = random_blocks(40, 5, 4)
    rows = sum(map(len, blocks))
    here, there, _ = both(blocks, 25, 2, weights=rng.random(rows), costs=rng.random(40) + 0.1)
    assert_same(here, there)
    assert np.isnan(there[-1].optimum_bound)


NINE = [b.astype(np.float32) for b in random_blocks(9, 4, 1, least=3)]


@pytest.fixture(scope="module")
def nine(ray):
    return both(NINE, 4, 2)


def test_the_bound_is_proven_with_the_bounds_of_all_shards(nine):
    blocks, (here, there, _) = NINE, nine
    f = sum(s.gain for s in there)
    outside = [i for i in range(9) if i not in {s.position for s in there}]
    V = np.eye(4) + sum(blocks[s.position].T @ blocks[s.position] for s in there)
    now = sorted(np.linalg.slogdet(np.eye(len(blocks[i])) + blocks[i] @ np.linalg.inv(V) @ blocks[i].T)[1] for i in outside)
    assert there[-1].optimum_bound >= f + sum(now[-4:]) - 1e-9
    assert there[-1].optimum_bound <= here[-1].optimum_bound + 1e-9  # many workers know more fresh gains


def test_a_killed_worker_is_followed_by_another_and_the_answer_is_the_same(ray, tmp_path):
    e = TokenEmbeddings.of([b.astype(np.float16) for b in random_blocks(60, 8, 5)])
    e.values.tofile(tmp_path / "values.bin")
    values = np.memmap(tmp_path / "values.bin", dtype=np.float16, mode="r", shape=e.values.shape)
    here = list(islice(greedy(e), 30))
    traffic = Traffic()
    steps = distributed.greedy(replace(e, values=values), workers=2, traffic=traffic)
    there = list(islice(steps, 12))
    os.kill(traffic.workers[0][1], signal.SIGKILL)
    there += islice(steps, 18)
    assert_same(here, there)
    assert traffic.replaced == 1
    assert there[-1].evaluations > there[11].evaluations
    assert traffic.shipped < e.values.nbytes / 2  # only the picks so far, for the follower


def test_what_is_exchanged_is_counted(nine):
    _, there, traffic = nine
    assert traffic.rounds == 4
    assert traffic.sent == 2 * sum(NINE[s.position].nbytes + 16 for s in there)
    most = sum(min(n, b - a) for a, b in cut(TokenEmbeddings.of(NINE).offsets, 2) for n in range(1, 5)) * 8
    assert 4 * 2 * (24 + 8) <= traffic.received <= most + 4 * 2 * (24 * 9 + 8)
    assert traffic.shipped >= sum(b.nbytes for b in NINE)


def test_a_bad_row_is_named_by_its_record_in_the_pool(ray):
    blocks = random_blocks(30, 3, 0)
    blocks[19][0, 0] = blocks[28][0, 0] = np.nan  # both in the second shard
    e = TokenEmbeddings.of(blocks)
    with pytest.raises(DesignError, match="record 19 of the pool"):
        next(distributed.greedy(e, workers=2))
    with pytest.raises(DesignError, match="weight of row 5"):
        next(distributed.greedy(e.weighted(-np.eye(len(e.values))[5]), workers=2))


def test_a_worker_that_dies_again_and_again_ends_with_a_sentence(ray, monkeypatch):
    e = TokenEmbeddings.of(random_blocks(8, 3, 0))
    monkeypatch.setattr(distributed, "ShardWorker", Dying)
    monkeypatch.setattr("fishersft.distributed.cluster.MOST_DEATHS", 1)
    with pytest.raises(ClusterError, match="died 2 times in a row"):
        next(distributed.greedy(e, workers=1))


class Dying(Worker):
    """Its process ends at the first piece of work."""

    def begin(self, *_):
        os._exit(1)


def test_a_file_with_other_rows_is_not_taken_for_the_same(tmp_path):
    path = tmp_path / "values.bin"
    rows = np.arange(600, dtype=np.float32).reshape(100, 6)
    rows.tofile(path)
    values = np.memmap(path, dtype=np.float32, mode="r", shape=(100, 6))
    part = where_mapped(values[20:50])
    assert np.array_equal(open_mapped(part), rows[20:50])
    assert where_mapped(rows) is None
    assert where_mapped(values[:, :3]) is None
    (rows + 1).tofile(path)
    assert open_mapped(part) is None
    path.unlink()
    assert open_mapped(part) is None


def test_rows_out_of_a_workers_reach_are_sent_to_it(ray, tmp_path):
    e = TokenEmbeddings.of([b.astype(np.float32) for b in random_blocks(12, 4, 6)])
    e.values.tofile(tmp_path / "values.bin")
    values = np.memmap(tmp_path / "values.bin", dtype=np.float32, mode="r", shape=e.values.shape)
    (tmp_path / "values.bin").unlink()  # mapped here, gone for everybody else
    traffic = Traffic()
    there = list(distributed.greedy(replace(e, values=values), workers=2, traffic=traffic))
    assert [s.position for s in there] == [s.position for s in greedy(e)]
    assert traffic.shipped >= e.values.nbytes


def test_shards_are_ranges_with_about_equally_many_rows():
    rng = np.random.default_rng(0)
    for N, parts in [(1, 3), (5, 5), (50, 4), (400, 7)]:
        lengths = rng.integers(1, 40, N)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ranges = cut(offsets, parts)
        assert [a for a, _ in ranges] == [0, *(b for _, b in ranges[:-1])] and ranges[-1][1] == N
        assert len(ranges) == min(N, parts) and all(a < b for a, b in ranges)
        if 10 * parts < N:
            rows = [offsets[b] - offsets[a] for a, b in ranges]
            assert max(rows) - min(rows) <= 2 * lengths.max()
    assert cut(np.array([0, 1000, 1001, 1002]), 3) == [(0, 1), (1, 2), (2, 3)]  # one huge block first


def test_contenders_that_cannot_win_are_not_sent():
    rng = np.random.default_rng(1)
    for _ in range(300):
        best = rng.random()
        shards = [
            [Contender(p, best * (1 - rng.integers(0, 4) * 4e-10), 0.0) for p in rng.permutation(9)[: rng.integers(1, 9)] + 9 * k]
            for k in range(3)
        ]
        sent = [c for shard in shards for c in rising(shard)]
        assert winner_of(sent) == winner_of([c for shard in shards for c in shard])
    assert len(rising([Contender(i, 1.0, 1.0) for i in range(100)])) == 1


def test_processors_are_shared_out_so_that_everybody_finds_a_seat():
    assert seats([8], 2) == 4
    assert seats([2, 2, 2], 2) == 2  # three would not fit on any machine
    assert seats([3], 5) == 0.5
    assert seats([1, 1], 6) == pytest.approx(1 / 3, abs=1e-4)
    assert seats([], 3) == 0


# the model on many machines


def few(n=40):
    demo = load_corpus("demo")
    return Corpus("few", demo.source, demo.examples[:n], demo.fields.iloc[:n], np.zeros(n, dtype=bool))


def test_a_stopped_embedding_goes_on_with_workers_and_a_killed_one_is_followed(ray, home, tmp_path, monkeypatch):
    monkeypatch.setattr("fishersft.lm.embed.BATCH_TOKENS", 256)
    told = []

    def stop(done, total):
        told.append(done)
        if done > total / 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        embed(few(), "mini", store=Store(home), engine="here", on_progress=stop)

    killed = []
    follow = Crew.follow

    def kill_once(done, total):
        told.append(done)
        if done > total / 2 and not killed:
            killed.append(crews[0].where[0][1])
            os.kill(killed[0], signal.SIGKILL)

    crews = []
    begin = readers.RayReader.__post_init__
    monkeypatch.setattr(readers.RayReader, "__post_init__", lambda self: (crews.append(self.crew), begin(self))[1])
    follows = []
    monkeypatch.setattr(Crew, "follow", lambda self, seat: (follows.append(seat), follow(self, seat))[1])
    resumed = embed(few(), "mini", store=Store(home), engine=Engine("ray", workers=1), on_progress=kill_once)
    assert resumed.facts["resumed_at_batch"] > 0
    assert follows == [0]
    assert told[-1] == sum(
        len(e.ids) for e in embed_and_select.plan(few(), embed_and_select.load_tokenizer(find_model("mini"))).encoded
    )
    undisturbed = embed(few(), "mini", store=Store(tmp_path / "other"))
    assert np.allclose(resumed.values, undisturbed.values, rtol=1e-5, atol=1e-5)


def test_a_model_that_a_worker_does_not_see_gets_a_sentence(ray):
    folder = find_model("mini")
    moved = type(folder)("mini", folder.path)
    moved.__dict__["fingerprint"] = "0" * 64
    with pytest.raises(ModelError, match="differs from the one here"), Engine("ray", workers=1).reader(moved):
        pass


def test_select_gives_the_same_picks_with_either_engine_under_the_same_keys(ray, home, tmp_path):
    told = []
    engine, other = Engine("ray", workers=1), Store(tmp_path / "other")
    there = select(few(), budget=15, store=other, engine=engine, on_progress=lambda *a: told.append(a))
    here = select(few(), budget=15, store=Store(home))
    assert np.array_equal(there.indices, here.indices)
    assert told[-15:] == [(k, 15) for k in range(1, 16)]
    mine, theirs = (embed_and_select.load_pool(few(), store=s, engine=engine).embeddings for s in (Store(home), other))
    assert mine.key == theirs.key
    assert np.allclose(mine.values, theirs.values, rtol=1e-5, atol=1e-5)
    assert {**mine.facts, "seconds": 0, "tokens_a_second": 0, "made": 0} == {
        **theirs.facts,
        "seconds": 0,
        "tokens_a_second": 0,
        "made": 0,
    }
    key = embed_and_select.order_key(mine, make_selector("token_od"), 0)
    assert Store(home).find(key) is not None and other.find(key) is not None


# connecting


def test_a_process_has_one_connection_and_it_outlives_a_stage(ray):
    with connected("127.0.0.1:1"):  # never asked: there is a cluster
        assert ray.is_initialized()
    assert ray.is_initialized()


SEPARATE = """
import sys
import fishersft
from fishersft.distributed.engine import Engine
{before}
try:
    fishersft.select({corpus!r}, budget=2, engine=Engine("ray", {address!r}))
except fishersft.UserError as error:
    print(type(error).__name__, error)
"""


def separate(before, corpus, address):
    code = SEPARATE.format(before=before, corpus=str(corpus), address=address)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


def test_a_cluster_that_does_not_answer_gets_a_sentence(jsonl):
    pytest.importorskip("ray", reason="ray is not installed")
    said = separate("", jsonl, "127.0.0.1:1")
    assert said.startswith("ClusterError The Ray cluster at '127.0.0.1:1' cannot be used")
    assert "check --ray-address" in said


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("fishersft.distributed.engine.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"The Ray engine needs the extra 'ray'"):
        Engine("ray")
    with pytest.raises(ClusterError, match="--engine ray"):
        Engine("here", "host:6379")
    with pytest.raises(ClusterError, match="not 'dask'"):
        Engine("dask")


def test_the_command_line_prints_only_its_answer_on_standard_output(ray, jsonl, home):
    embed(jsonl)
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "fishersft", "select", str(jsonl), "--budget", "3", "--json", "--engine", "ray"]
    there = subprocess.run([*command, "--ray-address", address], capture_output=True, text=True)
    assert there.returncode == 0, there.stderr
    assert there.stdout.count("\n") == 1 and there.stdout.startswith("{")
    assert "ray" not in there.stderr.lower()


def test_the_bench_counts_bytes_and_sees_the_same_picks(ray):
    from tests.bench import distributed as bench

    report = bench.run(sentences=60, dimension=8, picks=10, workers=[2])
    one, two = report.lines
    assert (one.workers, one.sent, two.workers) == (0, 0, 2)
    assert two.same and two.sent > 2 * 8 * 2 and two.received >= 2 * 24
    assert "| Ray, 2 workers |" in report.markdown()
    with pytest.raises(UserError, match="--workers"):
        bench.run(workers=[0])
    with pytest.raises(UserError, match="--picks"):
        bench.run(sentences=5, picks=9)
