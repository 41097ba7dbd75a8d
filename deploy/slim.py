"""Take out of the installed packages what a worker never uses: half of their bytes.

    models    botocore brings some 400 services; the worker opens clients of six, and the SDK's
              credential providers may open two more
    lexers    pygments knows some 500 languages, and what is printed here is in two
    symbols   the tables of extension modules that only a debugger reads
    sources   of other people's modules: what is run is bytecode, which is made here, once. A
              traceback still names their files and lines; our own sources stay

What is taken out is named by what is kept, so what a later version adds goes, too.

    python deploy/slim.py [a `site-packages` folder, by default that of this Python]
"""

import argparse
import compileall
import gzip
import shutil
import struct
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from py_compile import PycInvalidationMode
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
LEXERS: Final = ("__init__", "_mapping", "json", "python", "special")
OURS: Final = "worker"
_USELESS: Final = "examples-1.json"
_ENDPOINTS: Final = "endpoints.json"
_NOT_RUN: Final = (".c", ".cpp", ".h", ".pxd", ".pyi", ".pyx")
_ELF: Final = b"\x7fELF\x02\x01"  # of 64 bits, little-endian: x86-64 and arm64
_HEADER: Final = 64  # bytes of it, at the begin
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")  # one header of what is loaded


def slim(site: Path) -> Mapping[str, int]:
    """Take all of it out; the bytes that each kind saved.

    Raises:
        ValueError: `site` has no botocore as we know it: nothing was removed.
    """
    saved, left = {}, _bytes(site)
    for kind, take_out in (
        ("models", _models),
        ("lexers", _lexers),
        ("symbols", _symbols),
        ("sources", drop_sources),
    ):
        take_out(site)
        saved[kind], left = left - _bytes(site), _bytes(site)
    return saved


def prune_models(data: Path) -> None:
    """Remove the models of all services but `SERVICES` from a `botocore/data` folder.

    Files beside the services' folders (partitions, retry rules) stay; the endpoints are packed,
    as the models are.

    Raises:
        ValueError: `data` is not botocore's, or lacks a service: nothing was removed.
    """
    endpoints = data / _ENDPOINTS
    if not endpoints.is_file():
        msg = f"{data} is no botocore/data folder"
        raise ValueError(msg)
    if lacking := [name for name in SERVICES if not (data / name).is_dir()]:
        msg = f"{data} has no model of {', '.join(lacking)}: renamed by botocore?"
        raise ValueError(msg)
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        if folder.name not in SERVICES:
            shutil.rmtree(folder)
    for examples in sorted(data.rglob(_USELESS)):
        examples.unlink()
    packed = gzip.compress(endpoints.read_bytes(), mtime=0)
    endpoints.with_name(f"{_ENDPOINTS}.gz").write_bytes(packed)
    endpoints.unlink()


def cut_symbols(module: Path) -> None:
    """Cut an extension module behind the last byte that is loaded from it.

    Sections lie there, and the table that names them. A loader reads neither: it goes by the
    program headers. What has none, whole, is no module that could be loaded, and is left alone.
    """
    content = module.read_bytes()
    if not content.startswith(_ELF) or len(content) < _HEADER:
        return
    (at,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    if not count or size != _PROGRAM.size or at + size * count > len(content):
        return
    loaded = [_PROGRAM.unpack_from(content, at + size * n) for n in range(count)]
    end = max(offset + in_file for _, _, offset, _, _, in_file, _, _ in loaded)
    if end > len(content):
        return
    header = bytearray(content[:_HEADER])
    struct.pack_into("<Q", header, 40, 0)  # where the table of sections is
    struct.pack_into("<HH", header, 60, 0, 0)  # how many, and which of them has their names
    module.write_bytes(bytes(header) + content[_HEADER:end])


def _models(site: Path) -> None:
    prune_models(site / "botocore" / "data")


def _lexers(site: Path) -> None:
    for lexer in (site / "pygments" / "lexers").glob("*.py"):
        if lexer.stem not in LEXERS:
            lexer.unlink()


def _symbols(site: Path) -> None:
    for module in site.rglob("*.so"):
        cut_symbols(module)


def drop_sources(site: Path) -> None:
    """Bytecode in the place of sources; of ours beside them. Unchecked: nobody will edit them."""
    for source in site.rglob("*.py"):
        ours = source.relative_to(site).parts[0] == OURS
        made = compileall.compile_file(
            source,
            quiet=1,
            legacy=not ours,
            invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
        )
        if made and not ours:
            source.unlink()
    for other in site.rglob("*"):
        if other.suffix in _NOT_RUN:
            other.unlink()


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", type=Path, default=Path(sysconfig.get_path("purelib")))
    site = parser.parse_args().site
    saved = slim(site)
    told = ", ".join(f"{kind} {size / 1e6:.1f}" for kind, size in saved.items())
    print(f"{site}: {_bytes(site) / 1e6:.1f} MB are left. Saved, in MB: {told}")  # noqa: T201


if __name__ == "__main__":
    main()
