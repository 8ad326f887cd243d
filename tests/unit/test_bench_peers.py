"""How `scripts/bench peers` tells what it has found, and what it could not."""

from xml.etree import ElementTree

import pytest

from scripts.benchmarks.peers import environments
from scripts.benchmarks.peers.catalogue import PEERS, Entry
from scripts.benchmarks.peers.command import PAGE, rewritten
from scripts.benchmarks.peers.plot import plot
from scripts.benchmarks.peers.rounds import FULL, SMOKE, Result, orders
from scripts.benchmarks.peers.tables import duration, per_second, tables
from scripts.benchmarks.peers.timing import Samples, summary

SVG = "{http://www.w3.org/2000/svg}"


def result(key: str, **answers: dict[str, object]) -> Result:
    (entry,) = (each for each in PEERS if each.key == key)
    found = Result(entry, "1.2.3")
    for order in orders(FULL):
        found.answers[order] = [{"p50": 20.0, "p99": 40.0, "rate": 5000.0, "count": 9}]
    for order, answer in answers.items():
        found.answers[order] = [answer]
    return found


def missing(key: str, why: str) -> Result:
    return Result(next(each for each in PEERS if each.key == key), unavailable=why)


def test_a_peer_that_could_not_be_installed_is_named_with_the_reason():
    text = tables([result("beethoven"), missing("ray", "pip cannot install ray")], 8)

    assert "- Ray is missing: pip cannot install ray." in text
    assert "| Ray" not in text


def test_a_dash_has_its_reason_below_the_tables():
    text = tables([result("dask", restart={"missing": "the actor does not come back"})], 8)

    (line,) = (line for line in text.splitlines() if line.startswith("| Dask") and "worker" in line)
    assert line.endswith("| \u2013 |")
    assert "- Dask actors, restart: the actor does not come back." in text


def test_what_failed_is_told_as_what_is_missing():
    text = tables([result("rpyc", echo_50000000_1={"failed": "no answer within 91 s"})], 8)

    assert "- RPyC, 50 MB of 1 client: no answer within 91 s." in text


def test_the_median_is_taken_over_the_rounds_that_have_a_figure():
    found = result("pykka")
    found.answers["cast"] = [{"rate": 1.0}, {"failed": "once"}, {"rate": 3.0}]

    assert found.median("cast", "rate") == 2.0
    assert found.median("cast", "p50") is None


def test_what_a_peer_left_behind_is_told():
    found = result("thespian")
    found.left = ["python (12)"]

    assert "- Thespian left behind: python (12)." in tables([found], 8)


def test_the_picture_has_a_bar_for_every_peer_and_figure():
    names = ("beethoven", "pipe", "pykka")
    picture = ElementTree.fromstring(plot([result(name) for name in names], 8))

    bars = [each for each in picture.iter(f"{SVG}rect") if each.get("height") == "16"]
    assert len(bars) == 3 * len(names)
    assert all(float(bar.get("width", 0)) > 0 for bar in bars)
    assert "Pykka" in {each.text for each in picture.iter(f"{SVG}text")}


def test_the_page_keeps_all_but_what_stands_between_its_marks():
    page = PAGE.read_text("utf-8")
    once = rewritten(page, "one table\n")

    assert "one table" in once
    assert rewritten(once, "another\n") == rewritten(page, "another\n")
    assert once.partition("<!-- peers")[0] == page.partition("<!-- peers")[0]


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="expected '<!-- peers"):
        rewritten("nothing", "table")


def test_every_peer_is_asked_for_the_same():
    assert orders(FULL).keys() == {
        *(
            f"echo_{size}_{clients}"
            for size in (100, 10**4, 10**6, 5 * 10**7)
            for clients in (1, 8)
        ),
        "cast",
        "start",
        "restart",
    }
    assert all(order["seconds"] > 0 for order in orders(SMOKE).values())


def test_a_program_that_is_missing_is_told_with_how_to_install_it():
    entry = Entry("odd", "Odd", "process", "", "no-such-program", "odd-package")

    with pytest.raises(environments.Unavailable, match="apt-get install odd-package"):
        environments.python_of(entry)


def test_a_summary_counts_the_time_from_the_first_to_the_last():
    found = summary([Samples(0, 500_000_000, [1000] * 3), Samples(0, 1_000_000_000, [3000])])

    assert found == {"p50": 1.0, "p99": 3.0, "count": 4, "rate": 4.0}


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.5e-6, "3.5 µs"), (0.0123, "12 ms"), (1.5, "1.5 s"), (61.0, "61 s")]
)
def test_a_duration_has_a_unit_that_suits_it(seconds, text):
    assert duration(seconds) == text


def test_a_rate_has_a_unit_that_suits_it():
    assert [per_second(rate) for rate in (12.3, 45_600.0)] == ["12 /s", "46 k/s"]
