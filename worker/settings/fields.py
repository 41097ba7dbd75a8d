"""Every setting by its path, read off the models: for docs, `check --show` and typing errors."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from worker.settings.model import PREFIX, Shape

ANY: Final = "<name>"  # stands in a path for a name that the user chooses
CONFIG: Final = "WORKER_CONFIG"  # where the file is: the one variable that is no setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting: its path, what it means, and its default (None for unset)."""

    path: tuple[str, ...]
    doc: str
    default: Any = None
    required: bool = False

    @property
    def variable(self) -> str:
        """The environment variable."""
        return variable(*self.path)


def variable(*path: str) -> str:
    """The environment variable of a setting.

    >>> variable("queue", "lease_s")
    'WORKER_QUEUE__LEASE_S'
    """
    return PREFIX + "__".join(path).upper().replace(ANY.upper(), ANY)


def rows(model: type[BaseModel] = Shape, at: tuple[str, ...] = ()) -> Iterator[Row]:
    """Every setting, in the order of the models."""
    for name, field in model.model_fields.items():
        path = (*at, name)
        table, below = _below(field.annotation)
        if table:
            path = (*path, ANY)
        if below is not None:
            yield from rows(below, path)
        else:
            unset = table or field.default in (PydanticUndefined, ())
            yield Row(
                path=path,
                doc=field.description or "",
                default=None if unset else field.default,
                required=field.is_required(),
            )


def doc_of(path: Sequence[str], model: type[BaseModel] = Shape) -> str:
    """What the setting at `path` means; "" if there is none."""
    head, *tail = path
    field: FieldInfo | None = model.model_fields.get(head)
    if field is None:
        return ""
    table, below = _below(field.annotation)
    tail = tail[1:] if table else tail
    if tail and below is not None:
        return doc_of(tail, below)
    return field.description or ""


def nearest(path: Sequence[str]) -> tuple[str, ...] | None:
    """The known setting whose name is most like `path`."""
    known = {}
    for row in rows():
        # A name that the user chose is right by definition.
        shown = tuple(
            path[n] if part == ANY and n < len(path) else part for n, part in enumerate(row.path)
        )
        known["__".join(shown)] = shown
    found = difflib.get_close_matches("__".join(path), known, n=1)
    return known[found[0]] if found else None


def given(
    tree: Mapping[str, Any], at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every leaf of a tree of settings, with its path."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from given(value, (*at, str(name)))
        else:
            yield (*at, str(name)), value


def _below(annotation: Any) -> tuple[bool, type[BaseModel] | None]:
    """Whether a field is a table of names, and the model that lies below it."""
    table = get_origin(annotation) is dict
    parts = get_args(annotation)[1:] if table else (annotation, *get_args(annotation))
    models = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
    return table, models[0] if models else None
