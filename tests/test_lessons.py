"""Lessons compute what they show: hand-made cases, brute force, and answers that follow the state."""

from itertools import pairwise

import numpy as np
import pytest

from fishersft.design.information import leverage, log_det
from fishersft.design.rows import TokenEmbeddings
from fishersft.errors import ParameterError
from fishersft.fields import declared
from fishersft.lessons import LESSONS, TERMS, drawing, ellipse, equivalence, gains, greedy, lemma, pools, target
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
            assert all(p.alt and p.caption and p.title for p in shown.pictures)
            assert all(n.help and "nan" not in n.value for n in shown.numbers)
            assert 1 <= len(declared(kind)) <= 2

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
            assert (np.abs(ellipse.Ellipse(points=points).candidates()) <= ellipse.REACH).all()

    def test_points_survive_the_address(self):
        points = ((1.25, -0.5, 1.0), (0.333, 3.0, 0.5))
        assert ellipse.read_points(ellipse.write_points(points)) == points
        assert ellipse.read_points(ellipse.write_points(())) == ()

    @pytest.mark.parametrize("bad", ["1,2", "a,b,c", "9,0,1", "0,0,0", "0,0,nan", "1,1,1;" * 41])
    def test_points_of_a_bad_address_are_refused_in_a_sentence(self, bad):
        with pytest.raises(ParameterError, match="points"):
            ellipse.read_points(bad)


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

    def test_at_the_optimum_the_ellipse_of_leverage_d_holds_every_point(self):
        X = equivalence.pool("a cloud")
        M = equivalence.spread_out(X, equivalence.optimal_weights(X))
        assert np.einsum("ni,ij,nj->n", X, np.linalg.inv(M), X).max() <= 2 * (1 + 1e-5)


class TestReturns:
    def test_copy_number_k_gains_what_the_formula_says(self):
        for k in range(5):
            assert gains.gains_beside(k, 90)[0] == pytest.approx(np.log((k + 2) / (k + 1)))

    def test_a_row_at_a_right_angle_loses_nothing_and_no_other_gains_more_than_before(self):
        assert gains.gains_beside(9, 90)[1] == pytest.approx(np.log(1 + 0.36))
        for angle in (0, 30, 75):
            each = [gains.gains_beside(k, angle)[1] for k in range(6)]
            assert all(a > b for a, b in pairwise(each))

    @pytest.mark.parametrize(("copies", "angle", "answer"), [(0, 90, 0), (12, 90, 1), (12, 0, 0), (2, 90, 1)])
    def test_the_answer_turns_with_the_copies_and_the_angle(self, copies, angle, answer):
        assert gains.Returns(copies, angle).show().question.answer == answer


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
            assert reached / lesson.steps[-1].optimum_bound <= reached / best <= 1 + 1e-12
            assert reached / best > 1 - 1 / np.e
            answers.add(lesson.show().question.answer)
        assert answers == {0, 1, 2}


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
        lesson = pools.Outlier(distance=5.0)
        _, matched_od, losses = lesson.orders
        picks, expected = stein_greedy(blocks_of(lesson.rows), 6, pools.PRIOR, pools.RIDGE)
        assert (matched_od[:6], losses[:6]) == (picks, pytest.approx(expected, abs=1e-9))
        assert lesson.loss(matched_od[:6]) == pytest.approx(losses[5], abs=1e-9)

    def test_token_od_buys_the_outlier_first_and_matched_od_late(self):
        for distance in (3.0, 6.0, 10.0):
            token_od, matched_od, _ = pools.Outlier(distance=distance).orders
            assert token_od[0] == pools.OUTLIER
            assert matched_od.index(pools.OUTLIER) > 20

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
        assert shown.pictures[0].figure.design == pytest.approx(
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
