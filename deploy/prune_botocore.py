"""Take out of botocore's data what the worker never loads.

botocore brings the models of some 400 services; the worker opens clients of five (of six
where it answers task tokens),
and the SDK's credential providers may open two more. What is taken out is named
by what is kept, so a service that a later botocore adds goes too.

    python deploy/prune_botocore.py [the `botocore/data` folder]
"""

import argparse
import shutil
from pathlib import Path
from typing import Final

# What worker/aws opens, then what credentials may need: web identity, and a developer's sign-in.
SERVICES: Final = (
    "sqs",
    "dynamodb",
    "s3",
    "bedrock-runtime",
    "stepfunctions",
    "sts",
    "sso",
    "sso-oidc",
)
_USELESS: Final = "examples-1.json"


def prune(data: Path) -> int:
    """Remove the models of all services but `SERVICES`, and return the bytes saved.

    Files beside the services' folders (endpoints, partitions, retry rules) stay.

    Raises:
        ValueError: `data` is not botocore's, or lacks a service: nothing was removed.
    """
    if not (data / "endpoints.json").is_file():
        msg = f"{data} is no botocore/data folder"
        raise ValueError(msg)
    if lacking := [name for name in SERVICES if not (data / name).is_dir()]:
        msg = f"{data} has no model of {', '.join(lacking)}: pruned already, or renamed by botocore"
        raise ValueError(msg)
    before = _bytes(data)
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        if folder.name not in SERVICES:
            shutil.rmtree(folder)
    for examples in sorted(data.rglob(_USELESS)):
        examples.unlink()
    return before - _bytes(data)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _installed() -> Path:
    import botocore  # noqa: PLC0415 - only where no folder is given

    return Path(botocore.__file__).parent / "data"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path)
    data = parser.parse_args().data or _installed()
    print(f"{prune(data) / 1e6:.1f} MB of {data} removed")  # noqa: T201 - told to the build


if __name__ == "__main__":
    main()
