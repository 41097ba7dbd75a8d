"""Strips of the SLO: how fast its budget goes.

What must come of each is worked out by hand, from what the runbook says.
"""

from dataclasses import replace

from tests.deploy.alarms.strip import IDLE, WELL, Minute, also, drawn, strip

# --- the SLO ------------------------------------------------------------------

SLOW_BURN = ("SloBurn6h", "SloBurn30m", "SloSlowBurn")
FAST_BURN = ("SloBurn1h", "SloBurn5m", "SloFastBurn", "UserImpact")
DYING = Minute(answered=0, dead=25)
STRIPS = (
    strip(
        "14.4 % without a good answer",
        (8, Minute(answered=107, dead=18)),
        rings=also(((0, None),), *SLOW_BURN),
    ),
    strip(
        "more than 14.4 % without a good answer",
        (8, Minute(answered=106, dead=19)),
        rings=also(((0, None),), *SLOW_BURN, *FAST_BURN),
    ),
    strip("6 % without a good answer", (8, Minute(answered=94, dead=6))),
    strip(
        "more than 6 % without a good answer, second-best ones among them",
        (8, Minute(answered=73, degraded=20, dead=7)),
        rings=also(((0, None),), *SLOW_BURN),
    ),
    strip(
        "five minutes of an hour",
        (60, WELL),
        (5, DYING),  # 60
        (50, WELL),
        rings={
            "SloBurn5m": ((60, 69),),
            "SloBurn30m": ((61, 93),),
            **also(((63, 83),), "SloBurn6h", "SloSlowBurn"),
        },
    ),
    strip(
        "ten minutes of an hour",
        (60, WELL),
        (10, DYING),  # 60
        (55, WELL),
        rings={
            "SloBurn5m": ((60, 74),),
            "SloBurn1h": ((68, 121),),
            **also(((68, 74),), "SloFastBurn", "UserImpact"),
            "SloBurn30m": ((61, 98),),
            "SloBurn6h": ((63, None),),
            "SloSlowBurn": ((63, 98),),
        },
    ),
    strip(
        "silence ends a burn",
        (5, DYING),
        (375, IDLE),
        rings={
            "SloBurn5m": ((0, 9),),
            "SloBurn30m": ((0, 34),),
            "SloBurn1h": ((0, 64),),
            "SloBurn6h": ((0, 364),),
            "SloSlowBurn": ((0, 34),),
            **also(((0, 9),), "SloFastBurn", "UserImpact"),
        },
    ),
    strip(
        "a few jobs that die",
        *drawn("XXXXXXXXXXXXXXXXX....................", replace(IDLE, dead=1), IDLE),
        rings={
            "SloBurn5m": ((0, 21),),
            "SloBurn30m": ((0, None),),
            "SloBurn1h": ((6, None),),  # one of seven is 14.3 %
            **also(((16, None),), "SloBurn6h", "SloSlowBurn"),  # one of 17 is 5.9 %
            **also(((6, 21),), "SloFastBurn", "UserImpact"),
        },
    ),
)
