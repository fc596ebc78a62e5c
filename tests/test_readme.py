"""What the README says that can be checked by itself."""

from tests.readme_codes import README, written


def test_the_tables_of_codes_are_those_of_the_code() -> None:
    """Written again they are the same: python -m tests.readme_codes does it."""
    text = README.read_text("utf-8")
    assert "| `CONTRADICTION` |" in text
    assert written(text) == text
