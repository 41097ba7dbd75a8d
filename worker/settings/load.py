"""The settings: from the environment and `worker.toml`, complete and checked, or not at all.

    WORKER_QUEUE__URL=https://sqs…/jobs  WORKER_MODEL__ID=…   is all that is needed.

The environment wins over the file, the file over the defaults. Everything that
is wrong is reported at once: values out of range, names that are no setting
(with the nearest that is), and rules between settings that do not hold. No
message repeats the text that was given.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from pydantic import ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, TomlConfigSettingsSource

from worker.settings.fields import CONFIG, doc_of, given, nearest, variable
from worker.settings.model import PREFIX, Shape
from worker.settings.problem import Problem, SettingsError
from worker.settings.rules import problems

DEFAULT_FILE: Final = "worker.toml"


class Settings(Shape):
    """All settings; the rules between them hold.

    Raises:
        ValidationError: A value is out of its own range.
        SettingsError: A rule between values does not hold.
    """

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        if fatal := tuple(problem for problem in problems(self) if problem.fatal):
            raise SettingsError(fatal)
        return self

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is allowed, and probably not meant."""
        return tuple(problem for problem in problems(self) if not problem.fatal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, and where they came from.

    Attributes:
        origins: For the path of each setting that was given, the variable or file.
        file: The file that was read, None if there was none.
    """

    settings: Settings
    origins: Mapping[tuple[str, ...], str]
    file: Path | None


def load(environ: Mapping[str, str] = os.environ, file: Path | None = None) -> Settings:
    """The settings.

    Args:
        environ: The environment.
        file: The file; by default `WORKER_CONFIG`, or `worker.toml` if there is one here.

    Raises:
        SettingsError: They cannot be used; it says why, all at once.
    """
    return load_all(environ, file).settings


def load_all(environ: Mapping[str, str] = os.environ, file: Path | None = None) -> Loaded:
    """The settings, and where each came from. See `load`."""
    file = _file(environ, file)
    in_file = _read(file) if file else {}
    in_environ = _Environment(environ)()
    found = _unknown_variables(environ)
    tree = _merged(in_file, in_environ)
    try:
        settings = Settings(**tree)
    except SettingsError as error:
        raise SettingsError((*found, *error.problems)) from None
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        paths = {variable(*_path(e)) for e in errors}
        found += tuple(_problem(e, in_environ, file) for e in errors)
        found += tuple(p for p in _further(tree, errors) if not any(v in str(p) for v in paths))
        raise SettingsError(found) from None
    if found:
        raise SettingsError(found)
    origins = {path: str(file) for path, _ in given(in_file)}
    origins |= {path: variable(*path) for path, _ in given(in_environ)}
    return Loaded(settings=settings, origins=MappingProxyType(origins), file=file)


class _Environment(EnvSettingsSource):
    """The library's reader, told which environment to read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Shape)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items() if value}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """JSON if it is; what it should have been is told with all other problems."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _file(environ: Mapping[str, str], file: Path | None) -> Path | None:
    if file is None and environ.get(CONFIG):
        file = Path(environ[CONFIG])
    if file is not None:
        return file
    default = Path(DEFAULT_FILE)
    return default if default.is_file() else None


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise SettingsError(
            (
                Problem(
                    wrong=f"there is no file {file}.",
                    advice="It was named by --config or WORKER_CONFIG. Correct the name, or leave "
                    "it out and set everything in the environment.",
                ),
            )
        )
    try:
        return TomlConfigSettingsSource(Shape, file).toml_data
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else _place(error)
        raise SettingsError((Problem(wrong=f"{file} cannot be read: {why}."),)) from None


def _place(error: ValueError) -> str:
    """Where a file is broken; its text may be anything, and stays out."""
    _, at, place = str(error).rpartition("(at ")
    return f"no valid TOML at {place.rstrip(')')}" if at else "no valid TOML"


def _merged(low: Mapping[str, Any], high: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(low)
    for name, value in high.items():
        old = both.get(name)
        is_table = isinstance(old, Mapping) and isinstance(value, Mapping)
        both[name] = _merged(old, value) if is_table else value  # type: ignore[arg-type]
    return both


def _unknown_variables(environ: Mapping[str, str]) -> tuple[Problem, ...]:
    """Variables of ours that the library passes over in silence: an unknown first name."""
    unknown = []
    for name in sorted(environ):
        upper = name.upper()
        path = tuple(upper.removeprefix(PREFIX).lower().split("__"))
        if upper.startswith(PREFIX) and upper != CONFIG and path[0] not in Shape.model_fields:
            unknown.append(_no_setting(name, path, in_file=None))
    return tuple(unknown)


def _no_setting(shown: str, path: tuple[str, ...], *, in_file: Path | None) -> Problem:
    near = nearest(path)
    name = (".".join(near) if in_file else variable(*near)) if near else None
    hint = f"Did you mean `{name}`?" if name else "docs/settings.md lists all settings."
    return Problem(
        wrong=f"`{shown}`{f' in {in_file}' if in_file else ''} is not a setting.",
        advice=f"It would have no effect. {hint}",
    )


def _path(error: ErrorDetails) -> tuple[str, ...]:
    """The table keys that lead to an error: list positions and markers of the library are none."""
    return tuple(part for part in error["loc"] if isinstance(part, str) and part != "[key]")


def _problem(error: ErrorDetails, in_environ: Mapping[str, Any], file: Path | None) -> Problem:
    path = _path(error)
    here: Any = in_environ
    for part in path:
        here = here.get(part) if isinstance(here, Mapping) else None
    in_file = file if here is None and error["type"] != "missing" else None
    shown = ".".join(path) if in_file else variable(*path)
    if error["type"] == "extra_forbidden":
        return _no_setting(shown, path, in_file=in_file)
    says = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    must = says if says.startswith("must") else f"must be {says}"
    if error["type"] in ("model_type", "dict_type"):
        must = "must be a table of settings"
    if error["type"] == "missing":
        must = "is missing"
    return Problem(
        wrong=f"`{shown}`{f' in {in_file}' if in_file else ''} {must}.",
        advice=doc_of(path),
    )


def _further(tree: dict[str, Any], errors: list[ErrorDetails]) -> tuple[Problem, ...]:
    """Rules that do not hold beside the fields that are wrong: without those, if that works."""
    for _ in range(8):
        for error in errors:
            path = _path(error)
            _drop(tree, path[:-1] if error["type"] == "missing" else path)
        try:
            return tuple(problem for problem in problems(Shape(**tree)) if problem.fatal)
        except ValidationError as error:
            errors = error.errors(include_input=False, include_url=False)
    return ()


def _drop(tree: dict[str, Any], path: tuple[str, ...]) -> None:
    for part in path[:-1]:
        tree = tree.get(part, {})
    if path:
        tree.pop(path[-1], None)
