"""Every example in a docstring of what operators use is true."""

import doctest
import importlib
import pkgutil

import pytest

import worker.ops
import worker.page
import worker.words

PACKAGES = (worker.ops, worker.page, worker.words)
MODULES = sorted(
    f"{package.__name__}.{module.name}"
    for package in PACKAGES
    for module in pkgutil.iter_modules(package.__path__)
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))

    assert result.failed == 0, f"run python -m doctest on {name}"
