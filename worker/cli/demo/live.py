"""The live page, for whoever wants to look on: it only shows. Nobody has to."""

import asyncio
import re
from importlib.util import find_spec
from typing import Final

from worker.cli.demo.children import LOOK_S, START_S, Children, Trouble

NEEDED: Final = ("jinja2", "starlette", "uvicorn")  # the extra `ui`
_ADDRESS: Final = re.compile(r"http://127\.0\.0\.1:\d+/")


async def opened(children: Children) -> str | None:
    """Serve the page, and return its address; None where the extra `ui` is not installed.

    Raises:
        Trouble: It did not start, or has ended by itself.
    """
    if any(find_spec(name) is None for name in NEEDED):
        return None
    page = await children.start("page", "ui", "--look-only")
    until = asyncio.get_running_loop().time() + START_S
    while (found := _ADDRESS.search(page.out.read_text(encoding="utf-8"))) is None:
        children.check()
        if asyncio.get_running_loop().time() > until:
            msg = f"The page did not start within {START_S:g} s."
            raise Trouble(msg)
        await asyncio.sleep(LOOK_S)
    return found[0]
