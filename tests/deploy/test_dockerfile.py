"""What the Dockerfile promises, read from its text; and what `deploy/slim.py` takes out."""

import importlib.util
import json
import re
import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import botocore
import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(botocore.__file__).parent / "data"


def script(name: str) -> ModuleType:
    """A script of deploy/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


SLIM, IMAGE = script("slim"), script("image")


def instructions() -> list[tuple[str, str]]:
    return [*IMAGE.instructions((ROOT / "Dockerfile").read_text(encoding="utf-8"))]


def last_stage() -> list[tuple[str, str]]:
    lines = instructions()
    start = max(n for n, (keyword, _) in enumerate(lines) if keyword == "FROM")
    return lines[start:]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "data"))


def test_the_worker_runs_as_nobody_in_particular() -> None:
    users = [argument for keyword, argument in last_stage() if keyword == "USER"]

    uid, gid = users[-1].split(":")
    assert int(uid) > 0
    assert int(gid) > 0


def test_the_worker_is_process_one() -> None:
    stage = dict(last_stage())

    assert json.loads(stage["ENTRYPOINT"]) == ["inference-worker"]
    assert json.loads(stage["CMD"]) == ["run"]
    assert stage["STOPSIGNAL"] == "SIGTERM"
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "inference-worker" in scripts["scripts"]


def test_every_package_is_installed_by_its_hash() -> None:
    installs = [
        command
        for keyword, argument in instructions()
        if keyword == "RUN"
        for command in argument.split("&&")
        if " install " in command
    ]

    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or ("--no-deps" in command and "dist/" in command)


def test_an_image_with_traces_is_as_the_page_says() -> None:
    page = (ROOT / "docs" / "traces.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```dockerfile\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    told = [*IMAGE.instructions(block)]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    (install,) = [argument for keyword, argument in told if keyword == "RUN"]
    assert re.findall(r"'(\S+)'", install) == extras["optional-dependencies"]["otel"]
    assert f"--python {last_stage_takes()}/bin/python " in install
    assert told[-1] == ("USER", dict(last_stage())["USER"])  # as it was


def last_stage_takes() -> str:
    (copied,) = [argument for keyword, argument in last_stage() if keyword == "COPY"]
    return copied.split()[-1]


def test_nothing_is_fetched_and_nothing_secret_is_asked_for() -> None:
    keywords = {keyword for keyword, _ in instructions()}
    given = [argument for keyword, argument in instructions() if keyword in ("ARG", "ENV")]

    assert "ADD" not in keywords
    assert not re.search(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY", " ".join(given))
    assert "curl" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_last_stage_only_takes_what_was_built() -> None:
    stage = last_stage()

    assert [argument for keyword, argument in stage if keyword == "COPY"] == [
        "--from=build /opt/worker /opt/worker"
    ]
    assert not [argument for keyword, argument in stage if keyword in ("RUN", "VOLUME")]


def test_bytecode_is_made_in_the_build_and_not_at_run_time() -> None:
    environment = " ".join(argument for keyword, argument in last_stage() if keyword == "ENV")
    built = "\n".join(argument for keyword, argument in instructions() if keyword == "RUN")

    assert "PYTHONDONTWRITEBYTECODE=1" in environment
    assert "/opt/worker/bin/python slim.py" in built.splitlines()[-1]
    assert "compile_file" in (ROOT / "deploy" / "slim.py").read_text(encoding="utf-8")


def test_the_builder_is_sent_nothing_but_what_is_copied() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = [
        source
        for keyword, argument in instructions()
        if keyword == "COPY" and not argument.startswith("--from")
        for source in argument.split()[:-1]
    ]

    assert "*" in ignored
    assert set(copied) == allowed


def test_the_builds_own_tools_are_those_of_the_lock() -> None:
    lock = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    tools = (ROOT / "deploy" / "build.txt").read_text(encoding="utf-8")
    rows = re.findall(r"^\S+==\S+ \\\n(?:    --hash=\S+(?: \\)?\n)+", tools, re.MULTILINE)

    assert len(rows) == tools.count("==")
    for row in rows:
        assert row in lock


def test_pruning_keeps_less_than_half() -> None:
    kept = SLIM.SERVICES
    size = sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file())
    left = sum(
        path.stat().st_size for name in kept for path in (DATA / name).rglob("*") if path.is_file()
    )

    assert left < size / 2


def test_every_client_opens_on_a_pruned_sdk(copied: Path) -> None:
    SLIM.prune_models(copied)
    # A process of its own: a session remembers what it has loaded.
    script = f"""
import asyncio
import json
from aiobotocore.session import get_session

async def main():
    session = get_session()
    session.get_component("data_loader").search_paths[:] = [{str(copied)!r}]
    services = session.get_available_services()
    for name in {list(SLIM.SERVICES)!r}:
        async with session.create_client(
            name, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
        ) as client:
            assert client.meta.endpoint_url.startswith("https://"), name
    print(json.dumps(services))

asyncio.run(main())
"""
    ran = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )

    assert sorted(json.loads(ran.stdout)) == sorted(SLIM.SERVICES)


def test_pruning_a_foreign_folder_removes_nothing(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()

    with pytest.raises(ValueError, match=r"no botocore/data folder"):
        SLIM.prune_models(tmp_path)

    assert (tmp_path / "precious").is_dir()


def test_an_sdk_without_a_service_that_we_need_is_not_pruned(copied: Path) -> None:
    shutil.rmtree(copied / "sqs")

    with pytest.raises(ValueError, match=r"no model of sqs"):
        SLIM.prune_models(copied)

    assert (copied / "ec2").is_dir()


def test_every_service_that_the_worker_opens_is_kept() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in [*(ROOT / "worker" / "aws").rglob("*.py")]
    )
    opened = set(re.findall(r'opened\(\s*"([a-z-]+)"', source))

    assert opened
    assert opened <= set(SLIM.SERVICES)


# --- what is taken out ---------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Packages as the lock brings them: two of others, one with an extension; and ours."""
    for name in ("multidict", "jmespath"):
        shutil.copytree(Path(importlib.import_module(name).__file__ or "").parent, tmp_path / name)
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "ours.py").write_text("raise RuntimeError('here')\n", encoding="utf-8")
    return tmp_path


def imported(site: Path, code: str) -> subprocess.CompletedProcess[str]:
    """What a Python says that has these packages alone."""
    start = f"import sys; sys.path.append({str(site)!r})\n"
    command = [sys.executable, "-I", "-S", "-c", start + code]
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603


def test_an_extension_without_its_symbols_still_works(site: Path) -> None:
    (module,) = (site / "multidict").glob("*.so")
    before = module.stat().st_size

    SLIM.cut_symbols(module)
    ran = imported(
        site,
        "from multidict import _multidict\n"
        "one = _multidict.MultiDict(a='1'); one.add('a', '2'); print(one.getall('a'))",
    )

    assert module.stat().st_size < before / 2
    assert (ran.stdout.strip(), ran.stderr) == ("['1', '2']", "")


def test_what_is_no_extension_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "linker.so"
    text.write_bytes(b"INPUT(other.so)\n")

    SLIM.cut_symbols(text)

    assert text.read_bytes() == b"INPUT(other.so)\n"


ARM64, X86_64 = 183, 62


def elf(machine: int, *, sections: bytes = b"", segments: int = 1, loaded: int = 200) -> bytes:
    """A module of 200 bytes: the header, program headers, code; then what no loader reads."""
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header += struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 200, 0, 64, 56, segments, 64, 2, 1
    )
    program = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, loaded, loaded, 4096) * segments
    return (header + program).ljust(200, b"\x90") + sections


@pytest.mark.parametrize("machine", [ARM64, X86_64])
def test_what_is_loaded_of_an_extension_stays_byte_by_byte(machine: int, tmp_path: Path) -> None:
    module = tmp_path / "one.so"
    whole = elf(machine, sections=b"names and tables")
    module.write_bytes(whole)

    SLIM.cut_symbols(module)

    left = module.read_bytes()
    assert left[64:] == whole[64:200]
    assert left[:40] == whole[:40]
    assert struct.unpack_from("<QIHHHHHH", left, 40) == (0, 0, 64, 56, 1, 64, 0, 0)


@pytest.mark.parametrize(
    "content",
    [
        elf(X86_64, sections=b"of an object", segments=0),
        elf(X86_64)[:20],
        elf(X86_64)[:100],
        elf(X86_64, loaded=400),
        elf(X86_64, sections=b"of 32 bits").replace(b"ELF\x02", b"ELF\x01", 1),
        elf(X86_64, sections=b"big-endian").replace(b"ELF\x02\x01", b"ELF\x02\x02", 1),
    ],
    ids=["no segments", "no header", "half its headers", "cut off", "32 bits", "big-endian"],
)
def test_an_extension_of_another_make_or_a_broken_one_is_left_alone(
    content: bytes, tmp_path: Path
) -> None:
    module = tmp_path / "other.so"
    module.write_bytes(content)

    SLIM.cut_symbols(module)

    assert module.read_bytes() == content


def test_bytecode_takes_the_place_of_others_sources_and_ours_stay(site: Path) -> None:
    SLIM.drop_sources(site)
    ran = imported(
        site, "import jmespath; print(jmespath.search('a', {'a': 1})); import worker.ours"
    )

    assert not [*(site / "jmespath").rglob("*.py")]
    assert not [*site.rglob("*.pyi")]
    assert (site / "worker" / "ours.py").exists()
    assert [*(site / "worker" / "__pycache__").iterdir()]
    assert ran.stdout.strip() == "1"
    assert "raise RuntimeError('here')" in ran.stderr  # our own lines are in a traceback


# --- the build, step by step ---------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "FROM alpine\n",
        "FROM python:2.7-slim\n",
        "FROM {base}\nADD https://example.org/x /x\n",
        "FROM {base}\nVOLUME /data\n",
        "FROM {base}\nCOPY --from=elsewhere /x /x\n",
        "FROM {base} AS a\nFROM {base}\nCOPY --from=a /x /y\n",
        "FROM {base}\nSTOPSIGNAL SIGKILL\n",
    ],
)
def test_what_is_not_known_of_a_dockerfile_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()  # not to be made anew here
    base = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
    (tmp_path / "Dockerfile").write_text(text.format(base=base), encoding="utf-8")

    with pytest.raises(IMAGE.Unknown):
        IMAGE.build(tmp_path, context=tmp_path)
