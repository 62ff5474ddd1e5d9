"""The spelling of a CPU limit, as Docker's provider reads it back."""

from __future__ import annotations

import pytest

from portcullis.components.containers.render import spell_cpus


@pytest.mark.parametrize(
    ("number", "text"),
    # nanoInt64ToDecimalString of kreuzwerker/terraform-provider-docker 4.5.0 printed these texts.
    [
        ("1", "1.0"),
        ("1.0", "1.0"),
        ("0.5", "0.5"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("0.1", "0.1"),
        ("0.011", "0.011"),
        ("0.055", "0.055"),
        ("0.000000011", "0.000000011"),
        ("1.05", "1.05"),
        ("1.25", "1.25"),
        ("1.2500", "1.25"),
        ("10", "10."),
        ("10.0", "10."),
        ("10.", "10."),
        ("1e1", "10."),
        ("10.5", "10.5"),
        ("10.25", "10.25"),
        ("16", "16.0"),
        ("100", "100."),
        ("100.5", "100.5"),
        ("100.05", "100.05"),
        ("101", "101."),
        ("512", "512.0"),
    ],
)
def test_the_spelling_of_a_limit_reads_back_unchanged(number: str, text: str) -> None:
    assert spell_cpus(number) == text
    assert spell_cpus(text) == text


@pytest.mark.parametrize(
    ("number", "read"),
    [
        ("0.001", "0.0"),
        ("0.01", "0.0"),
        ("0.04", "0.0"),
        ("0.05", "0.1"),
        ("0.09", "0.1"),
        ("10.05", "10.1"),
        ("100.25", "100.3"),
        ("0.000000001", "0.0"),
    ],
)
def test_a_limit_that_the_provider_reads_back_as_another_number_is_refused(number: str, read: str) -> None:
    with pytest.raises(ValueError, match=f"is read back as {read} by Docker's provider"):
        spell_cpus(number)


def test_a_limit_finer_than_docker_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="has more than 9 decimals"):
        spell_cpus("0.1234567891")
