"""An operator reviews dead letters for real, while workers run and are killed."""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.e2e.conftest import Note
from tests.e2e.stage import Stage, until
from worker.core.ledger import State
from worker.local.moods import Chance, Mood
from worker.local.outcomes import Constant, Fail

WHY = ("--reason", "incident 42", "--author", "alice")
LETTERS = 1000
GROUP = 200
OTHERS = 30

TOML = """
queue.url = "{jobs_url}"
queue.wait_s = 2
queue.lease_s = 4
queue.clock_skew_s = 0.5
slots = 10
payloads.bucket = "{bucket}"
model.id = "local.echo-v1"
targets.long = {{ id = "local.long-v1" }}
routes.default.targets = ["default"]
routes.long.targets = ["long"]
"""
MENDED = TOML + 'routes.chat.targets = ["default"]\n'


def toml(stage: Stage, text: str = TOML) -> str:
    return text.format(jobs_url=stage.jobs_url, bucket=stage.bucket)


def mixed(bucket: str) -> Iterator[tuple[str, str]]:
    """Bodies that die, each with its cause; what varies from job to job varies here too."""
    dice = random.Random(42)  # noqa: S311  (dice, not secrets)

    def text() -> str:
        words = ["it's", "17", "“so”", "4,096", "why?", "f00dfeed1234", "`x`", "don't", "arn:aws:x"]
        return " ".join(dice.choices(words, k=dice.randint(1, 12)))

    def ref(where: str) -> dict[str, Any]:
        key, sha256 = f"k/{dice.random()}", f"{dice.getrandbits(256):064x}"
        return {"uri": f"s3://{where}/{key}", "sha256": sha256, "bytes": dice.randint(9, 999)}

    causes: dict[str, Callable[[], dict[str, Any]]] = {
        "route": lambda: {"prompt": text(), "route": f"r{dice.randint(0, 99)}"},
        "typo": lambda: {"promt": text()},
        "nothing": lambda: {"metadata": {"n": dice.random()}},
        "deadline": lambda: {"prompt": text(), "deadline_s": -dice.random()},
        "quality": lambda: {"prompt": text(), "min_quality": dice.randint(2, 99)},
        "expired": lambda: {"prompt": text(), "deadline_at": dice.randint(1, 10**9)},
        "both": lambda: {"prompt": text(), "messages": [text()]},
        "forbidden": lambda: {"payload_ref": ref(f"other-{dice.randint(0, 9)}")},
        "missing": lambda: {"payload_ref": ref(bucket)},
        "too_long": lambda: {"prompt": text(), "route": "long"},
    }
    for n in range(LETTERS - 60):
        cause = [*causes][n % len(causes)]
        yield cause, json.dumps({**causes[cause](), "tenant": f"t-{n % 7}"})
    for _ in range(60):
        yield "truncated", json.dumps({"prompt": text() + " and so on"})[: -dice.randint(2, 9)]


def told(stage: Stage, *arguments: str, code: int = 0) -> Any:
    found = stage.command("dead", *arguments, "--json")
    assert found.returncode == code, found.stdout + found.stderr
    return json.loads(found.stdout)


def test_of_a_thousand_mixed_dead_letters_99_in_100_are_in_the_right_group(
    stage: Stage, note: Note
) -> None:
    says = [
        f"Input is too long for requested model: {n} tokens, found '{what}'"
        for n, what in ((4097, "it's mine"), (100_000, "a “secret”"), (9, "x"), (12_345, "don't"))
    ]
    chances = tuple(Chance(0.25, Fail("ValidationException", message=one)) for one in says)
    stage.mood(Mood(chances=chances), "local.long-v1")
    stage.worker("worker", toml(stage))
    sent = list(mixed(stage.bucket))
    ids = stage.send(body for _, body in sent)
    cause_of = {job: cause for job, (cause, _) in zip(ids, sent, strict=True)}
    until(lambda: stage.depth(stage.dead_url).visible == LETTERS, says="all are dead", within_s=180)

    began = time.monotonic()
    groups = told(stage, "groups")
    groups_s = time.monotonic() - began
    letters = told(stage, "list")["letters"]

    assert groups["letters"] == len(letters) == LETTERS
    assert stage.depth(stage.dead_url).visible == LETTERS, "nothing was received"
    pairs = Counter((letter["fingerprint"], cause_of[letter["job"]]) for letter in letters)
    main_cause = {fp: max(pairs, key=lambda p: pairs[p] * (p[0] == fp))[1] for fp, _ in pairs}
    main_group = {c: max(pairs, key=lambda p: pairs[p] * (p[1] == c))[0] for _, c in pairs}
    right = sum(
        count
        for (fp, cause), count in pairs.items()
        if main_cause[fp] == cause and main_group[cause] == fp
    )
    note(
        f"{right} of {LETTERS} letters in the right group; {len(groups['groups'])} groups of "
        f"{len(main_group)} causes; `dead groups` took {groups_s:.2f} s"
    )
    assert right >= 0.99 * LETTERS, pairs


def test_a_group_is_redriven_while_workers_are_killed_and_two_operators_click_at_once(
    stage: Stage, note: Note
) -> None:
    first = stage.worker("first", toml(stage))
    jobs = {f"chat-{n}" for n in range(GROUP)}
    stage.send({"id": job, "prompt": "Why?", "route": "chat"} for job in jobs)
    stage.send({"prompt": "Why?", "min_quality": 7} for _ in range(OTHERS))
    until(lambda: stage.depth(stage.dead_url).visible == GROUP + OTHERS, says="all are dead")
    assert first.stop() == 0
    stage.mood(Mood(latency=Constant(0.4)))
    victims = [stage.worker("victim-0", toml(stage, MENDED))]
    choice = ("--class", "unknown_route")
    command = ("dead", "redrive", *choice, *WHY, "--rate", "40", "--json", "--config")

    operators = [stage.start(*command, str(stage.folder / "victim-0.toml")) for _ in range(2)]
    for n in (1, 2):
        until(lambda: stage.in_flight() >= 5, says="calls are in flight")
        victims[-1].send(signal.SIGKILL)
        victims[-1].ended()
        victims.append(stage.worker(f"victim-{n}", toml(stage, MENDED)))
    tolds = [json.loads(operator.communicate(timeout=120)[0]) for operator in operators]
    until(stage.settled, says="every job is settled", within_s=120)

    assert sum(one["sent"] for one in tolds) == GROUP
    assert not [one["stopped"] for one in tolds if one["stopped"]]
    records = stage.records()
    chats = [records[job] for job in jobs]
    assert {(r.state, r.generation) for r in chats} == {(State.ANSWERED, 1)}, "none is lost"
    answered = Counter(
        line["job"]
        for victim in victims
        for line in victim.lines("job.settled")
        if line["settlement"] == "answered"
    )
    assert set(answered) <= jobs
    assert max(answered.values()) == 1, "none is doubled"
    assert set(stage.calls_by_job()) == jobs
    until(
        lambda: stage.depth(stage.dead_url).visible == OTHERS,
        says="the copies are gone and the others are visible",
    )
    assert {letter["reason"] for letter in told(stage, "list")["letters"]} == {"invalid_field"}
    repeated = sum(stage.calls_by_job().values()) - GROUP
    note(
        f"{GROUP} letters redriven by two operators at 40/s each: {repeated} calls repeated by "
        "2 kills, 0 lost, 0 doubled, copies gone"
    )


def test_one_thousand_letters_are_swept_by_one_operator(stage: Stage, note: Note) -> None:
    worker = stage.worker("worker", toml(stage))
    stage.send({"prompt": "Why?", "min_quality": 7} for _ in range(LETTERS - 1))
    stage.send([{"id": "needle", "promt": "Why?"}])
    until(lambda: stage.depth(stage.dead_url).visible == LETTERS, says="all are dead", within_s=180)
    assert worker.stop() == 0
    (needle,) = [x["job"] for x in told(stage, "list", "--class", "unknown_field")["letters"]]

    began = time.monotonic()
    mended = told(stage, "edit", needle, "--set", "prompt=Why?", "--unset", "promt", *WHY)
    edit_s = time.monotonic() - began
    began = time.monotonic()
    gone = told(stage, "discard", "--class", "invalid_field", *WHY)
    discard_s = time.monotonic() - began
    stage.worker("mended", toml(stage))
    until(lambda: stage.states().get(State.ANSWERED) == 1, says="the needle is answered")

    assert (mended["sent"], mended["changed"]) == (True, ["promt", "prompt"])
    assert stage.records()["needle"].state is State.ANSWERED
    assert (gone["gone"], gone["missing_count"]) == (LETTERS - 1, 0)
    assert stage.depth(stage.dead_url).total == 0
    assert told(stage, "list")["letters"] == []
    rows = told(stage, "log")["rows"]
    assert [(row["verb"], row["author"]) for row in rows] == [
        ("edit", "alice"),
        ("discard", "alice"),
    ]
    note(f"one of {LETTERS} edited in {edit_s:.1f} s; {LETTERS - 1} discarded in {discard_s:.1f} s")
