"""Lessons compute what they show: hand-made cases, brute force, and answers that follow the state."""

import json
from dataclasses import astuple
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from fishersft import paths
from fishersft.design.information import leverage, log_det
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import ParameterError
from fishersft.fields import declared
from fishersft.finetuning.arena import read_arena
from fishersft.lessons import (
    COURSE,
    LESSONS,
    PATHS,
    TERMS,
    criteria,
    drawing,
    ellipse,
    equivalence,
    exercises,
    gains,
    greedy,
    lemma,
    pools,
    regression,
    target,
    tuned,
)
from fishersft.lessons.lesson import Dragged, Plane, read_points, write_points
from fishersft.ui import components
from tests.reference import algorithm_1, best_subset, stein_greedy


def blocks_of(rows):
    return [rows.block(i) for i in range(len(rows))]


def states(kind):
    """The default, and both ends of every control."""
    yield kind()
    for name, one in declared(kind).items():
        ends = one.about.choices or [one.type(v) for v in (one.about.least, one.about.most)]
        for value in ends:
            yield kind(**{name: value})


@pytest.mark.parametrize("kind", LESSONS.values(), ids=LESSONS)
class TestEveryLesson:
    def test_shows_pictures_numbers_and_a_question_at_both_ends_of_every_control(self, kind):
        for lesson in states(kind):
            shown = lesson.show(revealed=True)
            assert 0 <= shown.question.answer < len(shown.question.options)
            assert len(set(shown.question.options)) == len(shown.question.options) >= 2
            assert all(p.alt and p.caption and (p.title or isinstance(p.figure, Plane)) for p in shown.pictures)
            assert all(n.help and "nan" not in n.value for n in shown.numbers)
            assert 1 <= len(declared(kind)) <= 2

    def test_the_answer_is_seen_in_a_state_of_the_same_lesson_that_asks_the_same_of_itself_again(self, kind):
        lesson = kind()
        seen = lesson.answered()
        assert type(seen) is kind and seen.answered() == seen

    def test_does_not_tell_before_it_is_asked(self, kind):
        lesson = kind()
        before, after = lesson.show(revealed=False), lesson.show(revealed=True)
        assert before.question == after.question
        assert [p.figure.to_json() for p in before.pictures] != [p.figure.to_json() for p in after.pictures] or (
            [n.value for n in before.numbers] != [n.value for n in after.numbers]
        )

    def test_is_drawn_in_light_and_in_dark(self, kind):
        light, dark = (kind().show(dark=d) for d in (False, True))
        assert light.numbers == dark.numbers
        assert [p.figure.to_json() for p in light.pictures] != [p.figure.to_json() for p in dark.pictures]

    def test_says_where_it_comes_from(self, kind):
        assert kind.source and kind.symbols and kind.formulas and 3 <= len(kind.lines) <= 4


class TestRegression:
    def test_the_error_bar_and_the_band_are_those_of_least_squares(self):
        lesson = regression.Regression(points=((-1.0, 0.5, 1.0), (0.0, -1.0, 2.0), (2.0, 0.3, 1.0)), noise=0.5)
        X = np.array([[1.0, -1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
        C = 0.25 * np.linalg.inv(X.T @ X)
        assert lesson.bar() == pytest.approx(1.96 * np.sqrt(C[1, 1]))
        for x in (-3.0, 0.0, 1.5):
            f = np.array([1.0, x])
            assert lesson.band(x) == pytest.approx(1.96 * np.sqrt(f @ C @ f))

    def test_by_hand_two_measurements_at_minus_one_and_one(self):
        lesson = regression.Regression(points=((-1.0, 0.0, 1.0), (1.0, 0.0, 1.0)))
        assert lesson.bar() == pytest.approx(1.96 / np.sqrt(2))  # S = 2
        assert lesson.bar(0.0) == lesson.bar()  # in the middle one more says nothing of the slope
        assert lesson.bar(2.0) == pytest.approx(1.96 / np.sqrt(2 + 2 / 3 * 4))  # S grows by n / (n + 1) (x - mean)^2

    def test_the_answer_is_the_place_with_the_shortest_error_bar_and_nowhere_without_points(self):
        for points in (regression.START, ((-2.0, 0.0, 1.0), (-1.0, 0.0, 1.0)), ((0.0, 0.0, 3.0),)):
            lesson = regression.Regression(points=points)
            bars = [lesson.bar(float(x)) for x in lesson.candidates()]
            assert lesson.show().question.answer == int(np.argmin(bars)) == 2
        assert regression.Regression(points=()).show().question.answer == 3


class TestCriteria:
    def test_at_the_start_d_a_and_e_each_want_another_row(self):
        lesson = criteria.Criteria()
        V = np.eye(2) + sum(np.outer(p[:2], p[:2]) for p in lesson.points)
        inverses = [np.linalg.inv(V + np.outer(x, x)) for x in criteria.CANDIDATES]
        wanted = {
            "D": int(np.argmin([np.linalg.det(C) for C in inverses])),
            "A": int(np.argmin([np.trace(C) for C in inverses])),
            "E": int(np.argmin([np.linalg.eigvalsh(C).max() for C in inverses])),
        }
        assert {name: lesson.wanted()[name] for name in wanted} == wanted
        assert len(set(wanted.values())) == 3
        assert lesson.show().question.answer == 2

    def test_they_are_one_where_one_candidate_is_best_in_every_way(self):
        assert criteria.Criteria(points=((2.0, 0.0, 100.0), (0.0, 2.0, 0.001))).show().question.answer < 2


class TestTuned:
    def test_every_number_is_that_of_the_shipped_files(self):
        found = tuned.untargeted("tokens")
        held = json.loads(paths.asset("results", "sherlock.json").read_text())["tokens"]["lines"]
        mine = [line["minus_uniform"]["mean"]["value"] for line in held if line["selector"] == "token_od"]
        assert [d.value for d in found if d.where == "Sherlock"] == mine
        contests = [c for c in read_arena(paths.asset("arenas", "mini")).contests if c.target]
        assert {(d.value, d.low, d.high) for d in tuned.targeted("target_matched")} == {
            astuple(max((c for c in contests if c.target == target), key=lambda c: c.budget).differences["target_matched"])
            for target in {c.target for c in contests}
        }
        shown = tuned.Tuned().show()
        assert shown.question.answer == 0 == sum(d.side == -1 for d in found)
        assert all(d.said in shown.question.because for d in tuned.targeted("target_matched"))

    def test_at_equal_sentences_length_makes_a_lead(self):
        assert tuned.Tuned(equal="sentences").show().question.answer > 0

    def test_a_difference_counts_beyond_its_interval(self):
        sides = [tuned.Difference("", 1, v, v - 1, v + 1).side for v in (-2.0, 0.5, 2.0)]
        assert sides == [-1, 0, 1]

    def test_without_the_files_there_is_less_to_show(self, monkeypatch, tmp_path):
        monkeypatch.setattr(tuned.paths, "asset", tmp_path.joinpath)
        for held in (tuned.untargeted, tuned.targeted):
            held.cache_clear()
        assert tuned.Tuned().show().question.answer == 0
        for held in (tuned.untargeted, tuned.targeted):
            held.cache_clear()


class TestPaths:
    def test_a_path_takes_its_minutes_and_keeps_the_order_of_the_course(self):
        course = [kind.name for kind in COURSE]
        for minutes, path in PATHS.items():
            assert sum(path.values()) == minutes
            assert [name for name in course if name in path] == list(path)
        assert list(PATHS[45]) == course


class TestEllipse:
    def test_the_axes_of_a_diagonal_design_are_one_over_the_roots_of_its_entries(self):
        half, directions = drawing.semi_axes(np.diag([4.0, 16.0]))
        assert half == pytest.approx([1 / 2, 1 / 4])
        assert np.abs(directions) == pytest.approx(np.eye(2))

    def test_every_drawn_point_lies_on_the_ellipse(self):
        A = np.array([[3.0, 1.0], [1.0, 2.0]])
        z = drawing.ellipse_of(A, 5.0)
        assert np.einsum("ni,ij,nj->n", z, A, z) == pytest.approx(5.0)

    def test_a_weight_of_three_is_three_points(self):
        once = ellipse.Ellipse(points=((1.0, 2.0, 3.0), (0.5, 0.0, 1.0)))
        thrice = ellipse.Ellipse(points=((1.0, 2.0, 1.0),) * 3 + ((0.5, 0.0, 1.0),))
        assert once.matrix == pytest.approx(thrice.matrix)

    def test_the_answer_is_the_candidate_that_shrinks_the_area_most(self):
        for points in (ellipse.START, ((0.0, 2.0, 5.0),), ()):
            lesson = ellipse.Ellipse(points=points)
            areas = [np.linalg.det(lesson.matrix + np.outer(x, x)) ** -0.5 for x in lesson.candidates()]
            assert lesson.show().question.answer == int(np.argmin(areas))

    def test_candidates_can_be_reached_by_hand(self):
        for points in (ellipse.START, ((0.7, 2.0, 5.0),), ()):
            assert (np.abs(ellipse.Ellipse(points=points).candidates()) <= Dragged.reach).all()

    def test_points_survive_the_address(self):
        points = ((1.25, -0.5, 1.0), (0.333, 3.0, 0.5))
        assert read_points(write_points(points)) == points
        assert read_points(write_points(())) == ()

    @pytest.mark.parametrize("bad", ["1,2", "a,b,c", "9,0,1", "0,0,0", "0,0,nan", "1,1,1;" * 41])
    def test_points_of_a_bad_address_are_refused_in_a_sentence(self, bad):
        with pytest.raises(ParameterError, match="points"):
            ellipse.Ellipse(points=read_points(bad))


class TestEquivalence:
    def test_two_points_on_the_axes_share_the_weight_and_one_between_gets_none(self):
        X = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
        assert equivalence.optimal_weights(X) == pytest.approx([0.5, 0.5, 0.0], abs=1e-5)

    def test_lengths_do_not_matter_for_two_directions(self):
        assert equivalence.optimal_weights(np.array([[5.0, 0.0], [1.0, 2.0]])) == pytest.approx([0.5, 0.5], abs=1e-5)

    @pytest.mark.parametrize("name", equivalence.POOLS)
    def test_the_worst_leverage_is_d_at_the_optimum_and_no_other_weights_have_a_larger_log_det(self, name):
        X = equivalence.pool(name)
        best = equivalence.optimal_weights(X)
        M = equivalence.spread_out(X, best)
        assert leverage(M, X).max() == pytest.approx(2, rel=1e-5)
        rng = np.random.default_rng(0)
        for w in rng.dirichlet(np.ones(len(X)), 50):
            assert log_det(equivalence.spread_out(X, w)) <= log_det(M) + 1e-5

    @pytest.mark.parametrize("name", equivalence.POOLS)
    def test_steps_keep_the_sum_raise_log_det_and_the_bound_holds(self, name):
        X = equivalence.pool(name)
        best = log_det(equivalence.spread_out(X, equivalence.optimal_weights(X)))
        w, before = np.full(len(X), 1 / len(X)), -np.inf
        for _ in range(20):
            M = equivalence.spread_out(X, w)
            assert w.sum() == pytest.approx(1)
            assert (w * leverage(M, X)).sum() == pytest.approx(2)
            assert log_det(M) >= before - 1e-12
            assert best - log_det(M) <= equivalence.missing_at_most(leverage(M, X).max(), 2) + 1e-6
            before, w = log_det(M), equivalence.step(X, w)

    def test_dragged_points_are_those_that_are_weighed_and_may_not_lie_on_one_line(self):
        points = ((2.0, 0.0, 1.0), (0.0, 1.0, 1.0), (0.1, 0.1, 5.0))
        shown = equivalence.Equivalence(points=points, steps=60).show()
        assert shown.question.because.startswith("Their shares: 50%, 50%.")
        with pytest.raises(ParameterError, match="one line"):
            equivalence.Equivalence(points=((1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (-1.0, -1.0, 1.0)))

    def test_at_the_optimum_the_ellipse_of_leverage_d_holds_every_point(self):
        X = equivalence.pool("a cloud")
        M = equivalence.spread_out(X, equivalence.optimal_weights(X))
        assert np.einsum("ni,ij,nj->n", X, np.linalg.inv(M), X).max() <= 2 * (1 + 1e-5)


class TestReturns:
    def test_copy_number_k_gains_what_the_formula_says(self):
        for k in range(5):
            assert gains.gains_beside(k, np.array([0.0, 1.0]))[0] == pytest.approx(np.log((k + 2) / (k + 1)))

    def test_a_row_at_a_right_angle_loses_nothing_and_no_other_gains_more_than_before(self):
        assert gains.gains_beside(9, np.array([0.0, 0.6]))[1] == pytest.approx(np.log(1 + 0.36))
        for b in ((0.6, 0.0), (0.5, 0.3), (0.2, -0.6)):
            each = [gains.gains_beside(k, np.array(b))[1] for k in range(6)]
            assert all(a > b for a, b in pairwise(each))

    @pytest.mark.parametrize(
        ("copies", "b", "answer"),
        [(0, (0.0, 0.6), 0), (12, (0.0, 0.6), 1), (12, (0.6, 0.0), 0), (2, (0.0, 0.6), 1), (3, (1.0, 0.0), 2)],
    )
    def test_the_answer_turns_with_the_copies_and_with_b(self, copies, b, answer):
        assert gains.Returns(((*b, 1.0),), copies).show().question.answer == answer


class TestSentences:
    def test_the_bars_of_a_sentence_sum_to_its_gain(self):
        lesson = gains.Sentences(picks=3)
        X = blocks_of(lesson.rows)[lesson.order()[0]]
        assert lesson.token_gains(lesson.order()[0]).sum() == pytest.approx(np.linalg.slogdet(np.eye(6) + X.T @ X)[1])

    def test_picks_are_those_of_algorithm_1(self):
        lesson = gains.Sentences(picks=5, alike=60)
        assert lesson.order() == algorithm_1(blocks_of(lesson.rows), 5)[0]

    def test_picks_by_gain_are_longer_than_picks_by_gain_per_token(self):
        lesson = gains.Sentences(picks=8)
        lengths = lesson.rows.tokens
        assert lengths[lesson.order()].sum() > 2 * lengths[lesson.order(per_token=True)].sum()


class TestSubsets:
    @pytest.mark.parametrize("pool", [1, 2, 3])
    def test_the_best_of_all_subsets_is_what_the_reference_finds(self, pool):
        lesson = greedy.Subsets(picks=3, pool=pool)
        found, f = greedy.all_subsets(lesson.rows, 3)
        best, value = best_subset(blocks_of(lesson.rows), 3)
        assert (tuple(found[f.argmax()]), f.max()) == (best, pytest.approx(value))
        assert len(f) == 220

    def test_greedy_is_between_its_certificate_and_the_best_and_above_63_percent(self):
        answers = set()
        for pool in range(1, 31):
            lesson = greedy.Subsets(picks=3, pool=pool)
            best = greedy.all_subsets(lesson.rows, 3)[1].max()
            reached = sum(s.gain for s in lesson.steps)
            assert reached / lesson.bounds[2] <= reached / best <= 1 + 1e-12
            assert lesson.bounds[2] <= lesson.steps[-1].optimum_bound + 1e-9  # the bound of one prefix is no tighter
            assert reached / best > 1 - 1 / np.e
            answers.add(lesson.show().question.answer)
        assert answers == {0, 1, 2}

    def test_the_certificate_holds_at_every_budget_and_never_falls(self):
        for pool in range(1, 31):
            lesson = greedy.Subsets(pool=pool)
            assert (np.diff(lesson.bounds) >= -1e-9).all()
            for n in (1, 4, 6):
                assert lesson.bounds[n - 1] >= greedy.all_subsets(lesson.rows, n)[1].max() - 1e-9


class TestLazy:
    @pytest.mark.parametrize("topics", [1, 4, 8])
    def test_it_picks_what_algorithm_1_picks_and_never_computes_more_than_naively(self, topics):
        rng = np.random.default_rng(topics)
        blocks = [rng.normal(size=(rng.integers(1, 5), 6)) for _ in range(25)]
        done = greedy.trace(TokenEmbeddings.of(blocks), 8)
        assert done.picks.tolist() == algorithm_1(blocks, 8)[0]
        assert (done.lazily <= done.naively).all()
        assert done.lazily[0] == 25

    def test_what_was_not_computed_was_bounded_below_the_winner(self):
        done = greedy.Lazy().run
        left = np.ones(greedy.LAZY_SENTENCES, dtype=bool)
        for k, pick in enumerate(done.picks):
            best = done.bounds[k, pick]
            assert (done.bounds[k, left & ~done.fresh[k]] <= best * (1 + 1e-6)).all()
            left[pick] = False

    def test_topics_save_work(self):
        one, many = (greedy.Lazy(topics=t).run.lazily[1:].sum() for t in (1, 8))
        assert many < one


class TestImbalance:
    def test_the_chance_of_missing_is_hypergeometric(self):
        assert pools.miss(4, 2, 2) == pytest.approx(1 / 6)
        assert pools.miss(10, 1, 10) == 0

    def test_the_design_covers_the_rare_topic_and_its_worst_leverage_is_below_every_draw(self):
        lesson = pools.Imbalance(picks=8, rare=8)
        assert any(i >= pools.SENTENCES - 8 for i in lesson.design[:3])
        ours, chance = pools.curves_of(8)
        assert ours[7] < chance[:, 7].min()

    def test_every_row_has_one_norm_wherever_the_rare_topic_is_dragged(self):
        for points in (pools.Imbalance.points, ((0.3, -0.1, 1.0),), ((0.0, 0.0, 1.0),)):
            rows = pools.Imbalance(points=points).rows.values
            assert np.linalg.norm(rows, axis=1) == pytest.approx(pools.NORM, rel=1e-5)

    def test_worst_leverage_is_measured_on_every_token_of_the_pool(self):
        lesson = pools.Imbalance(rare=5)
        X = lesson.rows.values[6 * 3 : 6 * 4]
        V = np.eye(2) + X.T @ X
        expected = np.einsum("ni,ij,nj->n", lesson.rows.values, np.linalg.inv(V), lesson.rows.values).max()
        assert lesson.worst(np.array([3]))[0] == pytest.approx(expected)


class TestLemma:
    def test_two_classes_under_guessing_have_a_quarter_of_information(self):
        A = lemma.class_information(np.array([[0.5, 0.5]]))
        assert pytest.approx(0.25) == A
        X = np.array([[1.0, 2.0]])
        assert lemma.head_information(X, np.zeros((2, 2))) == pytest.approx(0.25 * X.T @ X)

    def test_head_information_is_the_sum_of_kronecker_products(self):
        rng = np.random.default_rng(0)
        X, theta = rng.normal(size=(4, 3)), rng.normal(size=(3, 5))
        A = lemma.class_information(lemma.probabilities(X, theta))
        assert lemma.head_information(X, theta) == pytest.approx(
            sum(np.kron(a, np.outer(x, x)) for a, x in zip(A, X, strict=True))
        )

    def test_with_every_class_free_the_vector_of_ones_is_lost(self):
        A = lemma.class_information(np.array([[0.2, 0.3, 0.5]]), pinned=False)[0]
        assert A @ np.ones(3) == pytest.approx(0, abs=1e-15)

    def test_the_bound_holds_everywhere_and_grows_looser_with_confidence(self):
        for classes in (2, 4, 8):
            gaps = []
            for scale in lemma.SCALES:
                true, bound, _ = lemma.Lemma(classes=classes).log_dets(scale)
                assert bound <= true
                gaps.append(true - bound)
            assert gaps[-1] > 2 * gaps[0]

    def test_the_model_enters_the_truth_and_not_the_choice(self):
        by_rows, true = zip(*(lemma.Lemma(sure=s).gains() for s in (0.0, 2.0, 4.0)), strict=True)
        assert by_rows[0] == pytest.approx(by_rows[2])
        assert not np.allclose(true[0], true[2])
        assert {lemma.Lemma(sure=s).show().question.answer for s in (0.0, 2.0)} == {0, 1}


class TestOutlier:
    def test_picks_and_losses_are_those_of_the_definition(self):
        lesson = pools.Outlier(points=((-3.0, 4.0, 1.0),))
        _, matched_od, losses = lesson.orders
        picks, expected = stein_greedy(blocks_of(lesson.rows), 6, pools.PRIOR, pools.RIDGE)
        assert (matched_od[:6], losses[:6]) == (picks, pytest.approx(expected, abs=1e-9))
        assert lesson.loss(matched_od[:6]) == pytest.approx(losses[5], abs=1e-9)

    def test_token_od_buys_the_outlier_first_and_matched_od_late(self):
        for x, y in ((-1.8, 2.4), (-3.6, 4.8), (0.0, 6.0)):
            token_od, matched_od, _ = pools.Outlier(points=((x, y, 1.0),)).orders
            assert token_od[0] == pools.OUTLIER
            assert matched_od.index(pools.OUTLIER) > 20

    def test_the_answer_is_seen_where_matched_od_has_taken_it(self):
        lesson = pools.Outlier(picks=3)
        assert pools.OUTLIER in lesson.orders[1][: lesson.answered().picks]

    def test_a_selection_of_the_whole_pool_matches_it(self):
        lesson = pools.Outlier()
        assert lesson.loss(list(range(60))) == pytest.approx(0, abs=1e-5)


class TestTarget:
    def test_the_variances_and_the_picks_near_are_those_of_numpy_by_hand(self):
        lesson = target.TargetLesson(points=((0.5, -1.9, 1.0),), picks=5)
        blocks, A = blocks_of(target.pool()), target.cloud() + np.array([0.5, -1.9])
        M = np.mean([X.T @ X / len(X) for X in A], axis=0)
        M += 1e-3 * np.trace(M) / 2 * np.eye(2)
        for name in target.DESIGNS:
            picked = target.orders(0.5, -1.9)[name][:5]
            V = np.eye(2) + sum(blocks[i].T @ blocks[i] for i in picked)
            assert lesson.variance(name, 5) == pytest.approx(np.trace(M @ np.linalg.inv(V)), rel=1e-6)
            assert lesson.near(name, 5) == sum(np.linalg.norm(blocks[i].mean(0) - [0.5, -1.9]) <= 0.75 for i in picked)
        shown = lesson.show(revealed=True)
        said = {n.label.split(", ")[1]: (n.value, n.beside) for n in shown.numbers}
        for name in target.DESIGNS:
            assert said[name] == (f"{lesson.variance(name, 5):.3g}", f"{lesson.near(name, 5)} of 5 picks near")
        assert shown.pictures[0].figure.prior == pytest.approx(
            tuple((np.eye(2) + lesson.taken("VOptimal", 5).T @ lesson.taken("VOptimal", 5))[[0, 0, 1], [0, 1, 1]])
        )

    def test_each_design_is_greedy_for_its_own_rule(self):
        blocks, order = blocks_of(target.pool()), target.orders(0.8, 1.1)
        M = target.TargetLesson().moment
        assert order["TokenOD"][:6] == algorithm_1(blocks, 6)[0]
        V, S, t, left = np.eye(2), 20 * M, 20, list(range(len(blocks)))
        for pick in order["VOptimal"][:6]:
            after = {i: np.trace(M @ np.linalg.inv(V + blocks[i].T @ blocks[i])) for i in left}
            assert pick == min(after, key=after.get)
            V += blocks[pick].T @ blocks[pick]
            left.remove(pick)
        left = list(range(len(blocks)))
        for pick in order["TargetMatched"][:6]:
            A = {i: np.linalg.solve(M, S + blocks[i].T @ blocks[i]) / (t + 4) for i in left}
            after = {i: np.trace(a) - np.linalg.slogdet(a)[1] for i, a in A.items()}
            assert pick == min(after, key=after.get)
            S, t = S + blocks[pick].T @ blocks[pick], t + 4
            left.remove(pick)

    def test_the_answer_is_the_largest_variance_and_follows_the_target(self):
        answers = set()
        for place, picks in (((0.8, 1.1), 8), ((0.5, -1.9), 30), ((1.9, 0.5), 3)):
            lesson = target.TargetLesson(points=((*place, 1.0),), picks=picks)
            variances = [lesson.variance(name, picks) for name in target.DESIGNS]
            assert lesson.show().question.answer == int(np.argmax(variances))
            answers.add(int(np.argmax(variances)))
        assert answers == {0, 2}

    def test_matched_picks_are_like_the_target_and_those_of_token_od_are_not(self):
        lesson = target.TargetLesson()
        assert lesson.near("TargetMatched", 8) >= 6 > 1 >= lesson.near("TokenOD", 8)

    @pytest.mark.parametrize("points", [(), ((0.0, 0.0, 1.0), (1.0, 1.0, 1.0))])
    def test_it_has_one_target(self, points):
        with pytest.raises(ParameterError, match="one target"):
            target.TargetLesson(points=points)

    def test_a_target_at_the_origin_has_a_spread_of_its_own(self):
        assert all(np.isfinite(target.TargetLesson(points=((0.0, 0.0, 1.0),)).variance(name, 3)) for name in target.DESIGNS)


class TestTerms:
    def test_every_term_opens_a_lesson_by_its_address(self):
        for term, kind in TERMS.items():
            assert components.lesson_link(term) == f"[Lesson: {kind.title}](learn?lesson={kind.name})"
            assert LESSONS[kind.name] is kind
        assert set(TERMS.values()) == set(LESSONS.values())

    def test_help_ends_with_the_link(self):
        assert components.helped("The largest of the pool.", "leverage").endswith("](learn?lesson=criteria)")


class TestExercises:
    """The numbers of the answers, by hand."""

    BY_HAND: ClassVar = {
        "line": [{"ends": 0.98, "even": 1.96 / np.sqrt(20 / 9)}, {"before": 1.96 / np.sqrt(8), "after": 1.96 / 4}],
        "ellipse": [{"grown": np.log(5)}, {"once": np.log(9), "spread": np.log(25)}],
        "returns": [
            {"first": np.log(2), "second": np.log(1.5), "third": np.log(4 / 3)},
            {"after": np.log(1 + 1 / 16 + 1 / 4), "before": np.log(1.5)},
        ],
        "criteria": [{"A": 1.25, "E": 1.0, "leverage": 2.0}, {"long": np.log(3.25), "short": np.log(2)}],
        "greedy": [
            {"greedy": np.log(11.25 * 5 - 16), "best": 2 * np.log(7.25)},
            {"bound": np.log(9) + 2 * np.log((11.25 * 5 - 16) / 9)},
        ],
        "sentences": [{"alike": np.log(5), "apart": np.log(4)}, {"one": np.log(2), "two": np.log(4)}],
        "imbalance": [{"miss": 8 / 10 * 7 / 9 * 6 / 8}, {"miss": np.prod([(95 - k) / (100 - k) for k in range(20)])}],
        "outlier": [{"far": np.log(101), "near": np.log(2)}, {"longer": 3 - np.log(4), "narrow": 0.25 + np.log(4) - 1}],
        "target": [{"before": 1.0, "along": 0.2, "across": 1.0}, {"opposite": 0.2}],
        "lemma": [{"guessing": 0.25, "sure": 0.0099}, {"lost": 0.0}],
        "tuned": [{"one": 0, "other": -1, "ratio": np.exp(0.28)}, {"times": 25 / 6}],
        "lazy": [{"computed": 2}, {"naive": 27}],
        "equivalence": [{"first": 0.1, "second": 0.5, "third": 0.4}, {"bound": 2 * np.log(1.5)}],
    }

    @pytest.mark.parametrize("name", LESSONS)
    def test_every_lesson_has_two_and_their_numbers_are_those_by_hand(self, name):
        made = exercises.exercises(name)
        assert len(made) == len(self.BY_HAND[name]) == 2
        for one, by_hand in zip(made, self.BY_HAND[name], strict=True):
            assert one.task.endswith(("?", ".")) and one.answer
            assert one.numbers == pytest.approx(by_hand, abs=1e-9)
