"""Configuration files for tests, in the directory in which a test runs."""

from pathlib import Path

import pytest

from eventrouter.config import Config, load_config
from eventrouter.errors import ConfigError


def written(text: str) -> Path:
    """A configuration file with this text, in the test's own directory."""
    file = Path("written.toml")
    file.write_text(text, encoding="utf-8")
    return file


def loaded(text: str) -> Config:
    """The configuration of a file with this text."""
    return load_config(written(text), environ={})


def faults_of(text: str, **environ: str) -> list[str]:
    """The lines of the error for a file with this text."""
    with pytest.raises(ConfigError) as caught:
        load_config(written(text), environ=environ)
    return str(caught.value).splitlines()
