"""The direction of the house: who may import what, where a broad except may stand, who may print."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

import pytest

from tests.repo import ROOT, source_files

PROVIDERS = "checks/providers"
VENDORS = tuple(
    f"checks.providers.{path.stem}"
    for path in sorted((ROOT / PROVIDERS).glob("*.py"))
    if path.stem not in {"__init__", "http"}
)
VENDOR_EXAMPLE = "checks.providers.twilio"
VAGUE_NAMES = {"utils", "helpers", "common", "base", "manager", "core"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRule:
    """Below ``inside``, only the files of ``allowed`` import ``module`` or what is in it."""

    inside: str
    module: str
    allowed: tuple[str, ...] = ()


IMPORT_RULES = (
    ImportRule(inside="checks/*", module="exporter"),
    ImportRule(inside="checks/*", module="prometheus_client"),
    ImportRule(inside="checks/*", module="apscheduler"),
    ImportRule(inside="checks/*", module="yaml"),
    ImportRule(inside="checks/*", module="sqlite3"),
    ImportRule(inside="checks/*", module="structlog"),
    ImportRule(inside="checks/*", module="starlette"),
    ImportRule(inside="checks/*", module="uvicorn"),
    ImportRule(inside="checks/*", module="typer"),
    ImportRule(inside="checks/*", module="rich"),
    ImportRule(inside="checks/*", module="markdown_it"),
    ImportRule(
        inside="checks/*",
        module="threading",
        allowed=(
            "checks/backoffices/b2core/session.py",
            "checks/daily_count.py",
            "checks/providers/http.py",
            "checks/providers/limiter.py",
        ),
    ),
    ImportRule(inside="checks/*", module="pyotp", allowed=("checks/totp.py",)),
    ImportRule(inside="checks/*", module="ntplib", allowed=("checks/clocks/ntp.py",)),
    ImportRule(inside="exporter/*", module="pyotp", allowed=("exporter/sandbox/*",)),
    ImportRule(inside="checks/*", module="twilio", allowed=("checks/providers/twilio/*",)),
    ImportRule(inside="exporter/*", module="twilio"),
    ImportRule(inside="checks/*", module="botocore", allowed=("checks/providers/aws/*",)),
    ImportRule(inside="checks/*", module="boto3"),
    ImportRule(inside="exporter/*", module="botocore"),
    ImportRule(inside="exporter/*", module="boto3"),
    ImportRule(inside="exporter/*", module="apscheduler", allowed=("exporter/scheduler.py",)),
    ImportRule(
        inside="exporter/*",
        module="prometheus_client",
        allowed=("exporter/metrics.py", "exporter/web/*"),
    ),
    ImportRule(inside="exporter/*", module="yaml", allowed=("exporter/documents.py",)),
    ImportRule(inside="exporter/*", module="markdown_it", allowed=("exporter/web/runbooks.py",)),
    ImportRule(
        inside="exporter/*",
        module="sqlite3",
        allowed=("exporter/database.py",),
    ),
    ImportRule(inside="exporter/*", module="bcrypt", allowed=("exporter/web/users.py",)),
    ImportRule(inside="checks/*", module="psycopg"),
    ImportRule(inside="exporter/*", module="psycopg", allowed=("exporter/postgresql.py",)),
    *(
        ImportRule(inside="exporter/*", module=vendor, allowed=("exporter/sandbox/*",))
        for vendor in sorted({*VENDORS, VENDOR_EXAMPLE})
    ),
)

BROAD_EXCEPT = "exporter/runner.py"
MAY_PRINT = ("exporter/cli.py", "exporter/terminal.py")


def imported_modules(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything imported; ``from a import b`` may name a module ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            package = path.split("/")[: -node.level] if node.level else []
            origin = ".".join([*package, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{origin}.{alias.name}"


def forbidden_imports(rule: ImportRule, path: str, source: str) -> list[str]:
    """One line for each import that breaks the rule."""
    if not fnmatch(path, rule.inside) or any(fnmatch(path, allowed) for allowed in rule.allowed):
        return []
    return [
        f"{path}:{line}: imports {name}"
        for line, name in imported_modules(path, source)
        if f"{name}.".startswith(f"{rule.module}.")
    ]


def caught_names(node: ast.AST) -> list[str]:
    """What an ``except`` or a ``suppress`` takes; a bare ``except`` takes BaseException."""
    match node:
        case ast.ExceptHandler(type=None):
            return ["BaseException"]
        case ast.ExceptHandler(type=ast.Tuple(elts=types)):
            return [ast.unparse(name) for name in types]
        case ast.ExceptHandler(type=ast.expr() as single):
            return [ast.unparse(single)]
        case ast.Call() if ast.unparse(node.func).split(".")[-1] == "suppress":
            return [ast.unparse(name) for name in node.args]
    return []


def broad_excepts(path: str, source: str) -> list[str]:
    """Where everything that may happen is caught."""
    return [
        f"{path}:{node.lineno}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler | ast.Call)
        and any(name.split(".")[-1] in {"Exception", "BaseException"} for name in caught_names(node))
    ]


def prints(path: str, source: str) -> list[str]:
    """Where something is printed by a file that is not the command line."""
    if path in MAY_PRINT:
        return []
    return [
        f"{path}:{node.lineno}: prints"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "builtins.print"}
    ]


def absolute_imports_of_own_package(path: str, source: str) -> list[str]:
    """Where a module names its own package instead of importing relatively."""
    package = path.split("/")[0]
    return [
        f"{path}:{node.lineno}: imports {package} by its name"
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.ImportFrom) and not node.level and f"{node.module}.".startswith(f"{package}."))
        or (isinstance(node, ast.Import) and any(f"{alias.name}.".startswith(f"{package}.") for alias in node.names))
    ]


def vague_names(path: str) -> list[str]:
    """The parts of a path that say nothing of what is in there."""
    return [part for part in path.removesuffix(".py").split("/") if part.strip("_") in VAGUE_NAMES]


SOURCES = {
    path: (ROOT / path).read_text(encoding="utf-8")
    for path in source_files("checks", "exporter")
    if path.endswith(".py")
}


def test_both_packages_are_looked_at() -> None:
    assert {path.split("/")[0] for path in SOURCES} == {"checks", "exporter"}


@pytest.mark.parametrize("rule", IMPORT_RULES, ids=lambda rule: f"{rule.inside}-{rule.module}")
def test_only_the_allowed_files_import_a_module(rule: ImportRule) -> None:
    assert [line for path, source in SOURCES.items() for line in forbidden_imports(rule, path, source)] == []


def test_only_the_runner_catches_everything() -> None:
    lines = [line for path, source in SOURCES.items() for line in broad_excepts(path, source)]
    assert [line.rpartition(":")[0] for line in lines] == [BROAD_EXCEPT]


def test_only_the_command_line_prints() -> None:
    assert [line for path, source in SOURCES.items() for line in prints(path, source)] == []


def test_imports_within_a_package_are_relative() -> None:
    lines = [line for path, source in SOURCES.items() for line in absolute_imports_of_own_package(path, source)]
    assert lines == []


def test_every_module_has_a_name_that_says_something() -> None:
    assert [path for path in SOURCES if vague_names(path)] == []


# The rules themselves: each can fail, and none takes a neighbour for an offender.


def first_file_below(pattern: str) -> str:
    return pattern.replace("*", "some_module.py")


@pytest.mark.parametrize("rule", IMPORT_RULES, ids=lambda rule: f"{rule.inside}-{rule.module}")
def test_an_import_rule_sees_every_form_of_import(rule: ImportRule) -> None:
    path = first_file_below(rule.inside)
    parent, _, name = rule.module.rpartition(".")
    forms = [
        f"import {rule.module}",
        f"import os, {rule.module}.sub as other",
        f"from {rule.module} import something",
        f"from {rule.module}.sub import something",
        f"def late():\n    import {rule.module}",
        f"if TYPE_CHECKING:\n    from {rule.module} import something",
    ]
    if parent:
        forms.append(f"from {parent} import {name}")
    assert [form for form in forms if len(forbidden_imports(rule, path, form)) != 1] == []


@pytest.mark.parametrize("rule", IMPORT_RULES, ids=lambda rule: f"{rule.inside}-{rule.module}")
def test_an_import_rule_leaves_the_rest_alone(rule: ImportRule) -> None:
    source = f"import {rule.module}"
    assert [forbidden_imports(rule, first_file_below(allowed), source) for allowed in rule.allowed] == (
        [[]] * len(rule.allowed)
    )
    assert forbidden_imports(rule, "tests/test_some.py", source) == []
    path = first_file_below(rule.inside)
    assert forbidden_imports(rule, path, f"import {rule.module}_neighbour") == []
    assert forbidden_imports(rule, path, f"'import {rule.module}'") == []


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("checks/balance.py", "from .result import Reason", ["checks.result.Reason"]),
        ("checks/balance.py", "from . import result", ["checks.result"]),
        ("checks/providers/http.py", "from ..errors import E", ["checks.errors.E"]),
        ("checks/providers/__init__.py", "from . import twilio", ["checks.providers.twilio"]),
        ("exporter/web/app.py", "from ..metrics import A, B", ["exporter.metrics.A", "exporter.metrics.B"]),
    ],
)
def test_a_relative_import_is_made_absolute(path: str, source: str, expected: list[str]) -> None:
    assert [name for _, name in imported_modules(path, source)] == expected


def test_a_relative_import_cannot_hide_a_vendor() -> None:
    rule = ImportRule(inside="exporter/*", module="exporter.sandbox.twilio")
    assert forbidden_imports(rule, "exporter/web/app.py", "from ..sandbox import twilio") == [
        "exporter/web/app.py:1: imports exporter.sandbox.twilio"
    ]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("try: f()\nexcept: pass", ["a.py:2"]),
        ("try: f()\nexcept Exception: pass", ["a.py:2"]),
        ("try: f()\nexcept BaseException as error: raise", ["a.py:2"]),
        ("try: f()\nexcept builtins.Exception: pass", ["a.py:2"]),
        ("try: f()\nexcept (ValueError, Exception): pass", ["a.py:2"]),
        ("try: f()\nexcept* Exception: pass", ["a.py:2"]),
        ("try: f()\nexcept Exception: pass\ntry: g()\nexcept Exception: pass", ["a.py:2", "a.py:4"]),
        ("with contextlib.suppress(Exception): f()", ["a.py:1"]),
        ("with suppress(OSError, BaseException): f()", ["a.py:1"]),
        ("try: f()\nexcept (ValueError, OSError): pass", []),
        ("try: f()\nexcept ProviderException: pass", []),
        ("with suppress(KeyError): f()", []),
        ("raise Exception('no')", []),
    ],
)
def test_a_broad_except_is_seen(source: str, found: list[str]) -> None:
    assert broad_excepts("a.py", source) == found


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("checks/balance.py", "print('here')", ["checks/balance.py:1: prints"]),
        ("exporter/demo.py", "x = 1\nbuiltins.print(x)", ["exporter/demo.py:2: prints"]),
        ("exporter/cli.py", "print('here')", []),
        ("exporter/demo.py", "console.print('here')\npprint(1)", []),
    ],
)
def test_a_print_is_seen(path: str, source: str, found: list[str]) -> None:
    assert prints(path, source) == found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("from exporter.config import load", [1]),
        ("import os\nimport exporter.config", [2]),
        ("from exporter import config", [1]),
        ("from .config import load", []),
        ("from . import exporter", []),
        ("from checks.result import Reason", []),
        ("import exporters", []),
    ],
)
def test_an_absolute_import_within_a_package_is_seen(source: str, lines: list[int]) -> None:
    assert absolute_imports_of_own_package("exporter/web/app.py", source) == [
        f"exporter/web/app.py:{line}: imports exporter by its name" for line in lines
    ]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("checks/utils.py", ["utils"]),
        ("checks/common/phone.py", ["common"]),
        ("exporter/_helpers.py", ["helpers"]),
        ("exporter/base/__init__.py", ["base"]),
        ("checks/providers/manager.py", ["manager"]),
        ("exporter/core.py", ["core"]),
        ("checks/database.py", []),
        ("exporter/score.py", []),
    ],
)
def test_a_vague_name_is_seen(path: str, found: list[str]) -> None:
    assert [name.strip("_") for name in vague_names(path)] == found
