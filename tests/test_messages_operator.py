"""Operators and countries by number plan: the same answers as phonenumbers, faster, and names that fit a label."""

import random
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Final

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import carrier
from phonenumbers.carrierdata import CARRIER_DATA

from checks.messages import UNKNOWN_OPERATOR, country_of, number_plan
from checks.messages.country import _MOST, memoise_by_prefix
from checks.messages.operator import operator_by_mcc_mnc, operator_label, operator_of, origin_of

TYPES: Final = (
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
    phonenumbers.PhoneNumberType.PAGER,
    phonenumbers.PhoneNumberType.VOIP,
)


def plain_origin(number: str) -> tuple[str, str]:
    parsed = phonenumbers.parse(number)
    region = phonenumbers.region_code_for_number(parsed)
    country = "unknown" if region is None or not region.isalpha() else region
    return country, operator_label(carrier.name_for_number(parsed, "en"))


def examples() -> list[str]:
    """Return the metadata's example of each kind of number of each country."""
    found = [
        phonenumbers.example_number_for_type(region, kind)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in TYPES
    ]
    return [phonenumbers.format_number(one, phonenumbers.PhoneNumberFormat.E164) for one in found if one is not None]


@pytest.mark.parametrize(
    ("number", "country", "operator"),
    [
        ("+4915112345678", "DE", "T-Mobile"),
        ("+2348031234567", "NG", "MTN"),
        ("+33612345678", "FR", "SFR"),
        ("+14155550100", "US", "unknown"),  # the plan of the US names no operators
        ("+14165550100", "CA", "unknown"),
        ("+77012345678", "KZ", "Kcell/Activ"),
        ("+79161234567", "RU", "unknown"),
        ("+881612345678", "unknown", "iridium satellite"),  # of no country
        ("+999123456789", "unknown", "unknown"),
        ("", "unknown", "unknown"),
        ("+", "unknown", "unknown"),
        ("4915112345678", "unknown", "unknown"),
        ("alice", "unknown", "unknown"),
    ],
)
def test_a_number_has_its_country_and_operator(number: str, country: str, operator: str) -> None:
    for _ in range(2):  # looked up, then remembered
        assert (country_of(number), operator_of(number)) == (country, operator)
        assert origin_of(number) == (country, operator)


def test_what_is_remembered_is_what_phonenumbers_says() -> None:
    dice = random.Random(5)
    stems = dice.sample(sorted(CARRIER_DATA), 1500)
    numbers = examples()
    for stem in stems:
        length = dice.choice((10, 11, 12))
        stem_and_more = stem + "".join(dice.choices("0123456789", k=max(0, length - len(stem))))
        numbers += [f"+{stem_and_more[:-4]}{dice.randrange(10_000):04d}" for _ in range(2)]
    differ = [number for number in numbers if origin_of(number) != plain_origin(number)]
    assert len(differ) <= len(numbers) / 1000


@given(st.text(max_size=20) | st.from_regex(r"\A\+[0-9]{0,20}\Z"))
def test_any_text_has_an_answer(number: str) -> None:
    country, operator = origin_of(number)
    assert country == country_of(number)
    assert operator == operator_of(number) == operator_label(operator)


def test_numbers_of_one_prefix_and_length_are_looked_up_once() -> None:
    asked: list[str] = []

    @memoise_by_prefix
    def look_up(number: str) -> str:
        asked.append(number)
        return number

    for number in (
        "+4915112345678",
        "+491511239999",
        "+4915112",
        "+49151123x5678",
        "+49151123\u0661678",
    ):
        look_up(number)
        look_up(number)
    assert asked == [
        "+4915112345678",
        "+491511239999",
        "+4915112",
        *["+49151123x5678"] * 2,
        *["+49151123\u0661678"] * 2,
    ]


def test_the_memory_is_bounded_and_keeps_what_is_asked_for() -> None:
    asked: list[str] = []

    @memoise_by_prefix
    def look_up(number: str) -> str:
        asked.append(number)
        return number

    for number in range(5 * _MOST):
        look_up(f"+{10_000_000 + number}")
        if number % 1000 == 0:
            look_up("+4915112345678")
    assert asked.count("+4915112345678") == 1
    before = len(asked)
    look_up("+10000000")
    assert len(asked) == before + 1  # forgotten
    dictionaries = [cell.cell_contents for cell in look_up.__closure__ or () if isinstance(cell.cell_contents, dict)]
    assert len(dictionaries) == 2
    assert all(len(each) <= _MOST for each in dictionaries)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("MTN", "MTN"),
        ("  Vodafone \t D2 \n", "Vodafone D2"),
        ("Te\u0301le\u0301com", "T\u00e9l\u00e9com"),
        ("T\u200bM\u202eobile\x00\x1b[31m", "TMobile[31m"),
        ("\ud800Orange", "Orange"),
        ("x" * 1000, "x" * 40),
        ("Complejo Manufacturero De Equipos Telefonicos S.A.C.I.", "Complejo Manufacturero De Equipos Telefo"),
        ("O2 (UK)", "O2 (UK)"),
        ("3 Hutchison 2100", "3 Hutchison 2100"),
        ("", "unknown"),
        (" \x00 ", "unknown"),
        ("+49 151 1234567", "unknown"),
        ("line 0151\u200b1234567", "unknown"),
    ],
)
def test_a_name_becomes_a_label(name: str, label: str) -> None:
    assert operator_label(name) == label


@given(st.text(max_size=300))
def test_a_label_is_short_and_clean(name: str) -> None:
    label = operator_label(name)
    assert 0 < len(label) <= 40
    assert not [letter for letter in label if unicodedata.category(letter).startswith("C")]
    assert label == " ".join(label.split())
    assert operator_label(label) == label


@pytest.mark.parametrize(
    ("mcc", "mnc", "label"),
    [
        ("621", "30", "62130"),
        ("310", "260", "310260"),
        ("901", "28", "90128"),
        ("", "", UNKNOWN_OPERATOR),
        ("000", "00", UNKNOWN_OPERATOR),
        ("62", "30", UNKNOWN_OPERATOR),
        ("621", "3", UNKNOWN_OPERATOR),
        ("621", "3000", UNKNOWN_OPERATOR),
        ("621", "3\n", UNKNOWN_OPERATOR),
        ("6\u06612", "30", UNKNOWN_OPERATOR),
        ("null", "null", UNKNOWN_OPERATOR),
    ],
)
def test_an_operator_without_a_name_is_told_by_its_codes(mcc: str, mnc: str, label: str) -> None:
    assert operator_by_mcc_mnc(mcc, mnc) == label


def test_the_number_plan_is_read_when_it_is_needed_and_not_kept_as_the_library_keeps_it() -> None:
    program = """
import sys
from checks.messages import number_plan, operator
from checks.providers import twilio
before = number_plan._plan.cache_info().currsize
operator.operator_of("+4915112345678")
left = [name for name in sys.modules if name.startswith(("phonenumbers.carrier", "phonenumbers.geo"))]
print(before, number_plan._plan.cache_info().currsize, left)
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["0", "1", "[]"]


def test_a_part_of_the_number_plan_that_is_written_in_another_way_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "data0.py"
    for written in (
        "data = {'49151': {'en': 'One'},\n '49152':{'fa': 'Two'}}\n",
        "data = dict([('49151', {'en': 'One'})])\n",
    ):
        path.write_text(written)
        assert list(number_plan._entries(path)) == [("49151", "One")]


def test_the_packed_number_plan_is_the_librarys() -> None:
    prefixes, which, names = number_plan._plan()
    packed = {str(prefix): names[place] for prefix, place in zip(prefixes, which, strict=True)}
    assert packed == {prefix: by["en"] for prefix, by in CARRIER_DATA.items() if "en" in by}
