"""Colours that people with any kind of colour vision tell apart, and words that stand out from their ground (WCAG AA)."""

import tomllib
from itertools import combinations

import numpy as np
import pytest

from fishersft.plots import base as plots
from fishersft.selectors import registry
from fishersft.ui.components import HEAT

from .conftest import ROOT

STYLED = [*registry(), "what_if"]
THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
GROUND = {False: THEME["light"]["backgroundColor"], True: THEME["dark"]["backgroundColor"]}
INK = {False: THEME["light"]["textColor"], True: THEME["dark"]["textColor"]}
SEEN = {  # Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB
    "all cones": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def linear(share):
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(colour, seen):
    x = XYZ @ np.clip(SEEN[seen] @ linear(rgb(colour)), 0, 1) / np.array([0.95047, 1, 1.08883])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours, seen):
    return min(np.linalg.norm(lab(a, seen) - lab(b, seen)) for a, b in combinations(dict.fromkeys(colours), 2))


def contrast(a, b):
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("dark", [False, True])
def test_no_two_colours_of_a_chart_look_alike_to_anyone(seen, dark):
    categories = plots.CATEGORY_ON_DARK if dark else plots.CATEGORY_COLOURS
    assert nearest(categories, seen) > 12  # in CIELAB; 2.3 is just noticeable
    assert nearest([plots.style(name, dark)[0] for name in STYLED], seen) > 8


def test_no_two_selectors_share_a_marker():
    markers = [plots.style(name)[1] for name in STYLED]
    assert len(set(markers)) == len(markers)


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_charts_stand_out_from_their_ground(dark):
    text, _, quiet = plots.ink(dark)
    for ink in (INK[dark], text, quiet, THEME["dark" if dark else "light"]["linkColor"]):
        assert contrast(rgb(ink), rgb(GROUND[dark])) >= 4.5
    for name in STYLED:
        colour = plots.style(name, dark)[0]
        least = 2.2 if colour == plots.ORANGE else 3.0  # on white orange is told by its marker, too
        assert contrast(rgb(colour), rgb(GROUND[dark])) >= least, name


@pytest.mark.parametrize("dark", [False, True])
def test_the_darkest_shade_of_the_heat_map_leaves_the_words_readable(dark):
    channels, most = HEAT[dark]
    shade = np.array([int(c) for c in channels.split(",")]) / 255 * most + rgb(GROUND[dark]) * (1 - most)
    assert contrast(rgb(INK[dark]), shade) >= 4.5
