"""Reading the configuration: overrides, the environment, a TOML file and defaults, in that order.

Reading is our own, on pydantic alone: pydantic-settings stops at the first variable that is not JSON, passes over
unknown variables and cannot say which variable a fault came from. Here one `ConfigError` has the faults of all sources.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from eventrouter.config.agreement import disagreements
from eventrouter.config.faults import dotted, field_at, kinds_of, sentence, toml_sentence
from eventrouter.config.sections import Config
from eventrouter.config.values import decimal_number
from eventrouter.errors import ConfigError

_PREFIX = "EVENTROUTER_"
_NOT_SETTINGS = frozenset(
    {"EVENTROUTER_CONFIG", "EVENTROUTER_WEBHOOK_URL", "EVENTROUTER_MASTER_KEY", "EVENTROUTER_FAILPOINT"}
)


def find_config_file(path: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file to read: `path`, else EVENTROUTER_CONFIG, else ./config.toml if it is there, else None (defaults)."""
    named = path or (Path(environ["EVENTROUTER_CONFIG"]) if environ.get("EVENTROUTER_CONFIG") else None)
    usual = Path("config.toml")
    return named or (usual if usual.is_file() else None)


def load_config(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """The configuration; `overrides` has the file's shape (`{"router": {"dry_run": True}}`).

    Raises ConfigError with one line per fault, the dotted key first; no line has a secret value in it.
    """
    file = find_config_file(path, environ=environ)
    faults: list[str] = []
    origins: dict[str, str] = {}
    values = _read_file(file, faults) if file else {}
    values = _merged(values, _read_environment(environ, origins, faults))
    values = _merged(values, overrides or {})
    origins = {key: name for key, name in origins.items() if not _reaches(overrides, key.split("."))}
    # A source that could not be read leaves gaps, and a gap would look like a disagreement.
    across = [] if faults else list(disagreements(_merged(Config().model_dump(by_alias=True), values)))
    try:
        config = Config.model_validate(values, context={"source": str(file) if file else "built-in defaults"})
    except ValidationError as error:
        found = [(dotted(each["loc"]), sentence(each)) for each in error.errors(include_url=False) if each["loc"]]
        faults += [f"{key}: {what}{_origin(key, origins)}" for key, what in found + across]
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _reaches(values: object, path: Sequence[str]) -> bool:
    return not path or (isinstance(values, Mapping) and path[0] in values and _reaches(values[path[0]], path[1:]))


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """` (set by VARIABLE)` when an environment variable set this key or a table around it."""
    parts = re.sub(r"\[\d+\]", "", key).split(".")
    around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    name = next((origins[each] for each in around if each in origins), None)
    return f" (set by {name})" if name else ""


def _read_file(file: Path, faults: list[str]) -> dict[str, Any]:
    text = ""
    try:
        text = file.read_text(encoding="utf-8-sig")  # editors on Windows write a byte order mark
        return tomllib.loads(text, parse_float=decimal_number)
    except FileNotFoundError:
        faults.append(f"{file}: there is no such file")
    except OSError as error:
        faults.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        faults.append(f"{file}: is not UTF-8 text")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        faults.append(f"{file}: {toml_sentence(text, str(error))}")
    return {}


def _read_environment(environ: Mapping[str, str], origins: dict[str, str], faults: list[str]) -> dict[str, Any]:
    """The values in the file's shape; `origins` gets the variable of each dotted key."""
    variables = {name: name.removeprefix(_PREFIX).lower() for name in environ if name.startswith(_PREFIX)}
    pairs = [("DATABASE_URL", "database__dsn"), *sorted(variables.items())]
    values: dict[str, Any] = {}
    for name, key in pairs:
        # Compose files set variables to nothing where they mean to leave them out.
        if name in _NOT_SETTINGS or not environ.get(name):
            continue
        path = key.split("__")
        try:
            value = _from_text(environ[name], field_at(path))
        except (ValueError, RecursionError):
            faults.append(f"{'.'.join(path)}: must be JSON in the environment (set by {name})")
            continue
        origins[".".join(path)] = name
        for part in reversed(path):
            value = {part: value}
        values = _merged(values, value)
    return values


def _from_text(text: str, field: FieldInfo | None) -> Any:
    """A variable's text as the type that its key wants. Text that does not fit stays text, for the model to refuse."""
    kinds = kinds_of(field)
    if any(kind is Ellipsis or (isinstance(kind, type) and issubclass(kind, BaseModel)) for kind in kinds):
        return json.loads(text, parse_float=decimal_number)
    if bool in kinds:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    for number in (int, float):
        if number in kinds:
            try:
                return number(text)
            except ValueError:
                return text
    return text
