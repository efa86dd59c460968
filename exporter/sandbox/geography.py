"""The countries and mobile operators that the sandbox's clients live in.

Operators, their mobile codes and number ranges are real, so that numbers parse as mobile numbers of
their country. Mobile codes: ITU-T E.212 national lists. Ranges and names: the number plans in the library
`phonenumbers` 9.0; in the United States the exchange 555, kept for fiction. Prices are of the order
of Twilio's list prices for one segment. Latencies and failure shares are made up around the figures
that providers and operators publish (medians of 2 to 20 s, 1 to 7 % failures).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final


@dataclass(frozen=True, slots=True)
class Operator:
    """A mobile operator, and how it treats one-time codes on a normal day."""

    name: str
    mcc: str
    mnc: str
    prefix: str  # of the national number
    digits: int  # that follow the prefix
    median_seconds: float  # from the send to the handset
    failure_share: float
    lost_receipt_share: float = 0.0  # delivered messages whose receipt never comes


@dataclass(frozen=True)
class Country:
    """A country with its operators, in the order of their market share."""

    code: str  # ISO 3166 alpha-2
    calling_code: str
    utc_offset_hours: int  # standard time: the day's rhythm needs no more
    price_micros: int  # millionths of a US dollar a segment
    operators: tuple[Operator, ...]

    @cached_property
    def prefixes(self) -> Mapping[str, Operator]:
        """The operators by the E.164 prefix of their numbers."""
        return {f"+{self.calling_code}{each.prefix}": each for each in self.operators}


COUNTRIES: Final = (  # the busiest first
    Country("GB", "44", 0, 52_400, (
        Operator("EE", "234", "30", "7415", 6, 3.2, 0.021),
        Operator("O2", "234", "10", "7521", 6, 3.9, 0.024),
        Operator("Vodafone", "234", "15", "7717", 6, 4.1, 0.026),
    )),
    Country("DE", "49", 1, 112_200, (
        Operator("T-Mobile", "262", "01", "1511", 7, 3.0, 0.019),
        Operator("Vodafone", "262", "02", "1520", 7, 3.6, 0.023),
        Operator("O2", "262", "03", "1761", 7, 4.4, 0.028),
    )),
    Country("AE", "971", 4, 110_700, (
        Operator("Etisalat", "424", "02", "50", 7, 4.8, 0.031),
        Operator("du", "424", "03", "55", 7, 5.6, 0.034),
    )),
    Country("NG", "234", 1, 389_800, (
        Operator("MTN", "621", "30", "803", 7, 7.4, 0.046),
        Operator("Airtel", "621", "20", "802", 7, 8.8, 0.051),
        Operator("Glo", "621", "50", "805", 7, 13.0, 0.062, 0.15),
        Operator("9mobile", "621", "60", "809", 7, 16.0, 0.068, 0.35),
    )),
    Country("IN", "91", 5, 83_200, (
        Operator("Reliance Jio", "405", "840", "7016", 6, 3.4, 0.022),
        Operator("Airtel", "404", "10", "9810", 6, 4.2, 0.026),
        Operator("Vodafone", "404", "20", "9820", 6, 8.0, 0.044),
        Operator("BSNL MOBILE", "404", "34", "9417", 6, 17.0, 0.070),
    )),
    Country("ZA", "27", 2, 28_200, (
        Operator("Vodacom", "655", "01", "82", 7, 4.6, 0.028),
        Operator("MTN", "655", "10", "83", 7, 5.0, 0.031),
        Operator("Cell C", "655", "07", "84", 7, 6.4, 0.037),
    )),
    Country("ES", "34", 1, 85_800, (
        Operator("Movistar", "214", "07", "619", 6, 3.7, 0.022),
        Operator("Orange", "214", "03", "656", 6, 4.3, 0.025),
    )),
    Country("ID", "62", 7, 441_400, (
        Operator("Telkomsel", "510", "10", "812", 8, 6.8, 0.041),
        Operator("Indosat Ooredoo Hutchison", "510", "01", "856", 8, 9.0, 0.048),
        Operator("XL", "510", "11", "817", 8, 9.6, 0.050, 0.20),
    )),
    Country("US", "1", -6, 8_300, (
        Operator("Verizon", "311", "480", "2025550", 3, 2.2, 0.017),
        Operator("AT&T", "310", "410", "3125550", 3, 2.4, 0.018),
        Operator("T-Mobile US", "310", "260", "4155550", 3, 2.6, 0.020),
    )),
    Country("TR", "90", 3, 31_700, (
        Operator("Turkcell", "286", "01", "532", 7, 4.9, 0.029),
        Operator("Vodafone", "286", "02", "542", 7, 5.7, 0.033),
    )),
    Country("PL", "48", 1, 41_600, (
        Operator("Orange", "260", "03", "501", 6, 3.3, 0.020),
        Operator("Play", "260", "06", "790", 6, 3.8, 0.023),
    )),
    Country("BR", "55", -3, 46_500, (
        Operator("Vivo", "724", "06", "11971", 6, 5.5, 0.035),
        Operator("Claro", "724", "05", "11991", 6, 6.0, 0.038),
        Operator("TIM", "724", "02", "11981", 6, 6.6, 0.041),
    )),
    Country("IT", "39", 1, 92_700, (
        Operator("TIM", "222", "01", "335", 7, 3.9, 0.024),
        Operator("Vodafone", "222", "10", "347", 7, 4.0, 0.024),
    )),
    Country("KZ", "7", 5, 224_500, (
        Operator("Kcell/Activ", "401", "02", "701", 7, 8.2, 0.043),
        Operator("Beeline", "401", "01", "777", 7, 8.6, 0.045),
    )),
    Country("VN", "84", 7, 154_900, (
        Operator("Viettel", "452", "04", "98", 7, 9.5, 0.049),
        Operator("MobiFone", "452", "01", "90", 7, 11.0, 0.055, 0.25),
    )),
)  # fmt: skip

UNPERMITTED_COUNTRY: Final = COUNTRIES[0].code
"""Where `country_not_permitted` strikes: the busiest country, which every set-up asks about."""


def find_home(number: str) -> tuple[Country, Operator] | None:
    """Return the country and operator of an E.164 number; None when no range holds it."""
    for country in COUNTRIES:
        for prefix, operator in country.prefixes.items():
            if number.startswith(prefix):
                return country, operator
    return None


def find_operator(country_code: str, name: str) -> tuple[Country, Operator]:
    """Return an operator and its country. Raises LookupError when there is none of that name."""
    for country in COUNTRIES:
        for operator in country.operators:
            if (country.code, operator.name) == (country_code, name):
                return country, operator
    raise LookupError(f"no operator {name} in {country_code}")
