"""The Learn page: every lesson opens, every control changes it, and an address says what it could not have."""

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from fishersft.fields import declared
from fishersft.lessons import LESSONS
from fishersft.lessons.exercises import exercises
from fishersft.lessons.lesson import MOST_POINTS
from fishersft.ui.lessons import planes

from .conftest import ROOT


def open_lesson(**address):
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in address.items():
        at.query_params[key] = value
    at.switch_page("pages/learn.py").run()
    assert not at.exception, at.exception
    return at


def text_of(at):
    return " ".join(
        str(e.value) for kind in ("markdown", "caption", "info", "success", "warning", "header") for e in at.get(kind)
    )


def pictures(at):
    drawn = [c.proto for c in at.get("bidi_component")]
    return [c.proto.spec for c in at.get("plotly_chart")] + [d.json or d.mixed.json for d in drawn]


def address(at):
    return {k: v[0] if isinstance(v, list) else v for k, v in at.query_params.items()}


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_opens_by_its_link_and_each_control_changes_what_is_shown(name):
    at = open_lesson(lesson=name)
    kind = LESSONS[name]
    assert at.header[0].value == kind.title
    assert all(chart.proto.alt for chart in at.get("plotly_chart"))
    for key, one in declared(kind).items():
        before = pictures(at)
        if one.about.choices:
            at.selectbox(key=f"{name}.{key}").set_value(one.about.choices[-1]).run()
        else:
            at.slider(key=f"{name}.{key}").set_value(one.type(one.about.most)).run()
        assert not at.exception, at.exception
        assert pictures(at) != before
        assert address(at)["lesson"] == name
        assert key in address(at)


@pytest.mark.parametrize("name", LESSONS)
def test_a_prediction_is_judged_by_the_answer_computed_for_the_state(name):
    at = open_lesson(lesson=name)
    asked = LESSONS[name]().show(revealed=False).question
    right = asked.options[asked.answer]
    wrong = asked.options[asked.answer - 1]
    assert asked.because[:20] not in text_of(at)
    at.radio[0].set_value(wrong)
    at.button(key="reveal").click().run()
    assert f"You said: {wrong}" in at.info[0].value
    at.button(key="again").click().run()
    at.radio[0].set_value(right)
    at.button(key="reveal").click().run()
    assert at.success[0].value.startswith("You are right.")
    assert asked.because in at.success[0].value


def test_the_answer_follows_the_controls_once_it_is_shown():
    at = open_lesson(lesson="returns", copies="0", points="0,0.6,1")
    at.button(key="reveal").click().run()
    assert "A once more" in at.info[0].value
    at.slider(key="returns.copies").set_value(12).run()
    assert at.info[0].value.startswith("**B.**")


def test_the_answer_is_shown_in_the_state_that_it_speaks_of_until_the_reader_moves_on():
    at = open_lesson(lesson="outlier", picks="3")
    asked = text_of(at).partition("Predict:")[2][:40]
    at.button(key="reveal").click().run()
    taken = LESSONS["outlier"](picks=3).answered().picks
    assert at.slider(key="outlier.picks").value == taken > 3
    assert asked in text_of(at) and f"pick {taken} of 60" in at.info[0].value
    assert address(at)["picks"] == str(taken)
    at.button(key="again").click().run()
    assert at.slider(key="outlier.picks").value == 3
    at.button(key="reveal").click().run()
    at.slider(key="outlier.picks").set_value(5).run()  # from here on the answer is that of the controls
    assert "After the first 5" in at.info[0].value
    at.button(key="again").click().run()
    assert at.slider(key="outlier.picks").value == 5


def test_the_other_picture_and_the_path_are_in_the_address():
    at = open_lesson(lesson="returns", chart="1", path="25")
    assert at.segmented_control(key="lesson-chart").value == "What is still unknown"
    assert at.pills(key="lesson-tab").options[2] == "3 Returns · 3 min" and len(at.pills(key="lesson-tab").options) == 7
    at.selectbox(key="lesson-path").set_value(10).run()  # this path leaves the lesson out
    assert address(at) == {"lesson": "line", "path": "10"}
    assert "path 12" in open_lesson(lesson="line", path="12").warning[0].value


def test_a_link_opens_a_lesson_in_its_state():
    at = open_lesson(lesson="greedy", picks="4", pool="9")
    assert (at.slider(key="greedy.picks").value, at.slider(key="greedy.pool").value) == (4, 9)
    assert "All 495 subsets of 4" in text_of(at)
    at = open_lesson(lesson="ellipse", points="1,0,1;0,2,3", sigma2="0.5")
    assert "2 points" in [m.delta for m in at.metric]
    assert address(at) == {"lesson": "ellipse", "points": "1,0,1;0,2,3", "sigma2": "0.5"}
    assert "0 points" in [m.delta for m in open_lesson(lesson="ellipse", points="").metric]


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        ({"lesson": "magic"}, "magic"),
        ({"lesson": "greedy", "picks": "99"}, "picks 99"),
        ({"lesson": "greedy", "picks": "2.5"}, "picks 2.5"),
        ({"lesson": "criteria", "points": "a spiral"}, "a spiral"),
        ({"lesson": "lemma", "sure": "nan"}, "sure nan"),
        ({"lesson": "ellipse", "points": "1,2"}, "1,2"),
        ({"lesson": "target", "points": "1,0,1;0,2,1"}, "one target"),
        ({"lesson": "ellipse", "sigma2": "<b>"}, "sigma2"),
    ],
)
def test_what_a_link_says_wrongly_is_named_and_the_usual_is_shown(bad, shown):
    at = open_lesson(**bad)
    assert shown in at.warning[0].value.replace("\\", "")
    kind = LESSONS.get(bad["lesson"], LESSONS["line"])
    assert at.header[0].value == kind.title
    assert address(at) == {"lesson": kind.name}


def test_moving_between_lessons_keeps_each_as_it_was_left():
    at = open_lesson(lesson="greedy", picks="5")
    at.pills(key="lesson-tab").set_value("lazy").run()
    assert address(at) == {"lesson": "lazy"}
    at.pills(key="lesson-tab").set_value("greedy").run()
    assert at.slider(key="greedy.picks").value == 5
    assert address(at) == {"lesson": "greedy", "picks": "5"}


def test_rows_of_the_table_that_are_no_points_are_left_out_and_counted():
    rows = [[1.0004, 0, 1], [None, 1, 1], [9, 0, 1], [0, 0, 0], [0, 1, float("nan")], [-3, 3, 100]]
    table = pd.DataFrame(rows, columns=["x", "y", "weight"])
    assert planes.clean(table) == (((1.0, 0.0, 1.0), (-3.0, 3.0, 100.0)), 4)
    many = pd.DataFrame([[0, 0, 1]] * 50, columns=["x", "y", "weight"])
    assert (len(planes.clean(many)[0]), planes.clean(many)[1]) == (MOST_POINTS, 10)


def test_what_a_browser_says_of_the_points_is_taken_as_far_as_they_are_points():
    assert planes.told([[1.00004, -2, 3], [9, 0, 1], [0, 0, "many"], [1, 2], {"x": 1}, [3, 3, 100]]) == (
        (1.0, -2.0, 3.0),
        (3.0, 3.0, 100.0),
    )
    assert planes.told([[10**400, 1, 1], [1, float("nan"), 1], [True, [1], None], 5, None]) == ()
    assert planes.told("points") == planes.told(None) == planes.told([]) == ()


def test_a_target_keeps_its_place_beside_the_points_of_the_first_lesson():
    at = open_lesson(lesson="target", points="1.9,0.5,1")
    assert "2 of 8 picks near" not in [m.delta for m in at.metric]
    at.pills(key="lesson-tab").set_value("ellipse").run()
    assert address(at) == {"lesson": "ellipse"}
    at.pills(key="lesson-tab").set_value("target").run()
    assert address(at) == {"lesson": "target", "points": "1.9,0.5,1"}
    next(b for b in at.button if b.label == "Start again").click().run()
    assert address(at) == {"lesson": "target"}


def test_another_pool_of_the_appendix_begins_with_its_own_points():
    at = open_lesson(lesson="equivalence", points="2,0,1;0,1,1;0.1,0.1,1")
    assert "of 3" in [m.delta for m in at.metric]
    at.selectbox(key="equivalence.among").set_value("a ring").run()
    assert address(at) == {"lesson": "equivalence", "among": "a ring"} and "of 7" in [m.delta for m in at.metric]


def test_starting_again_and_clearing():
    at = open_lesson(lesson="ellipse", points="1,0,1")
    next(b for b in at.button if b.label == "Clear").click().run()
    assert address(at)["points"] == ""
    assert "0 points" in [m.delta for m in at.metric]
    next(b for b in at.button if b.label == "Start again").click().run()
    assert "points" not in address(at)


def test_the_presenters_view_shows_one_step_at_a_time_and_goes_on_to_the_next_lesson_of_the_path():
    at = open_lesson(lesson="line", path="10", present="true")
    lines = LESSONS["line"].lines
    assert lines[0] in text_of(at) and lines[1] not in text_of(at)
    assert not at.pills and not at.title  # no chrome
    for _ in range(len(lines)):
        at.button(key="present-next").click().run()
    assert "Predict:" in text_of(at) and at.radio and lines[-1] not in text_of(at)
    assert address(at) == {"lesson": "line", "path": "10", "present": "true", "step": str(len(lines))}
    at.button(key="present-reveal").click().run()
    assert LESSONS["line"]().show().question.because in at.info[0].value
    at.button(key="present-back").click().run()
    assert at.radio and not at.info
    at.button(key="present-next").click().run()
    assert at.info
    at.button(key="present-next").click().run()
    assert address(at) == {"lesson": "ellipse", "path": "10", "present": "true"}
    at.button(key="present-back").click().run()  # to the answer of the lesson before
    assert at.header[0].value == LESSONS["line"].title and at.info
    at.button(key="present-leave").click().run()
    assert not at.exception and address(at) == {"lesson": "line", "path": "10"}


def test_exercises_have_their_answers_behind_a_button_and_on_paper_only_where_asked_for():
    at = open_lesson(lesson="greedy")
    made = exercises("greedy")
    assert all(one.task in text_of(at) for one in made)
    assert f"**Exercise 1:** {made[0].answer}" not in text_of(at)
    at.toggle(key="lesson-answers-on").set_value(True).run()
    assert f"**Exercise 1:** {made[0].answer}" in text_of(at)
    assert address(at) == {"lesson": "greedy", "answers": "true"}


@pytest.mark.parametrize("key", ["lesson-path", "lesson-tab", "lesson-chart"])
def test_what_is_no_option_leaves_the_lesson_as_it_is(key):
    at = open_lesson(lesson="returns", chart="1")
    if key == "lesson-path":
        at.selectbox(key=key).options.append("zzz")  # so that the harness sends it
        at.selectbox(key=key).set_value("zzz").run()
    else:
        next(row for row in at.get("button_group") if row.key == key).set_value(None).run()  # sent empty
    assert not at.exception, at.exception
    assert address(at)["lesson"] == "returns"
