"""Bugs in the fleet's verdict, its moves, its jury and its gate; the model alone must find them."""

from typing import Final

import pytest

from tests.planted.harness import Bug, is_found, passes

VERDICT: Final = "test_verdict_model.py::VerdictTest"


def bug(name: str, module: str, old: str, new: str) -> Bug:
    return Bug(name, module, VERDICT, old, new)


BUGS: Final = (
    bug(
        "a trip begins no epoch",
        "moves",
        "return replace(tripped, epoch=verdict.epoch + 1, why=order.why)",
        "return replace(tripped, why=order.why)",
    ),
    bug(
        "a round has the number of the last one",
        "moves",
        "round=verdict.round + 1,",
        "round=max(1, verdict.round),",
    ),
    bug("there is always one more ticket", "moves", "v.tickets_left > 0", "v.tickets_left >= 0"),
    bug(
        "a claim that is repeated gets a second ticket",
        "moves",
        "\n                and o.claim not in v.claims",
        "",
    ),
    bug(
        "a result counts twice",
        "moves",
        "\n        and verdict.outcomes[verdict.claims.index(order.claim)] is None",
        "",
    ),
    bug(
        "a result is written under the last ticket",
        "moves",
        "    ticket = verdict.claims.index(order.claim)\n",
        "    ticket = len(verdict.claims) - 1\n",
    ),
    bug(
        "an overdue round is a bad one",
        "moves",
        "    if verdict.good >= need:\n",
        "    if verdict.good >= need and not order.overdue:\n",
    ),
    bug(
        "one good probe is enough",
        "moves",
        "    if verdict.good >= need:\n",
        "    if verdict.good:\n",
    ),
    bug(
        "a round is decided before it is",
        "moves",
        "verdict.tickets - verdict.bad < need",
        "verdict.tickets - verdict.bad <= need",
    ),
    bug(
        "a hopeless round goes on",
        "moves",
        "order.overdue or verdict.good >= need or hopeless",
        "order.overdue or verdict.good >= need",
    ),
    bug(
        "a silent round makes the rest longer",
        "moves",
        "verdict.level + 1 if verdict.bad else verdict.level",
        "verdict.level + 1",
    ),
    bug(
        "a bad round makes the rest no longer",
        "moves",
        "verdict.level + 1 if verdict.bad else verdict.level",
        "verdict.level",
    ),
    bug(
        "a calm time forgives no less than one level",
        "moves",
        "max(0, verdict.level - int(order.calm_s / policy.forgive_s))",
        "max(0, verdict.level - 1 - int(order.calm_s / policy.forgive_s))",
    ),
    bug(
        "the close forgives all",
        "moves",
        "state=State.CLOSED, share=1.0, why=order.why)",
        "state=State.CLOSED, share=1.0, level=0, why=order.why)",
    ),
    bug("the ramp skips its steps", "moves", "share=higher[0]", "share=higher[-1]"),
    bug("the ramp falls to its foot", "moves", "share=lower[-1]", "share=lower[0]"),
    bug(
        "a fall from the ramp makes the rest no longer",
        "moves",
        "        level = verdict.level + 1\n    else",
        "        level = verdict.level\n    else",
    ),
    bug(
        "a new share is no new stage",
        "moves",
        "(new.state, new.share) == (verdict.state, verdict.share)",
        "new.state == verdict.state",
    ),
    bug(
        "an operator overwrites what it never saw",
        "moves",
        "lambda v, o, _: v.orders == o.number",
        "lambda v, o, _: True",
    ),
    bug(
        "a release ends whatever override is there",
        "moves",
        "v.override is not None and v.override.number == o.number",
        "v.override is not None",
    ),
    bug(
        "a release lets the numbers of orders begin anew",
        "moves",
        "replace(v, override=None)",
        "replace(v, override=None, orders=0)",
    ),
    bug(
        "an operator's order takes the tickets away",
        "moves",
        "override=replace(order.override, number=number), orders=number)\n\n\ndef _restore",
        "override=replace(order.override, number=number), orders=number, tickets=0)"
        "\n\n\ndef _restore",
    ),
    bug(
        "a lost round goes on",
        "moves",
        "    if known.state is State.HALF_OPEN:\n        restored = ",
        "    if known.state is State.RAMP:\n        restored = ",
    ),
    bug(
        "restored rounds have their old numbers",
        "moves",
        "round=max(known.round, verdict.round) + RESTORE_STEP",
        "round=max(known.round, verdict.round)",
    ),
    bug(
        "a restore undoes what an operator ordered meanwhile",
        "moves",
        "    if verdict.override is None:\n        return replace(restored",
        "    if verdict.version:\n        return replace(restored",
    ),
    bug(
        "two writes under one version are one",
        "verdict",
        "return there.nonce != known.nonce",
        "return False",
    ),
    bug(
        "an operator's order is no history",
        "verdict",
        "if (old.stage, old.override) == (new.stage, new.override):",
        "if old.stage == new.stage:",
    ),
    bug(
        "history takes a restore for an operator's order",
        "verdict",
        "if override != old.override and new.epoch == old.epoch:",
        "if override != old.override:",
    ),
    bug(
        "an override holds until the later of its ends",
        "verdict",
        "at < self.until_at and seen_for_s < self.for_s",
        "at < self.until_at or seen_for_s < self.for_s",
    ),
    bug(
        "votes count for any stage",
        "jury",
        "[vote for vote in votes if vote.stage == verdict.stage]",
        "list(votes)",
    ),
    bug("two voters are a quorum", "jury", "QUORUM_MIN: Final = 3", "QUORUM_MIN: Final = 2"),
    bug(
        "less than half of the voters are enough",
        "jury",
        "if bad >= max(quorum_min, (len(seeing) + 1) // 2):",
        "if bad >= max(quorum_min, len(seeing) // 2):",
    ),
    bug(
        "who gave up alone has no vote",
        "jury",
        "sick or (calls > 1",
        "(calls > 1",
    ),
    bug("one call is enough for a vote", "jury", "(calls > 1 and", "(calls > 0 and"),
    bug(
        "the worst quarter of the pool counts",
        "jury",
        "kept = judging[cut : len(judging) - cut]",
        "kept = judging[cut:]",
    ),
    bug(
        "who calls most weighs most",
        "jury",
        "share = min(1.0, weight / count)",
        "share = 1.0",
    ),
    bug(
        "a step of the ramp is earned whatever failed",
        "jury",
        "earned = successes >= policy.ramp_calls and failures <= policy.failure_rate * (\n"
        "        failures + successes\n    )",
        "earned = successes >= policy.ramp_calls",
    ),
    bug(
        "calls that hang are no evidence",
        "jury",
        '        or _bad(ripe, quorum_min, policy.failure_rate, "hanging")\n',
        "",
    ),
    bug(
        "a wrong clock keeps an override alive",
        "gate",
        "now + min(override.for_s, override.until_at - at)",
        "now + override.until_at - at",
    ),
    bug(
        "every write begins the rest anew",
        "gate",
        "if verdict.stage != known.stage or verdict.state is not known.state:",
        "if verdict.version != known.version:",
    ),
    bug(
        "a gate forgets whatever it reads",
        "gate",
        "if verdict.version <= known.version or is_behind(verdict, known):",
        "if verdict.version == known.version:",
    ),
)


def test_the_core_itself_passes() -> None:
    passes(BUGS)


@pytest.mark.parametrize("planted", BUGS, ids=lambda planted: planted.name)
def test_a_planted_bug_is_found(planted: Bug) -> None:
    is_found(planted, BUGS)
