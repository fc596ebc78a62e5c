"""The configuration: what wins, what is refused, and that no secret gets out."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from eventrouter.config import Address, Config, find_config_file, load_config, parse_address
from eventrouter.errors import ConfigError
from tests.config.files import faults_of, written

SHIPPED = Path(__file__).parents[2] / "config.toml"
CANARY = "hunter2canary"


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """Every key under a model, sections included."""
    for name, field in model.model_fields.items():
        yield field.alias or name
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys_of(kind)


# the shipped file


def test_the_shipped_file_says_the_defaults() -> None:
    """config.toml loads to exactly what runs without any file."""
    assert load_config(SHIPPED, environ={}) == Config()


def test_the_shipped_file_has_every_key() -> None:
    """No key is undocumented: each stands in config.toml, switched on or off."""
    text = SHIPPED.read_text(encoding="utf-8")
    missing = [
        key for key in keys_of(Config) if not re.search(rf"(^#?(\[\[?)?|[{{,] ){key}(\]\]?$| = )", text, re.MULTILINE)
    ]
    assert missing == []


def test_the_examples_in_the_shipped_file_work() -> None:
    """Every switched-off line can be switched on as it stands; single sign-on also needs to know its proxy."""
    text = re.sub(r"^#(?=\S)", "", SHIPPED.read_text(encoding="utf-8"), flags=re.MULTILINE)
    with pytest.raises(ConfigError, match=r"server\.trusted_proxies"):
        load_config(written(text), environ={})
    text = text.replace("trusted_proxies = []", 'trusted_proxies = ["127.0.0.1"]')
    config = load_config(written(text), environ={})
    assert config.strategy("orb").max_age == 60.0
    assert config.database.data_dir == Path("~/eventrouter-data").expanduser()
    assert [account.name for account in config.accounts] == ["paper", "combine", "funded"]
    assert config.routes[0].groups == (config.groups[0].name,)


# sources


@pytest.mark.parametrize(
    ("environ", "overrides", "expected"),
    [
        ({}, {}, 2),
        ({"EVENTROUTER_ROUTER__BATCH_SIZE": "3"}, {}, 3),
        ({"EVENTROUTER_ROUTER": '{"batch_size": 4}'}, {}, 4),
        ({"EVENTROUTER_ROUTER": '{"batch_size": 4}', "EVENTROUTER_ROUTER__BATCH_SIZE": "3"}, {}, 3),
        ({"EVENTROUTER_ROUTER__BATCH_SIZE": "3"}, {"router": {"batch_size": 5}}, 5),
        ({"EVENTROUTER_ROUTER__BATCH_SIZE": ""}, {}, 2),
    ],
)
def test_the_nearer_source_wins(environ: dict[str, str], overrides: dict[str, Any], expected: int) -> None:
    """Overrides beat the environment, which beats the file; an empty variable counts as not set."""
    config = load_config(written("[router]\nbatch_size = 2"), environ=environ, overrides=overrides)
    assert config.router.batch_size == expected
    assert config.router.poll_interval == 2.0


def test_database_url_beats_the_file_and_loses_to_our_own_variable() -> None:
    """DATABASE_URL is the hosts' convention; EVENTROUTER_DATABASE__DSN is more exact."""
    file = written('[database]\ndsn = "host=file"')
    environ = {"DATABASE_URL": "postgres://url/d"}
    ours = {**environ, "EVENTROUTER_DATABASE__DSN": "host=ours"}
    found = [load_config(file, environ=each).database.dsn for each in ({}, environ, ours)]
    assert [dsn and dsn.get_secret_value() for dsn in found] == ["host=file", "postgres://url/d", "host=ours"]


def test_the_environment_sets_every_kind_of_value() -> None:
    """Booleans, numbers, text, lists and tables all come from variables."""
    environ = {
        "EVENTROUTER_ROUTER__DRY_RUN": "TRUE",
        "EVENTROUTER_ROUTER__LEASE": "1.5",
        "EVENTROUTER_ROUTER__ACCOUNTS": '["7"]',
        "EVENTROUTER_SERVER__PUBLIC": "[::1]:0",
        "EVENTROUTER_DATABASE__SCHEMA": "s1",
        "EVENTROUTER_LOGS__LEVEL": "debug",
        "EVENTROUTER_ACCOUNTS": '[{"name": "7"}]',
    }
    config = load_config(environ=environ)
    assert (config.router.dry_run, config.router.lease, config.router.accounts) == (True, 1.5, ("7",))
    assert config.server.public == Address("::1", 0)
    assert (config.database.schema_name, config.logs.level, config.accounts[0].name) == ("s1", "debug", "7")


def test_the_file_is_the_named_one_else_the_usual_one_else_none() -> None:
    """`path` goes before EVENTROUTER_CONFIG, that before ./config.toml, and no file means defaults."""
    named = {"EVENTROUTER_CONFIG": "named.toml"}
    assert find_config_file(environ={}) is None
    assert load_config(environ={}).source == "built-in defaults"
    Path("config.toml").write_text("[router]\ngrace = 1", encoding="utf-8-sig")
    assert load_config(environ={}).router.grace == 1
    assert find_config_file(environ=named) == Path("named.toml")
    assert find_config_file(Path("given.toml"), environ=named) == Path("given.toml")


@pytest.mark.parametrize("environ", [{}, {"EVENTROUTER_CONFIG": "absent.toml"}])
def test_a_named_file_must_exist(environ: dict[str, str]) -> None:
    """A typing error in --config never falls back to the defaults."""
    with pytest.raises(ConfigError, match=r"^absent\.toml: there is no such file$"):
        load_config(None if environ else Path("absent.toml"), environ=environ)


# faults


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[router]\nbatch_size = 0", "router.batch_size: must be at least 1, it is 0"),
        ("[router]\nbatch_size = 1001", "router.batch_size: must be at most 1000, it is 1001"),
        ('[router]\nbatch_size = "20"', 'router.batch_size: must be a whole number, it is "20"'),
        ("[router]\nbatch_size = true", "router.batch_size: must be a whole number, it is true"),
        ("[router]\npoll_interval = 0", "router.poll_interval: must be more than 0, it is 0"),
        ("[router]\npoll_interval = 3601", "router.poll_interval: must be at most 3600, it is 3601"),
        ("[router]\npoll_interval = nan", "router.poll_interval: must be a finite number, it is nan"),
        ("[router]\ndry_run = 0", "router.dry_run: must be true or false, it is 0"),
        ("[router]\ndryrun = true", "router.dryrun: unknown key; did you mean dry_run?"),
        ('[router]\npublic = "x"', "router.public: unknown key; did you mean server.public?"),
        ("[[account]]", "account: unknown key; did you mean accounts?"),
        ("[[strategies]]\nname = 'a'\nmaxage = 1", "strategies[0].maxage: unknown key; did you mean max_age?"),
        ("[logs]\nlevle = 'info'", "logs.levle: unknown key; did you mean level?"),
        ("[database]\ndns = 'x'", "database.dns: unknown key; did you mean dsn?"),
        ("[server]\nxyzzy = 1", "server.xyzzy: unknown key"),
        ("[[accounts]]\nname = 'a'\n[[accounts]]\n", "accounts[1].name: is required"),
        ("accounts = []", "accounts: at least one account is required"),
        ("[accounts]\nname = 'a'", "accounts: must be a list of tables, each under [[accounts]]"),
        (
            "[[accounts]]\nname = 'a'\nconnector = 'x'",
            'accounts[0].connector: must be one of dryrun, projectx, it is "x"',
        ),
        (
            "[[accounts]]\nname = 'a'\n[[accounts]]\nname = 'A'",
            "accounts[1].name: is used twice; upper and lower case count as the same",
        ),
        (
            "[[strategies]]\nname = 'a'\naccounts = ['papr']",
            'strategies[0].accounts[0]: there is no account "papr"; did you mean paper?',
        ),
        ("[router]\naccounts = ['live']", 'router.accounts[0]: there is no account "live"'),
        (
            "[router]\ndry_run = false",
            "router.dry_run: nothing could leave this machine: no account has live = true and a connector other than"
            " dryrun; set router.dry_run = true",
        ),
        ("[server]\noperator = '127.0.0.1:8080'", "server.operator: must differ from server.public"),
        ("[database]\nadmin_dsn = 'host=x'", "database.admin_dsn: is of no use without database.dsn"),
        ("[logs]\nformat = 'xml'", "logs.format: must be one of 'auto', 'console' or 'json', it is \"xml\""),
        ("router = 3", "router: must be a table"),
        ("[router]\ndry_run = True", "written.toml: line 2 is not TOML: invalid value: dry_run = True"),
        ("[router\n", "written.toml: line 1 is not TOML: expected ']' at the end of a table declaration: [router"),
    ],
)
def test_a_fault_is_one_plain_line_that_starts_with_its_key(text: str, line: str) -> None:
    """Each kind of fault, worded for a trader."""
    assert faults_of(text) == [line]


def test_all_faults_of_all_sources_come_at_once() -> None:
    """Wrong values, unknown keys, disagreements and variables are in one message."""
    lines = faults_of(
        "zz = 1\n[router]\nlease = 0\naccounts = ['nobody']\n[[accounts]]\nname = 'a b'\n[server]\npublic = '1'",
        EVENTROUTER_DRY_RUN="false",
        EVENTROUTER_ROUTER__GRACE="soon",
        EVENTROUTER_STRATEGIES="nope",
    )
    assert [line.partition(":")[0] for line in lines] == [
        "strategies",
        "router.lease",
        "router.grace",
        "accounts[0].name",
        "server.public",
        "zz",
        "dry_run",
    ]
    assert "dry_run: unknown key; did you mean router.dry_run? (set by EVENTROUTER_DRY_RUN)" in lines
    assert 'router.grace: must be a number, it is "soon" (set by EVENTROUTER_ROUTER__GRACE)' in lines


def test_a_wrong_value_and_a_disagreement_come_together() -> None:
    """The rules between sections are checked although a section has a fault of its own."""
    lines = faults_of("[router]\nlease = 0\naccounts = ['nobody']")
    assert [line.partition(":")[0] for line in lines] == ["router.lease", "router.accounts[0]"]


def test_an_override_is_not_blamed_on_a_variable() -> None:
    """The note about the variable is left out where the variable's value was not used."""
    with pytest.raises(ConfigError, match=r"it is 0$"):
        load_config(environ={"EVENTROUTER_ROUTER__BATCH_SIZE": "3"}, overrides={"router": {"batch_size": 0}})


@pytest.mark.parametrize(
    ("connector", "live", "good"),
    [("projectx", "true", True), ("projectx", "false", False), ("dryrun", "true", False)],
)
def test_live_trading_is_allowed_with_a_live(connector: str, live: str, good: bool) -> None:
    """dry_run = false is a fault while no account is live at a broker."""
    text = (
        "[router]\ndry_run = false\n[[accounts]]\nname = 'paper'\n"
        f"[[accounts]]\nname = 'a'\nconnector = '{connector}'\nlive = {live}\nautomation = 'allowed'"
    )
    if good:
        assert load_config(written(text), environ={}).router.dry_run is False
    else:
        assert [line.partition(":")[0] for line in faults_of(text)] == ["router.dry_run"]


# secrets


@pytest.mark.parametrize(
    "text",
    [
        f'[database]\ndsn = "postgresql://u:{CANARY}@h/d"\npool_size = 0',
        f'[database]\ndsn = "mysql://u:{CANARY}@h/d"',
        f'[database]\ndsn = "{CANARY}"',
        f'[database]\ndsn = ["{CANARY}"]',
        f'[database]\ndns = "{CANARY}"',
        f'[database]\nschema = "password={CANARY}"',
        f'[database]\ndsn = "postgresql://u:{CANARY}@h/d',
        f"[database]\ndsn = postgresql://u:{CANARY}@h/d",
        f'[database]\nschema = public dsn = "{CANARY}"',
        f'database = "{CANARY}"',
        f'x = """\n{CANARY}',
        f'[server]\npublic_url = "https://u:{CANARY}@h"',
        f'"postgresql://u:{CANARY}@h" = 1',
    ],
)
def test_a_fault_never_shows_a_secret(text: str) -> None:
    """However the file is broken, the password in it stays in it."""
    assert CANARY not in "\n".join(faults_of(text))
    assert CANARY not in "\n".join(faults_of("", EVENTROUTER_DATABASE__DSN=CANARY, EVENTROUTER_DATABASE=CANARY))


@given(cut=st.integers(min_value=1, max_value=2000))
def test_a_file_that_was_cut_off_shows_no_secret(cut: int) -> None:
    """A half-written file with a password in it loads or is refused, and the password stays hidden."""
    text = f"{SHIPPED.read_text(encoding='utf-8')}\n[[accounts]]\nname = 'b'\n"
    text = text.replace("#dsn", "dsn").replace("PASSWORD", CANARY)
    start = text.index(CANARY) + len(CANARY) - 10
    try:
        seen = repr(load_config(written(text[: start + cut]), environ={}))
    except ConfigError as error:
        seen = str(error)
    assert CANARY not in seen


def test_repr_hides_the_dsn() -> None:
    """A configuration may be logged."""
    config = load_config(environ={"DATABASE_URL": f"postgresql://u:{CANARY}@h/d"})
    assert CANARY not in f"{config!r} {config} {config.model_dump()}"


# the model


def test_a_configuration_cannot_be_changed() -> None:
    """Frozen, so every part of the process sees the same values."""
    with pytest.raises(ValidationError, match="frozen"):
        Config().router.dry_run = False  # type: ignore[misc]


def test_strategies_choose_among_enabled_accounts() -> None:
    """An unlisted strategy gets every enabled account; a listed one those it names; case does not matter."""
    file = written(
        "[[accounts]]\nname = 'a'\n[[accounts]]\nname = 'b'\n[[accounts]]\nname = 'c'\nenabled = false\n"
        "[[strategies]]\nname = 'orb'\naccounts = ['b', 'c']\nmax_age = 5"
    )
    config = load_config(file, environ={})
    assert [account.name for account in config.accounts_of("unlisted; with 'any' name")] == ["a", "b"]
    assert [account.name for account in config.accounts_of("ORB")] == ["b"]
    assert (config.strategy("ORB").max_age, config.strategy("other").max_age) == (5, 60)
    assert config.account("c") is config.accounts[2]
    assert config.account("C") is None


@pytest.mark.parametrize("text", ["127.0.0.1:8080", "[::1]:0", "localhost:65535", "0.0.0.0:1"])
def test_an_address_reads_back_as_it_was_written(text: str) -> None:
    """HOST:PORT survives parsing and printing."""
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "::1:8080", "[::1]", "a:65536", "a:-1", "a b:1", "[h]:1", "*:80", 3]
)
def test_an_address_that_is_none_is_refused(text: object) -> None:
    """Every other text is a fault, never a guess."""
    with pytest.raises(ValueError, match="must be HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("value", "good"), [("https://a.b/", True), ("http://a:81/x", True), ("ftp://a", False), ("a.b", False)]
)
def test_the_public_url_is_a_plain_web_address(value: str, good: bool) -> None:
    """A trailing slash goes, anything else that is no base address is refused."""
    text = f"[server]\npublic_url = '{value}'"
    if good:
        assert load_config(written(text), environ={}).server.public_url == value.rstrip("/")
    else:
        assert faults_of(text)[0].startswith("server.public_url: must be like")
