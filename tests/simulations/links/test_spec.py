"""What people write for a link, and what they meant."""

import pytest

from narrows.errors import ConfigError
from narrows.simulations.links.spec import LinkSpec


@pytest.mark.parametrize(
    ("text", "rate_bits", "delay_ms"),
    [
        ("2mbit,20ms", 2e6, 20.0),
        ("64kbit", 64e3, 0.0),
        (" 1.5Gbit , 500us ", 1.5e9, 0.5),
        ("10mbit,1s", 1e7, 1000.0),
    ],
)
def test_rates_and_delays_have_units(text: str, rate_bits: float, delay_ms: float) -> None:
    assert LinkSpec.parse(text) == LinkSpec(rate_bits, delay_ms)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "2mb",
        "2mbit,20",
        "2mbit,20ms,3",
        "-1mbit",
        "0mbit",
        "1mbit,2000s",
        "fast",
        "1e3mbit",
    ],
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="link"):
        LinkSpec.parse(text)


@pytest.mark.parametrize("text", ["2mbit,20ms", "64kbit,0ms", "1.5gbit,0.5ms"])
def test_a_spec_prints_as_it_is_written(text: str) -> None:
    assert str(LinkSpec.parse(text)) == text


def test_serialisation_is_bytes_over_rate() -> None:
    assert LinkSpec.parse("2mbit").serialisation_ns(1000) == 4_000_000
