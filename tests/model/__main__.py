"""`python -m tests.model` looks at CI's scenes, `--large` at the night's as well."""

import sys

from tests.model.checker import admissions
from tests.model.scenes import CALM, LARGE, SCENES


def main(arguments: list[str]) -> int:
    """Print what each scene showed; 1 if a promise broke."""
    failed = False
    for scene in (CALM, *SCENES, *(LARGE if "--large" in arguments else ())):
        book = scene.book()
        found = scene.search(book)
        broken = found.broken or admissions(book)
        failed |= broken is not None
        part = "" if found.whole or found.broken else " (the beginning of it)"
        sys.stdout.write(f"{scene.name}{part}: {found}{f', {broken}' if broken else ''}\n")
        sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
