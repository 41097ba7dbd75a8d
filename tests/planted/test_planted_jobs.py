"""Bugs in what a job goes through: ledger, routes, retries, envelope."""

from typing import Final

import pytest

from tests.planted.harness import Bug, is_found, passes

LEDGER: Final = "test_ledger_model.py::LedgerTest"  # the lives, not the single moves

BUGS: Final = (
    Bug(
        "a claim does not raise the fence",
        "ledger",
        LEDGER,
        "fence=old.fence + 1,",
        "fence=old.fence,",
    ),
    Bug(
        "a finish asks for no fence",
        "ledger",
        LEDGER,
        "old is None or (old.fence, old.nonce) != (held.fence, held.nonce)",
        "old is None",
    ),
    Bug(
        "a finish asks for no nonce",
        "ledger",
        "test_ledger.py",
        "(old.fence, old.nonce) != (held.fence, held.nonce)",
        "old.fence != held.fence",
    ),
    Bug(
        "a lapsed lease is no crash",
        "ledger",
        LEDGER,
        "replace(old, crashes=old.crashes + 1)",
        "old",
    ),
    Bug(
        "a lease lapses by the claimer's clock alone",
        "ledger",
        "test_ledger.py",
        "at > old.lease_until + skew_s",
        "at > old.lease_until",
    ),
    Bug(
        "a redrive keeps the counters of the old life",
        "ledger",
        LEDGER,
        "Record(job=old.job, state=State.DEAD),",
        "old,",
    ),
    Bug(
        "a redrive is no new generation",
        "ledger",
        LEDGER,
        "generation=old.generation + 1,",
        "generation=old.generation,",
    ),
    Bug(
        "a redrive forgets the messages of the old life",
        "ledger",
        LEDGER,
        "        doorbells=old.doorbells,\n",
        "",
    ),
    Bug(
        "a parked doorbell wakes the dead",
        "ledger",
        "test_ledger.py",
        "not ask.own_doorbell and ",
        "",
    ),
    Bug(
        "a late duplicate wakes the dead",
        "ledger",
        LEDGER,
        " and ask.doorbell not in old.doorbells:",
        ":",
    ),
    Bug(
        "an id may be taken for another request",
        "ledger",
        LEDGER,
        "if old.digest and ask.digest != old.digest:",
        "if not old.job:",
    ),
    Bug(
        "a process takes its own running job away from itself",
        "ledger",
        "test_ledger.py",
        "at > old.lease_until + skew_s",
        "old.owner == ask.owner or at > old.lease_until + skew_s",
    ),
    Bug(
        "a repeated claim is a new one",
        "ledger",
        LEDGER,
        "old.state is State.RUNNING and old.nonce == ask.nonce",
        "old.state is State.QUEUED and old.nonce == ask.nonce",
    ),
    Bug(
        "a holder may change its mind",
        "ledger",
        LEDGER,
        "    if old.state is not State.RUNNING:\n        return Stale(old)\n    assert (old.state",
        "    assert (State.RUNNING",
    ),
    Bug(
        "an ending repeated is refused",
        "ledger",
        LEDGER,
        "if old.state is ending.state:",
        "if old.state is ending.state and not ending.told:",
    ),
    Bug(
        "a job past its deadline is called",
        "plan",
        "test_plan.py",
        "seen.left_s is not None and seen.left_s <= 0",
        "seen.left_s is not None and seen.left_s < -1e9",
    ),
    Bug(
        "a call may outlast its deadline",
        "plan",
        "test_plan.py",
        "bound_s = min(target.attempt_s, max(left_s - kept_s, target.least_s))",
        "bound_s = target.attempt_s",
    ),
    Bug(
        "a wait costs no time",
        "plan",
        "test_plan.py",
        "seen.left_s - wait_s",
        "seen.left_s",
    ),
    Bug(
        "quality does not matter",
        "plan",
        "test_plan.py",
        "return [target for target in _inside(route, seen) if target.quality >= floor]",
        "return _inside(route, seen)",
    ),
    Bug(
        "the quality of a route does not matter",
        "plan",
        "test_plan.py",
        "floor = max(route.min_quality, seen.min_quality)",
        "floor = seen.min_quality",
    ),
    Bug(
        "where a job is processed does not matter",
        "plan",
        "test_plan.py",
        "for target in _inside(route, seen) if target.quality >= floor]",
        "for target in route.targets if target.quality >= floor]",
    ),
    Bug(
        "a poor answer is asked for again and again",
        "plan",
        "test_plan.py",
        "again if poor <= REPAIRS else None",
        "again",
    ),
    Bug(
        "an answer that was rejected is given out",
        "accept",
        "test_accept.py",
        "if not broken:",
        "if broken:",
    ),
    Bug(
        "only the job may restrict where it is processed",
        "plan",
        "test_plan.py",
        "for allowed in (route.allow_geo, seen.allow_geo):",
        "for allowed in (seen.allow_geo,):",
    ),
    Bug(
        "one of a target's places is enough",
        "geo",
        "test_geo.py",
        "bool(places) and all(",
        "bool(places) and any(",
    ),
    Bug(
        "a target in no known place may be anywhere",
        "geo",
        "test_geo.py",
        "bool(places) and all(",
        "all(",
    ),
    Bug(
        "a hung target may take all the time",
        "plan",
        "test_plan.py",
        "max(left_s - kept_s, target.least_s)",
        "left_s",
    ),
    Bug(
        "time is kept for a call that may not be made",
        "plan",
        "test_plan.py",
        "if len(seen.tried) + 1 < route.retry.attempts:",
        "if route.targets:",
    ),
    Bug(
        "no time is kept for the handlers",
        "plan",
        "test_plan.py",
        "kept_s = route.handlers_s if route.degraded else 0.0",
        "kept_s = 0.0",
    ),
    Bug(
        "the first of a group gets every job",
        "draw",
        "test_plan.py",
        "n = min(bisect_right(edges, point), len(left) - 1)",
        "n = 0",
    ),
    Bug(
        "the weights count for the first place only",
        "draw",
        "test_plan.py",
        "roll = min(max(0.0, (point - (edges[n] - weight)) / weight), _BELOW_ONE)",
        "roll = 0.0",
    ),
    Bug(
        "a retry needs no budget",
        "plan",
        "test_plan.py",
        "if call is not None and call.spends <= budget:",
        "if call is not None:",
    ),
    Bug(
        "parked jobs come back together",
        "plan",
        "test_plan.py",
        "low_s + roll * (high_s - low_s)",
        "low_s",
    ),
    Bug(
        "a park is longer than SQS can delay",
        "plan",
        "test_plan.py",
        "min(900.0, low_s",
        "min(9000.0, low_s",
    ),
    Bug(
        "a park outlasts the deadline",
        "plan",
        "test_plan.py",
        "if delay_s > left_s - shortest_s:",
        "if delay_s > left_s + shortest_s:",
    ),
    Bug(
        "an outage wears a job out",
        "plan",
        "test_plan.py",
        "if reaction.wears_out and seen.attempts",
        "if seen.attempts",
    ),
    Bug(
        "poison is never found",
        "plan",
        "test_plan.py",
        "return len(hung) > 1",
        "return len(hung) > 2",
    ),
    Bug(
        "a rejected job is tried again",
        "fault",
        "test_plan.py",
        "vote=Vote.IGNORE, again=Again.NEVER, ending=Ending.DISCARD",
        "vote=Vote.IGNORE, again=Again.SAME, ending=Ending.DISCARD",
    ),
    Bug(
        "a wrong setting kills jobs",
        "fault",
        "test_plan.py",
        "MISCONFIGURED: Reaction(\n"
        "            vote=Vote.QUARANTINE, again=Again.OTHER, ending=Ending.PARK",
        "MISCONFIGURED: Reaction(\n"
        "            vote=Vote.QUARANTINE, again=Again.OTHER, ending=Ending.DISCARD",
    ),
    Bug(
        "quotation marks inside a quotation end it",
        "fault",
        "test_fault.py",
        "{text[last.end() :] if paired else ''}",
        "{text[marks[min(1, len(marks) - 1)].end() :]}",
    ),
    Bug(
        "a backoff has no jitter",
        "retry",
        "test_retry.py",
        "return roll * min(",
        "return 0.5 * min(",
    ),
    Bug(
        "the retry budget never runs dry",
        "retry",
        "test_retry.py",
        "        self.tokens -= cost\n",
        "",
    ),
    Bug(
        "one job rejected five times accuses its target",
        "guards",
        "test_guards.py",
        "rejected.add(job)",
        "rejected.add(f'{job} {len(rejected)}')",
    ),
    Bug(
        "a key given twice is read",
        "strict_json",
        "test_strict_json.py",
        '_given_twice(body) if body.count(b":") != keys else None',
        "None",
    ),
    Bug(
        "an abyss hides behind a second key",
        "strict_json",
        "test_strict_json.py",
        "except RecursionError:",
        "except ZeroDivisionError:",
    ),
    Bug(
        "what is wrong is told with the value",
        "envelope",
        "test_envelope.py",
        "raise _invalid(name, says)",
        "raise _invalid(name, f'{says}, not {value}')",
    ),
    Bug(
        "the digest covers conditions too",
        "envelope",
        "test_envelope.py",
        'for k in (*_REQUEST, "payload_ref") if k in tree',
        'for k in (*_REQUEST, "payload_ref", "metadata") if k in tree',
    ),
)


def test_the_core_itself_passes() -> None:
    passes(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    is_found(bug, BUGS)
