"""Strips of calls: errors, throttles, slowness, second-best answers.

What must come of each is worked out by hand, from what the runbook says.
"""

from dataclasses import replace

from tests.deploy.alarms.strip import ASLEEP, IDLE, SILENT, WELL, Minute, also, drawn, strip

# --- UpstreamUnserved, and UpstreamWorse ---------------------------------------

FIFTH = Minute(good=20, failed=5)  # exactly 20 %
MORE = Minute(good=19, failed=6)  # 24 %
HELD = replace(IDLE, hold=(1, 1))
_UNSERVED = (
    strip(
        "a share of errors, for three of five minutes",
        (10, WELL),
        (3, MORE),  # 10
        (10, WELL),
        (10, FIFTH),  # 23
        (5, WELL),
        *drawn("XX...XX...X.X.X", MORE),  # 38 to 52: two of five, then three of five
        (10, WELL),
        rings=also(((12, 15), (52, 53)), "UpstreamUnserved", "UpstreamWorse"),
    ),
    strip(
        "a share of few calls is none",
        (5, WELL),
        (5, Minute(good=0, failed=19)),
        (5, WELL),
        (3, Minute(good=0, failed=20)),  # 15
        (7, WELL),
        rings=also(((17, 20),), "UpstreamUnserved", "UpstreamWorse"),
    ),
    strip(
        "what got no leave counts as failed",
        (5, WELL),
        (3, Minute(good=0, unserved=25)),  # 5
        (7, WELL),
        (3, Minute(good=17, failed=3, unserved=3)),  # 15
        (7, WELL),
        (5, Minute(good=20, unserved=5)),  # 25: a fifth, no more
        (5, WELL),
        (3, Minute(good=0, failed=11, unserved=9)),  # 35
        (7, WELL),
        (5, Minute(good=0, unserved=19)),  # 45: of so few it is no share
        (5, WELL),
        (3, Minute(good=19, failed=5)),  # 55: 20.8 %
        (7, WELL),
        rings=also(((7, 10), (17, 20), (37, 40), (57, 60)), "UpstreamUnserved", "UpstreamWorse"),
    ),
    strip(
        "nothing can take work, and some waits",
        (5, WELL),
        (3, replace(HELD, jobs=(0, 1))),  # 5
        (7, WELL),
        (3, replace(HELD, due=(0, 1))),  # 15
        (7, WELL),
        (3, replace(HELD, delayed=(0, 1))),  # 25
        (7, WELL),
        (5, HELD),  # 35: nothing waits
        (5, WELL),
        (5, replace(IDLE, hold=(2, 0), jobs=(1,))),  # 45: only one worker thinks so
        (5, Minute(jobs=(9,), due=(9,), delayed=(9,))),  # 50: jobs wait as always
        (5, WELL),
        (5, replace(ASLEEP, hold=(1, 1), beats=2)),  # 60: of the queues nothing is known
        (5, WELL),
        (5, replace(SILENT, jobs=(9,))),  # 70: of the hold nothing is known
        (3, WELL),
        rings={
            **also(((7, 10), (17, 20), (27, 30)), "UpstreamUnserved", "UpstreamWorse"),
            **also(((72, 75),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "silence ends a share",
        (10, WELL),
        (5, MORE),  # 10
        (10, ASLEEP),
        rings={
            **also(((12, 17),), "UpstreamUnserved", "UpstreamWorse"),
            **also(((17, None),), "FleetSilent", "UserImpact"),
        },
    ),
)
ILL = replace(MORE, open=(1, 1))
_WORSE = (
    strip(
        "a circuit speaks for what is worse",
        (10, WELL),
        (10, ILL),  # 10
        (10, WELL),
        rings={
            "CircuitOpen": ((11, 22),),
            **also(((12, 22),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(),
    ),
    strip(
        "a circuit that opens in time speaks for it",
        (10, WELL),
        (3, MORE),  # 10
        (7, ILL),
        (10, WELL),
        rings={
            "CircuitOpen": ((14, 22),),
            **also(((12, 22),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(),
    ),
    strip(
        "a circuit that opens too late does not, but for the end",
        (10, WELL),
        (6, MORE),  # 10
        (4, ILL),
        (10, WELL),
        rings={
            "CircuitOpen": ((17, 22),),
            **also(((12, 22),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(14, 27),
    ),
    strip(
        "what outlasts its circuit speaks again",
        (10, WELL),
        (5, ILL),  # 10
        (10, MORE),
        (10, WELL),
        rings={
            "CircuitOpen": ((11, 17),),
            **also(((12, 27),), "UpstreamUnserved", "UpstreamWorse"),
        },
        worse=(22, 27),
    ),
)

# --- ThrottleRising, LatencySpike --------------------------------------------

THROTTLED = Minute(good=46, throttled=4)  # 8 %
_THROTTLES = (
    strip(
        "a share of throttles, for five of ten minutes",
        (12, WELL),
        (5, THROTTLED),  # 12
        (15, WELL),
        (12, Minute(good=38, throttled=2)),  # 32: exactly 5 %
        (6, WELL),
        *drawn("XXXX......XXXX............X..X.X.X.X", THROTTLED),  # 50 to 85
        (10, WELL),
        rings=also(((16, 22), (85, 86)), "ThrottleRising", "UpstreamWorse"),
    ),
    strip(
        "throttles of few calls are no share",
        (10, WELL),
        (6, Minute(good=0, throttled=19)),
        (10, WELL),
        (5, Minute(good=18, throttled=2)),  # 26
        (10, WELL),
        rings=also(((30, 36),), "ThrottleRising", "UpstreamWorse"),
    ),
    strip(
        "silence ends throttles",
        (10, WELL),
        (9, THROTTLED),  # 10
        (12, ASLEEP),
        rings={
            **also(((14, 24),), "ThrottleRising", "UpstreamWorse"),
            **also(((21, None),), "FleetSilent", "UserImpact"),
        },
    ),
)


def slow(ms: int, *, times: int = 2, good: int = 23) -> Minute:
    return Minute(good=good, slow_ms=(ms,) * times)


_LATENCY = (
    strip(
        "one answer in twenty is too slow, for three of five minutes",
        (10, WELL),
        (3, slow(40_000)),  # 10
        (10, WELL),
        (5, slow(30_000)),  # 23
        (5, slow(20_000)),
        (5, slow(40_000, times=1, good=24)),  # one in twenty-five
        (10, WELL),
        *drawn("XX...X.X.X", slow(40_000)),  # 48 to 57
        (10, WELL),
        rings=also(((12, 15), (57, 58)), "LatencySpike", "UpstreamWorse"),
    ),
    strip(
        "a few slow answers are no share",
        (5, WELL),
        (5, slow(40_000, times=19, good=0)),
        (5, WELL),
        (3, slow(40_000, times=20, good=0)),  # 15
        (7, WELL),
        rings=also(((17, 20),), "LatencySpike", "UpstreamWorse"),
    ),
    strip(
        "silence ends slowness",
        (10, WELL),
        (5, slow(40_000)),  # 10
        (10, ASLEEP),
        rings={
            **also(((12, 17),), "LatencySpike", "UpstreamWorse"),
            **also(((17, None),), "FleetSilent", "UserImpact"),
        },
    ),
)


# --- FallbackSustained --------------------------------------------------------

SECOND = Minute(answered=7, degraded=3)
_FALLBACK = (
    strip(
        "second-best answers, for 15 of 17 minutes",
        (20, WELL),
        (15, SECOND),  # 20
        (20, WELL),
        (20, Minute(answered=6, degraded=2)),  # 55: exactly a quarter
        (20, WELL),
        *drawn("XXXXXXXXXXXXXX...XXXXXXXXXXXXXX", SECOND),  # 95 to 125
        (20, WELL),
        *drawn("XXXXXXXX..XXXXXXX", SECOND),  # 146 to 162
        (20, WELL),
        rings={"FallbackSustained": ((34, 37), (162, 163))},
    ),
    strip(
        "second-best answers of few jobs",
        (5, WELL),
        (17, Minute(answered=0, degraded=4)),
        (18, WELL),
        (15, Minute(answered=3, degraded=2)),  # 40
        (5, WELL),
        rings={"FallbackSustained": ((54, 57),)},
    ),
    strip(
        "silence ends second-best answers",
        (5, WELL),
        (20, SECOND),  # 5
        (8, ASLEEP),
        rings={
            "FallbackSustained": ((19, 27),),
            **also(((27, None),), "FleetSilent", "UserImpact"),
        },
    ),
)

STRIPS = (*_UNSERVED, *_WORSE, *_THROTTLES, *_LATENCY, *_FALLBACK)
