"""A refresh returns a CPU limit in the same form as the official provider."""

from __future__ import annotations

from decimal import Decimal

import pytest

from lab.plugins.docker_plugin.container_facts import cpus
from portcullis.components.containers.render import spell_cpus


@pytest.mark.parametrize(
    ("nano", "text"),
    # nanoInt64ToDecimalString of kreuzwerker/terraform-provider-docker 4.5.0 printed these texts.
    [
        (1_000_000, "0.0"),
        (10_000_000, "0.0"),
        (50_000_000, "0.1"),
        (51_000_000, "0.051"),
        (55_000_000, "0.055"),
        (100_000_000, "0.1"),
        (500_000_000, "0.5"),
        (1_000_000_000, "1.0"),
        (1_050_000_000, "1.05"),
        (1_250_000_000, "1.25"),
        (10_000_000_000, "10."),
        (10_050_000_000, "10.1"),
        (10_500_000_000, "10.5"),
        (16_000_000_000, "16.0"),
        (20_750_000_000, "20.75"),
        (100_000_000_000, "100."),
        (100_250_000_000, "100.3"),
        (100_251_000_000, "100.251"),
        (101_000_000_000, "101."),
        (512_000_000_000, "512.0"),
    ],
)
def test_a_limit_is_written_as_the_official_provider_writes_it(nano: int, text: str) -> None:
    assert cpus(nano) == text


def test_a_limit_that_a_component_spells_reads_back_as_it_was_written() -> None:
    """The test tries all hundredths that a setting allows, and each of them with a third decimal."""
    for hundredths in range(1, 51_201):
        for thousandths in (hundredths * 10, hundredths * 10 + 5):
            read = cpus(thousandths * 10**6)
            number = Decimal(thousandths) / 1000
            if Decimal(read) == number:
                assert spell_cpus(number) == read
            else:
                with pytest.raises(ValueError, match=f"is read back as {read} "):
                    spell_cpus(number)
