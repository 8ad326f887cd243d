"""Every case of the tests of OTP and Elixir is proved here, or it is said why it does not apply."""

from scripts.conformance import PAGE, TITLES, page
from tests.conformance.cases import CASES, CHAPTERS, PROOFS

EXPECTED = page()


def test_the_page_is_up_to_date():
    assert PAGE.read_text("utf-8") == EXPECTED, "run scripts/conformance"


def test_no_number_is_missing():
    numbers = [f"S{each}" for each in range(1, 94)]
    numbers += [f"G{each}" for each in range(1, 74)]
    numbers += [f"E{each}" for each in range(1, 346)]
    assert sorted(CASES) == sorted(numbers)
    assert set(CHAPTERS) == set(TITLES)


def test_every_case_is_proved_or_does_not_apply():
    proved = {number for number, tests in PROOFS.items() if tests}
    assert [each for each in CASES if each not in proved] == [
        number for number, case in CASES.items() if case.applies == "no"
    ]


def test_what_does_not_apply_has_a_reason_and_the_rest_none():
    for case in CASES.values():
        assert case.applies in {"yes", "adapted", "no"}, case
        assert bool(case.reason) is (case.applies == "no"), case
        assert not (case.deviation and case.reason), case
