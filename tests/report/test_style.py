from __future__ import annotations

import re
from itertools import combinations

import pytest

from adu_bench.registry import Catalogue
from adu_bench.report.style import DOMAIN_LOOKS, look, save, style
from adu_bench.report.templates import resource

METHODS = [(name, preset.group) for name, (preset, _) in Catalogue().presets.items()]
BOARD = [method for method in METHODS if method[1] in ("paper", "reference")]


def luminance(colour: str) -> float:
    """Relative luminance as WCAG defines it."""
    linear = [((int(colour[place : place + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for place in (1, 3, 5)]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_no_two_shipped_methods_look_the_same():
    looks = [look(*method) for method in METHODS]
    assert len(set(looks)) == len(looks) > 40
    papers = [look(*method).colour for method in BOARD if method[1] == "paper"]
    assert len(set(papers)) == len(papers)


def test_a_look_depends_on_the_name_alone():
    assert look("mine", "other") == look("mine", "other")
    assert look("mine", "other") != look("yours", "other")


def test_variants_keep_their_methods_colour_and_are_hollow():
    whole = look("adu", "paper")
    for label, group in (("adu[gamma=3.0]", "paper"), ("adu-no-ddl", "ablation")):
        assert look(label, group).colour == whole.colour
        assert not look(label, group).filled
    assert look("adu-later", "other").colour != whole.colour


def test_domains_never_have_a_shipped_methods_colour():
    methods = {look(*method).colour for method in BOARD}
    assert not methods & {domain.colour for domain in DOMAIN_LOOKS}
    assert len({domain.marker for domain in DOMAIN_LOOKS}) == len(DOMAIN_LOOKS)


def test_a_family_has_its_own_colours():
    colours = {group: {look(name, group).colour for name, own in METHODS if own == group} for _, group in METHODS}
    del colours["ablation"]  # has its methods' colours
    colours["other"] = {look(f"method-{number}", "other").colour for number in range(50)}
    for one, other in combinations(colours, 2):
        assert not colours[one] & colours[other], (one, other)


def test_colours_can_be_seen_on_white_and_on_dark_pages():
    css = resource("web/base.css") + resource("web/page.css")
    (sheet,) = re.findall(r"dark\) {\s*:root {[^}]*--sheet: (#\w{6})", css)
    lighter = dict(re.findall(r'\[stroke="(#\w{6})"\] { stroke: (#\w{6}); }', css))
    assert lighter == dict(re.findall(r'\[fill="(#\w{6})"\] { fill: (#\w{6}); }', css))
    for name, group in [*METHODS, *((f"method-{number}", "other") for number in range(50))]:
        colour = look(name, group).colour
        assert re.fullmatch("#[0-9a-f]{6}", colour)
        assert 1.05 / (luminance(colour) + 0.05) > 2.0, name
        if group != "reference":  # the page draws them in the colour of quiet text
            assert (luminance(lighter.get(colour, colour)) + 0.05) / (luminance(sheet) + 0.05) > 3.0, name


@pytest.mark.parametrize("kind", ["protan", "deutan"])
def test_colour_blind_eyes_tell_the_papers_methods_apart(kind):
    """Machado et al. 2009, full severity; distances in linear RGB as those eyes receive it."""
    matrices = {
        "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
        "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    }

    def seen(colour: str) -> list[float]:
        rgb = [(int(colour[place : place + 2], 16) / 255) ** 2.2 for place in (1, 3, 5)]
        return [sum(weight * value for weight, value in zip(row, rgb, strict=True)) for row in matrices[kind]]

    colours = [look(*method).colour for method in BOARD if method[1] == "paper"]
    for one, other in combinations(colours, 2):
        assert sum((a - b) ** 2 for a, b in zip(seen(one), seen(other), strict=True)) ** 0.5 > 0.1, (one, other)


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_a_figure_is_saved_byte_for_byte(tmp_path, kind):
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams["font.size"] = 30  # what the user prefers must not show

    def write(name: str) -> bytes:
        with style():
            figure = Figure(figsize=(2, 2))
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1], **look("adu", "paper").points(), label="adu")
            axes.legend()
            (path,) = save(figure, tmp_path / name, [kind])
        return path.read_bytes()

    try:
        first = write("a")
        rcParams["font.size"] = 10
        assert first == write("b")
    finally:
        rcParams["font.size"] = 10
    assert not re.search(rb"20\d\d-\d\d-\d\d|/CreationDate", first)
