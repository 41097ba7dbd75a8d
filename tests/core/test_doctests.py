"""Every example in a docstring of the core is true."""

import doctest
import importlib
import pkgutil

import pytest

import worker.core

MODULES = sorted(module.name for module in pkgutil.iter_modules(worker.core.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(f"worker.core.{name}")

    result = doctest.testmod(module)

    assert result.failed == 0, f"run python -m doctest worker/core/{name}.py"
