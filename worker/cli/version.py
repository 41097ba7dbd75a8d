"""`inference-worker version`."""

import platform
from importlib.metadata import version as version_of

import orjson


def version(*, as_json: bool) -> int:
    """Print our version; as JSON with those that a bug report needs."""
    ours = version_of("inference-worker")
    if as_json:
        libraries = {name: version_of(name) for name in ("aiobotocore", "botocore")}
        told = {"inference-worker": ours, "python": platform.python_version(), **libraries}
        print(orjson.dumps(told).decode())
    else:
        print(f"inference-worker {ours}")
    return 0
