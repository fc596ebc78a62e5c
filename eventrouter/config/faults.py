"""The wording of faults: one plain sentence for each, never with a secret value in it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from eventrouter.config.sections import Config
from eventrouter.config.values import did_you_mean, harmless, shown

_SENTENCES = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table",
    "extra_forbidden": "unknown key",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "int_type": "must be a whole number",
    "is_instance_of": "must be a number",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be one of {expected}",
    "missing": "is required",
    "model_type": "must be a table",
    "path_type": "must be text in quotes",
    "string_type": "must be text in quotes",
    "too_long": "must have at most {max_length} entries",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}


def sentence(error: ErrorDetails) -> str:
    """What is wrong with one value, and the value itself where it cannot be a secret."""
    path = error["loc"]
    kind = error["type"]
    said = _SENTENCES.get(kind, "cannot be used").format(**error.get("ctx", {}))
    if kind == "extra_forbidden":
        return said + _nearest_key([str(part) for part in path if isinstance(part, str)])
    if kind == "tuple_type" and len(path) == 1:
        return f"{said} of tables, each under [[{path[0]}]]"
    hidden = kind in ("missing", "model_type", "tuple_type") or _secret(field_at(path))
    value = "" if hidden else shown(error["input"])
    return f"{said}, it is {value}" if value else said


def dotted(path: Sequence[str | int]) -> str:
    """A place as a trader writes it: `accounts[1].name`. A key that is no plain word is shown as `?`."""
    keys = (
        part if isinstance(part, int) or re.fullmatch(r"[\w-]{1,64}", part) else "?" for part in path if part != "[key]"
    )
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).removeprefix(".")


def toml_sentence(text: str, message: str) -> str:
    """What is wrong in which line; the line itself only where the value in it cannot be a secret."""
    lines = text.rstrip().split("\n")
    found = re.search(r"line (\d+)", message)
    number = min(int(found[1]), len(lines)) if found else len(lines)
    line = lines[number - 1].strip()
    key, equals, value = (part.strip() for part in line.partition("="))
    plain = re.fullmatch(r"\[[\w.\[\] -]*", line) or (key in _PLAIN_KEYS and harmless(value))
    seen = line if plain else f"{key} = ..." if equals and re.fullmatch(r"[\w.-]+", key) else ""
    reason = re.sub(r" \(at .*\)$", "", message)
    return f"line {number} is not TOML: {reason[:1].lower()}{reason[1:]}{': ' if seen else ''}{seen}"


def field_at(path: Sequence[str | int]) -> FieldInfo | None:
    """The field under the keys of the path (list indexes are passed over), or None."""
    model: type[BaseModel] | None = Config
    field = None
    for part in path:
        if isinstance(part, str):
            field = _fields(model).get(part)
            model = _model_in(field)
    return field


def kinds_of(field: FieldInfo | None) -> list[Any]:
    """Every type in a field's annotation, the whole of it first."""
    return _kinds(field.annotation) if field else []


def _kinds(annotation: Any) -> list[Any]:
    return [annotation, *(kind for inner in get_args(annotation) for kind in _kinds(inner))]


def _fields(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    return {info.alias or name: info for name, info in model.model_fields.items()} if model else {}


def _model_in(field: FieldInfo | None) -> type[BaseModel] | None:
    return next((kind for kind in kinds_of(field) if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def _secret(field: FieldInfo | None) -> bool:
    return SecretStr in kinds_of(field)


def _places(model: type[BaseModel] = Config, above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for key, field in _fields(model).items():
        yield above + key, field
        inner = _model_in(field)
        if inner:
            yield from _places(inner, f"{above}{key}.")


_PLAIN_KEYS = frozenset(place.rpartition(".")[2] for place, field in _places() if not _secret(field))


def _nearest_key(path: Sequence[str]) -> str:
    """A suggestion for an unknown key: the same word beside it, else elsewhere, else a similar one beside it."""
    table = ".".join(path[:-1])
    places = sorted((place for place, _ in _places()), key=lambda place: place.rpartition(".")[0] != table)
    for place in places:
        if _bare(path[-1]) in (_bare(place), _bare(place.rpartition(".")[2])):
            return f"; did you mean {place.removeprefix(f'{table}.')}?"
    beside = _fields(_model_in(field_at(path[:-1])) if path[1:] else Config)
    return did_you_mean(path[-1], beside)


def _bare(key: str) -> str:
    return re.sub(r"\W|_", "", key.lower())
