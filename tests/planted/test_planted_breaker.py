"""Bugs in the evidence and in the breaker of one process; their models alone must find them."""

from typing import Final

import pytest

from tests.planted.harness import Bug, is_found, passes

WINDOW: Final = "test_window_model.py::WindowTest"
BREAKER: Final = "test_breaker_model.py::BreakerTest"

BUGS: Final = (
    Bug(
        "the end of a call that left the window is counted",
        "window",
        WINDOW,
        "            if one.live:\n                self._ended += 1\n            return",
        "            self._ended += 1\n            return",
    ),
    Bug(
        "the window is a second too long",
        "window",
        WINDOW,
        "self._drop_old(since + SLICE_S - self._window_s)",
        "self._drop_old(since - self._window_s)",
    ),
    Bug(
        "a call never lapses",
        "window",
        WINDOW,
        "if one.ended < one.calls and now - one.since < below_s",
        "if one.ended < one.calls",
    ),
    Bug(
        "a call in flight is forgotten when it leaves the window",
        "window",
        WINDOW,
        "            if one.ended < one.calls:\n                self._overdue += (one,)\n",
        "",
    ),
    Bug(
        "the window holds one slice too many by count",
        "window",
        WINDOW,
        "self._calls - one.calls >= self._calls_max",
        "self._calls - one.calls > self._calls_max",
    ),
    Bug(
        "throttled calls are calls",
        "window",
        WINDOW,
        "OF_QUOTA | {Outcome.DENIED, Outcome.IGNORED}",
        "frozenset({Outcome.EXHAUSTED, Outcome.DENIED, Outcome.IGNORED})",
    ),
    Bug(
        "a call that hung was not slow",
        "window",
        WINDOW,
        "frozenset({Outcome.SLOW, Outcome.HUNG})",
        "frozenset({Outcome.SLOW})",
    ),
    Bug(
        "calls are stuck when the oldest of their second is",
        "window",
        WINDOW,
        "if now - one.since - SLICE_S >= stuck_s:\n                stuck +=",
        "if now - one.since >= stuck_s:\n                stuck +=",
    ),
    Bug(
        "what the window held before it was cleared is still counted",
        "window",
        WINDOW,
        "for one in (*self._slices, self.current):\n            one.live = False",
        "for one in self._slices:\n            one.live = False",
    ),
    Bug(
        "the newest calls are never so many as asked for",
        "window",
        WINDOW,
        "if now - one.since > recent_s and calls >= calls_min:",
        "if now - one.since > recent_s:",
    ),
    Bug(
        "calls that ended hide those that hang",
        "window",
        WINDOW,
        "            if calls and one.ended:\n                break\n",
        "",
    ),
    Bug(
        "news of an earlier generation is believed",
        "breaker",
        BREAKER,
        "elif permit.live and self.state is State.CLOSED:",
        "elif self.state is State.CLOSED:",
    ),
    Bug(
        "all who ask may probe",
        "breaker",
        BREAKER,
        "            if self._probe is not None:\n                return Refusal(",
        "            if self._probe is not None and now < 0:\n                return Refusal(",
    ),
    Bug(
        "a probe never lapses",
        "breaker",
        BREAKER,
        "if self._probe is not None and now >= self._probe_until:",
        "if self._probe is not None and now < 0:",
    ),
    Bug(
        "a probe that lapsed is believed",
        "breaker",
        BREAKER,
        "        self._probe = None\n        self._denied = self._failed = 0\n",
        "        self._denied = self._failed = 0\n",
    ),
    Bug(
        "a throttled probe closes the circuit",
        "breaker",
        BREAKER,
        "if outcome in (Outcome.SUCCESS, Outcome.SLOW):\n            self._move",
        "if outcome in (Outcome.SUCCESS, Outcome.SLOW, Outcome.THROTTLED):\n            self._move",
    ),
    Bug(
        "one bad probe is no worse than none",
        "breaker",
        BREAKER,
        "self._level = min(self._level + 1, LEVEL_MAX)",
        "self._level = min(self._level, LEVEL_MAX)",
    ),
    Bug(
        "any calm time forgives all",
        "breaker",
        BREAKER,
        "self._level = max(0, self._level - forgiven)",
        "self._level = 0 if forgiven else self._level",
    ),
    Bug(
        "the calm is counted from the start",
        "breaker",
        BREAKER,
        "        if new is State.CLOSED:\n            self._closed_since = now\n",
        "",
    ),
    Bug(
        "a quarantine does not double",
        "breaker",
        BREAKER,
        "policy.quarantine_s * 2.0 ** min(self._denials, 16)",
        "policy.quarantine_s",
    ),
    Bug(
        "a denial speaks against the target's health",
        "breaker",
        BREAKER,
        "the vote stays silent.\n        self._tripped_on = SILENT",
        "the vote stays silent.\n        self._tripped_on = self.vote(0, now)",
    ),
    Bug(
        "successes between two denials do not count",
        "breaker",
        BREAKER,
        "self._denied = self._failed = 0\n            grown",
        "self._failed = 0\n            grown",
    ),
    Bug(
        "an ignored call ends the suspicion",
        "breaker",
        BREAKER,
        "self._failed += outcome in FAILED",
        "self._failed = self._failed * (outcome is not Outcome.IGNORED) + (outcome in FAILED)",
    ),
    Bug(
        "calls that went out together are all cut for",
        "breaker",
        BREAKER,
        "elif outcome in _CUTS and now - self._cut_at >= CUT_EVERY_S:",
        "elif outcome in _CUTS:",
    ),
    Bug(
        "after a recovery all slots are free at once",
        "breaker",
        BREAKER,
        "            self._begin_slowly(1.0)",
        "            self._begin_slowly(float(self._slots))",
    ),
    Bug(
        "a few calls are enough to judge",
        "breaker",
        BREAKER,
        "if seen.calls < policy.min_calls:",
        "if seen.calls < policy.min_calls - 1:",
    ),
    Bug(
        "the newest calls are judged by a weaker proof",
        "breaker",
        BREAKER,
        "lower_bound(failures, calls, NEWEST_Z)",
        "lower_bound(failures, calls, VOTER_Z)",
    ),
    Bug(
        "a new policy forgets what was seen",
        "breaker",
        BREAKER,
        "        self._window.reach(",
        "        self._window.clear(self._closed_since)\n        self._window.reach(",
    ),
    Bug(
        "the fleet's decision leaves the own growth of the rest",
        "breaker",
        BREAKER,
        "self._level = self._denials = self._denied = self._failed = self.successes = 0",
        "self._denials = self._denied = self._failed = self.successes = 0",
    ),
    Bug(
        "a step of the ramp is not earned where nothing limits",
        "breaker",
        BREAKER,
        "            and not self._ramping\n",
        "",
    ),
    Bug(
        "who cannot agree with the fleet probes all the same",
        "breaker",
        BREAKER,
        "if self.odds < 1 and draw(",
        "if self.odds < 0 and draw(",
    ),
)


def test_the_core_itself_passes() -> None:
    passes(BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Bug) -> None:
    is_found(bug, BUGS)
