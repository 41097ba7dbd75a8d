"""The image without an engine: what its Dockerfile says is done in a folder, and run from there.

    python deploy/image.py OUT                         build it into the folder OUT, if it is new
    sudo -E python deploy/image.py OUT doctor --no-calls   and run it there, with the variables
                                                       WORKER_… and AWS_… of this shell

The build takes the Dockerfile instruction by instruction, with each path below OUT, and refuses an
instruction that it does not know: what is built here is what an engine would build, but for the
base, which is the Python that runs this, and of its version. The run is a container's: a root of
its own, of which nothing can be written, not even /tmp, and the Dockerfile's user, who has no home,
no group, no capability and only the Dockerfile's variables. It takes Linux and root (`unshare`).
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from json import loads
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Final

HERE: Final = Path(__file__).parents[1]
_ABSOLUTE: Final = re.compile(r"(?:(?<=[\s='\"])|^)/(?=\w)")
_PYTHON: Final = re.compile(r"python:(\d+\.\d+)\S*")
_NOT_TAKEN: Final = ("PYTHON", "VIRTUAL_ENV")  # of this shell, into the build
# A root of its own: what a base has, the Python, and what was built; then all of it read-only.
_RUN: Final = """
set -eu
PATH=$PATH:/usr/sbin:/sbin  # chroot is there, and not every shell looks there
root=$1 user=$2 group=$3; shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=755 image "$root"
seen() { mkdir -p "$root$1"; mount --bind "$1" "$root$1"; mount -o remount,bind,ro "$root$1"; }
for one in /bin /sbin /lib /lib32 /lib64 /usr /etc; do
  if [ -L "$one" ]; then ln -s "$(readlink "$one")" "$root$one"
  elif [ -d "$one" ]; then seen "$one"; fi
done
while [ "$1" != -- ]; do seen "$1"; shift; done; shift
mkdir -p "$root/proc" "$root/dev" "$root/tmp"
mount -t proc -o ro proc "$root/proc"
for one in /dev/null /dev/zero /dev/urandom; do
  touch "$root$one"; mount --bind "$one" "$root$one"
done
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs \\
  --inh-caps=-all --bounding-set=-all env -i "$@"
"""


class Unknown(Exception):
    """The Dockerfile says what cannot be done here."""


@dataclass(frozen=True, slots=True)
class Image:
    """What was built.

    Attributes:
        root: The folder that stands for `/`.
        env: The variables of its last stage.
        user: `uid:gid`.
        entrypoint: The command, and `cmd` its usual arguments.
        healthcheck: The command that asks how it is.
        copied: The folders that the last stage took.
    """

    root: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = "0:0"
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    healthcheck: tuple[str, ...] = ()
    copied: tuple[Path, ...] = ()

    def command(
        self,
        *arguments: str,
        env: Mapping[str, str] = MappingProxyType({}),
        entrypoint: Sequence[str] | None = None,
        seen: Sequence[Path] = (),
    ) -> list[str]:
        """The command line that runs it; the process that it starts is the image's own.

        Args:
            arguments: Instead of `cmd`.
            env: Further variables.
            entrypoint: Instead of its own.
            seen: Further folders that it may read.
        """
        uid, _, gid = self.user.partition(":")
        folders = [str(path) for path in (Path(sys.base_prefix).resolve(), *self.copied, *seen)]
        pairs = [f"{name}={value}" for name, value in {**self.env, **env}.items()]
        start = self.entrypoint if entrypoint is None else entrypoint
        words = [str(self.root / "run"), uid, gid, *folders, "--", *pairs, *start]
        (self.root / "run").mkdir(exist_ok=True)
        return ["unshare", "--mount", "sh", "-c", _RUN, "sh", *words, *(arguments or self.cmd)]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Keyword and argument of each, continuation lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    for line in joined.splitlines():
        if line.strip():
            keyword, _, argument = line.strip().partition(" ")
            yield keyword, argument.strip()


def build(root: Path, context: Path = HERE) -> Image:
    """Build the Dockerfile of `context` below the empty folder `root`.

    Raises:
        Unknown: An instruction, or a base, of which nothing is known here.
        CalledProcessError: A step failed.
    """
    return _followed(root, context, does=True)


def built(root: Path, context: Path = HERE) -> Image:
    """What `build` has built below `root`."""
    return _followed(root, context, does=False)


def _followed(root: Path, context: Path, *, does: bool) -> Image:
    """The Dockerfile from its first instruction to its last; the steps are done if `does`."""
    file = _File(Image(root.resolve()), context, does=does)
    for keyword, argument in instructions((context / "Dockerfile").read_text(encoding="utf-8")):
        step = getattr(file, keyword, None)
        if step is None:
            msg = f"{keyword} {argument}: nothing is known here of how it is done"
            raise Unknown(msg)
        step(argument)
    return file.image


@dataclass(slots=True)
class _File:
    """A Dockerfile as it is followed: a method for each instruction that is known."""

    image: Image
    context: Path
    does: bool
    arguments: dict[str, str] = field(default_factory=dict)
    stages: set[str] = field(default_factory=set)
    env: dict[str, str] = field(default_factory=dict)
    folder: Path = Path()

    @property
    def root(self) -> Path:
        return self.image.root

    def below(self, text: str) -> str:
        """The text with its absolute paths below the root."""
        return _ABSOLUTE.sub(f"{self.root}/", text)

    def ARG(self, argument: str) -> None:
        name, _, value = argument.partition("=")
        self.arguments[name] = value

    def FROM(self, argument: str) -> None:
        """Stages share one root; the base is the Python that runs this."""
        base, _, name = Template(argument).substitute(self.arguments).partition(" AS ")
        ours = f"{sys.version_info.major}.{sys.version_info.minor}"
        found = _PYTHON.fullmatch(base)
        if found is None or found[1] != ours:
            msg = f"FROM {base}: this is Python {ours}, and nothing else is known here"
            raise Unknown(msg)
        python = self.root / "base"
        if self.does and not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(python)], check=True)  # noqa: S603
        self.stages.add(name)
        self.image, self.folder = Image(self.root), self.root
        self.env = {"PATH": f"{python / 'bin'}:/usr/local/bin:/usr/bin:/bin"}

    def ENV(self, argument: str) -> None:
        for pair in shlex.split(argument):
            variable, _, value = pair.partition("=")
            self.env[variable] = Template(self.below(value)).substitute(self.env)
        self.image = replace(self.image, env=dict(self.env))

    def WORKDIR(self, argument: str) -> None:
        self.folder = self.root / argument.strip("/")
        self.folder.mkdir(parents=True, exist_ok=True)

    def RUN(self, argument: str) -> None:
        if not self.does:
            return
        outside = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_TAKEN)}
        subprocess.run(  # noqa: S603  (what our Dockerfile says)
            ["/bin/sh", "-c", self.below(argument)],
            check=True,
            cwd=self.folder,
            env={**outside, **self.env},
            stdout=sys.stderr,
        )

    def COPY(self, argument: str) -> None:
        *sources, target = argument.split()
        if sources[0].startswith("--"):
            self._take(argument, sources, target)
        elif self.does:
            for one in sources:
                self._copy(self.context / one, self.folder / target, whole=target.endswith("/"))

    def _copy(self, given: Path, into: Path, *, whole: bool) -> None:
        if given.is_dir():
            caches = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(given, into, ignore=caches, dirs_exist_ok=True)
        else:
            shutil.copy2(given, into / given.name if whole else into)

    def _take(self, argument: str, sources: list[str], target: str) -> None:
        """From another stage: it has its paths below the same root, so it is there."""
        stage, *paths = sources
        if stage.removeprefix("--from=") not in self.stages or paths != [target]:
            msg = f"COPY {argument}: stages share their paths here"
            raise Unknown(msg)
        taken = self.root / target.strip("/")
        self.image = replace(self.image, copied=(*self.image.copied, taken))

    def USER(self, argument: str) -> None:
        self.image = replace(self.image, user=argument)

    def ENTRYPOINT(self, argument: str) -> None:
        self.image = replace(self.image, entrypoint=tuple(loads(argument)))

    def CMD(self, argument: str) -> None:
        self.image = replace(self.image, cmd=tuple(loads(argument)))

    def HEALTHCHECK(self, argument: str) -> None:
        _, _, command = argument.partition("CMD ")
        self.image = replace(self.image, healthcheck=tuple(loads(command)))

    def STOPSIGNAL(self, argument: str) -> None:
        if argument != "SIGTERM":  # what whoever stops it here sends
            msg = f"STOPSIGNAL {argument}: a stop is a SIGTERM here"
            raise Unknown(msg)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.out.exists():
        image = built(given.out)
    else:
        given.out.mkdir(parents=True)
        image = build(given.out)
    if given.command:
        ours = {k: v for k, v in os.environ.items() if k.startswith(("WORKER_", "AWS_"))}
        command = image.command(*given.command, env=ours)
        os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
