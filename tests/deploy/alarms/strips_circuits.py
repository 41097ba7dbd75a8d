"""Strips of circuits and their store, and of what is ours: bugs, rights, the log.

What must come of each is worked out by hand, from what the runbook says.
"""

from tests.deploy.alarms.strip import ASLEEP, WELL, Minute, also, drawn, strip

# --- circuits -----------------------------------------------------------------

OPEN = Minute(open=(1, 1))
_CIRCUITS = (
    strip(
        "a circuit is open for so long",
        (20, WELL),
        (1, OPEN),
        (5, WELL),
        (2, OPEN),  # 26
        (14, WELL),
        (14, OPEN),  # 42
        (5, WELL),
        (15, OPEN),  # 61
        (5, WELL),
        rings={"CircuitOpen": ((27, 30), (43, 58), (62, 78)), "CircuitOpenLong": ((75, 76),)},
    ),
    strip(
        "a circuit that is open at one worker, or at one reading",
        (20, WELL),
        (15, Minute(open=(0, 1))),  # 20
        (20, WELL),
        rings={
            "CircuitOpen": ((21, 37),),
            "CircuitOpenLong": ((34, 35),),
            "CircuitFlapping": ((24, 45),),
        },
    ),
    strip(
        "nobody is left to tell of a circuit",
        (5, WELL),
        (20, OPEN),  # 5
        (12, ASLEEP),
        (5, WELL),  # 37
        rings={
            "CircuitOpen": ((6, 37),),
            "CircuitOpenLong": ((19, 37),),
            **also(((27, 37),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "a circuit opens and closes, in five of 15 minutes",
        (20, WELL),
        *drawn("X..X..X..X..X", Minute(open=(0, 1))),  # 20 to 32
        (20, WELL),
        *drawn("X...X...X...X...X", Minute(open=(1, 0))),  # 53 to 69
        (20, WELL),
        (20, Minute(open=(2, 2))),  # 90: open, and it stays so
        (5, WELL),
        rings={
            "CircuitFlapping": ((32, 35),),
            "CircuitOpen": ((23, 24), (26, 27), (29, 30), (32, 33), (91, 112)),
            "CircuitOpenLong": ((104, 110),),
        },
    ),
    strip(
        "silence ends flapping",
        (20, WELL),
        (5, Minute(open=(0, 1))),  # 20
        (20, ASLEEP),
        rings={
            "CircuitFlapping": ((24, 35),),
            "CircuitOpen": ((21, None),),
            **also(((27, None),), "FleetSilent", "UserImpact"),
        },
    ),
)
STALE = Minute(age=(10, 70))
_STORE = (
    strip(
        "verdicts are a minute old, for five minutes",
        (10, WELL),
        (5, STALE),  # 10
        (10, WELL),
        (4, Minute(age=(70, 70))),  # 25
        (5, WELL),
        (8, Minute(age=(60, 60))),
        (8, Minute(age=(45, 45))),
        (5, WELL),
        rings={"BreakerStoreStale": ((14, 15),)},
    ),
    strip(
        "silence ends what is stale",
        (10, WELL),
        (7, STALE),  # 10
        (8, ASLEEP),
        rings={
            "BreakerStoreStale": ((14, 19),),
            **also(((19, None),), "FleetSilent", "UserImpact"),
        },
    ),
)


# --- ErrorsNew, UnhandledErrors, EmfBroken ------------------------------------

_OURS = (
    strip(
        "one call without a right",
        (10, WELL),
        (1, Minute(denied=1)),
        (25, WELL),
        rings=also(((10, 30),), "ErrorsNew", "UserImpact"),
    ),
    strip(
        "a quarantine between two calls without a right",
        (10, WELL),
        (1, Minute(denied=1)),
        (15, WELL),
        (1, Minute(denied=1)),  # 26
        (25, WELL),
        rings=also(((10, 46),), "ErrorsNew", "UserImpact"),
    ),
    strip(
        "a bug, in three of five minutes",
        (10, WELL),
        (3, Minute(bugs=1)),  # 10
        (10, WELL),
        *drawn("XX....X.X.X", Minute(bugs=1)),  # 23 to 33
        (10, WELL),
        rings={"UnhandledErrors": ((12, 15), (33, 34))},
    ),
    strip(
        "silence ends bugs",
        (10, WELL),
        (5, Minute(bugs=1)),  # 10
        (8, ASLEEP),
        rings={
            "UnhandledErrors": ((12, 17),),
            **also(((17, None),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "lines that are no metrics",
        (10, WELL),
        (1, Minute(invalid=1)),
        (15, WELL),
        (1, Minute(unreadable=1)),  # 26
        (15, WELL),
        rings={"EmfBroken": ((10, 15), (26, 31))},
    ),
)

STRIPS = (*_CIRCUITS, *_STORE, *_OURS)
