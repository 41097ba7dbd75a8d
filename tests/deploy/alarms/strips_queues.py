"""Strips of queues and of the fleet, and of what calls somebody.

What must come of each is worked out by hand, from what the runbook says.
"""

from dataclasses import replace

from tests.deploy.alarms.strip import ASLEEP, IDLE, SILENT, WELL, Minute, also, drawn, strip

# --- queues -------------------------------------------------------------------

NO_QUEUES = Minute(jobs=(), oldest=(), due=(), delayed=(), parked_age=(), letters=())
OVERDUE = Minute(parked_age=(100, 1201))
STANDS = replace(IDLE, jobs=(0, 1))
_QUEUES = (
    strip(
        "a dead letter",
        (10, WELL),
        (1, Minute(letters=(0, 1))),
        (5, WELL),
        (1, Minute(letters=(1,))),  # 16
        (10, NO_QUEUES),  # SQS stops telling of a queue that nobody touches for six hours
        (2, WELL),  # 27
        rings=also(((10, 11), (16, 27)), "DlqNotEmpty", "DataAtRisk"),
    ),
    strip(
        "an old job, for three minutes",
        (10, WELL),
        (3, Minute(oldest=(10, 320))),  # 10
        (5, WELL),
        (2, Minute(oldest=(320,))),
        (5, WELL),
        (6, Minute(oldest=(300,))),
        (6, Minute(oldest=(200, 200))),
        (5, WELL),
        (3, Minute(oldest=(320,))),  # 42
        (10, NO_QUEUES),
        rings={"OldestJob": ((12, 13), (44, 47))},
    ),
    strip(
        "parked jobs that nobody takes",
        (10, WELL),
        (30, OVERDUE),  # 10
        (20, WELL),
        (35, Minute(parked_age=(1200,))),  # 60
        (10, WELL),
        (21, OVERDUE),  # 105: in six periods of five minutes, but not in each of them
        (15, WELL),
        rings={"ParkedOld": ((35, 44),)},
    ),
    strip(
        "more jobs are parked than come back",
        (10, WELL),
        (30, Minute(parked=20, back=17)),  # 10
        (20, WELL),
        (35, Minute(parked=20, back=18)),  # 60: a tenth, as ever when more come
        (5, WELL),
        (35, Minute(parked=2, back=20)),  # 100
        (5, WELL),
        rings={"ParkedOld": ((35, 44),)},
    ),
    strip(
        "now and then a job is parked, and none comes back",
        (9, WELL),
        *[(1, Minute(parked=1)), (4, WELL)] * 6,  # 9
        (10, WELL),
        rings={"ParkedOld": ((34, 39),)},
    ),
    strip(
        "silence ends what is parked",
        (5, WELL),
        (30, OVERDUE),  # 5
        (12, ASLEEP),
        rings={
            "ParkedOld": ((30, 39),),
            **also(((37, None),), "FleetSilent", "UserImpact"),
        },
    ),
    strip(
        "nothing is finished, for ten of twelve minutes",
        (12, WELL),
        (10, STANDS),  # 12
        (15, WELL),
        (9, STANDS),  # 37
        (12, WELL),
        (13, replace(STANDS, answered=1)),  # 58
        (13, IDLE),  # 71: nothing waits
        (12, WELL),
        *drawn("XXXXX..XXXXX", STANDS),  # 96 to 107
        (5, WELL),
        rings={"Standstill": ((21, 24), (107, 108))},
    ),
    strip("queues that nobody uses tell nothing", (1, WELL), (20, NO_QUEUES)),
    strip(
        "silence ends a standstill",
        (2, WELL),
        (14, STANDS),  # 2
        (8, replace(STANDS, jobs=())),
        rings={"Standstill": ((11, 18),)},
    ),
)


# --- the fleet ----------------------------------------------------------------

_FLEET = (
    strip(
        "no worker tells of itself, for three minutes",
        (10, WELL),
        (3, SILENT),  # 10
        (5, WELL),
        (2, SILENT),
        (5, WELL),
        (6, Minute(beats=1)),
        (3, WELL),
        rings=also(((12, 13),), "FleetSilent", "UserImpact"),
    ),
    strip(
        "no worker is wanted",
        (10, WELL),
        (8, replace(SILENT, wanted=(0,))),
        (5, WELL),
        (3, replace(SILENT, wanted=(2, 0))),  # 23
        (5, WELL),
        rings=also(((25, 26),), "FleetSilent", "UserImpact"),
    ),
    strip(
        "nobody knows how many are wanted",
        (10, WELL),
        (8, Minute(wanted=())),  # 10
        (6, ASLEEP),  # 18
        rings=also(((20, None),), "FleetSilent", "UserImpact"),
    ),
)


# --- what calls somebody --------------------------------------------------------

_CALLS = (
    strip(
        "a long outage, and old jobs",
        (20, WELL),
        (20, Minute(open=(1, 1), oldest=(320,))),  # 20
        (5, WELL),
        rings={
            "CircuitOpen": ((21, 42),),
            "CircuitOpenLong": ((34, 40),),
            "OldestJob": ((22, 40),),
            "UserImpact": ((34, 40),),
        },
    ),
    strip(
        "a long outage, and parked jobs that are old",
        (20, WELL),
        (30, Minute(open=(1, 1), parked_age=(1201,))),  # 20
        (5, WELL),
        rings={
            "CircuitOpen": ((21, 52),),
            "CircuitOpenLong": ((34, 50),),
            "ParkedOld": ((45, 54),),
            "UserImpact": ((45, 50),),
        },
    ),
    strip(
        "a standstill, and old jobs",
        (12, WELL),
        (15, replace(STANDS, oldest=(320,))),  # 12
        (5, WELL),
        rings={
            "Standstill": ((21, 29),),
            "OldestJob": ((14, 27),),
            "UserImpact": ((21, 27),),
        },
    ),
    strip(
        "a standstill, and parked jobs that are old",
        (12, WELL),
        (30, replace(STANDS, parked_age=(1201,))),  # 12
        (5, WELL),
        rings={
            "Standstill": ((21, 44),),
            "ParkedOld": ((37, 46),),
            "UserImpact": ((37, 44),),
        },
    ),
    strip(
        "old jobs here and there",
        (10, WELL),
        (30, Minute(oldest=(320,), parked_age=(1201,))),  # 10
        (8, WELL),
        rings={
            "OldestJob": ((12, 40),),
            "ParkedOld": ((35, 44),),
            "DataAtRisk": ((35, 40),),
        },
    ),
)

STRIPS = (*_QUEUES, *_FLEET, *_CALLS)
