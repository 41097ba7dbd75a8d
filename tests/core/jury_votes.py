"""What voters may see, as strategies; the stage that they name is added later.

Chance alone seldom comes near what decides, so each kind of evidence is also drawn by
itself.
"""

from dataclasses import replace

from hypothesis import strategies as st

from worker.core.jury import Vote

COUNT = st.integers(0, 12)
BAD_SHARES = st.sampled_from([0.2, 0.3, 0.35, 0.5, 0.8, 0.9, 1.0])
SHARES = st.sampled_from([0.0, 0.2, 0.3, 0.35, 0.5, 0.8, 0.9, 1.0])


def _ballot(calls: int, share: float) -> Vote:
    return Vote(stage=0, calls=calls, failures=round(calls * share))


def _anything(numbers: list[int], shares: list[float], sick: bool, stage: int) -> Vote:  # noqa: FBT001
    calls, recent, ripe, well = numbers
    return Vote(
        stage=stage,
        calls=calls,
        failures=int(calls * shares[0]),
        recent_calls=recent,
        recent_failures=int(recent * shares[1]),
        successes=well,
        slow=int(calls * shares[2]),
        sick=sick,
        ripe_calls=ripe,
        ripe_stuck=int(ripe * shares[3]),
    )


ANYTHING = st.builds(
    _anything,
    st.lists(COUNT, min_size=4, max_size=4),
    st.lists(SHARES, min_size=4, max_size=4),
    st.sampled_from([False, False, False, True]),
    st.sampled_from([0, 0, 0, -1, 1]),
)
ONE_CALL_EACH = st.builds(_ballot, st.just(1), st.sampled_from([0.0, 1.0, 1.0, 1.0]))
UNEVEN = st.builds(_ballot, st.sampled_from([1, 2, 4, 40]), BAD_SHARES)
HANGING = st.builds(
    lambda calls, stuck: Vote(stage=0, ripe_calls=calls, ripe_stuck=round(calls * stuck)),
    st.integers(4, 9),
    st.sampled_from([0.0, 1.0, 1.0]),
)
CLIMBING = st.builds(
    lambda calls, share, well: replace(_ballot(calls, share), successes=well),
    st.integers(5, 30),
    SHARES,
    st.integers(2, 6),
)
JURIES = st.one_of(
    st.lists(ANYTHING, max_size=9),
    st.lists(ONE_CALL_EACH, min_size=2, max_size=16),
    st.lists(UNEVEN, min_size=4, max_size=10),
    st.lists(HANGING, min_size=1, max_size=5),
    st.lists(CLIMBING, min_size=1, max_size=3),
)
WELL = Vote(stage=0, calls=9, recent_calls=5, successes=6)
ILL = Vote(stage=0, calls=9, failures=9, recent_calls=5, recent_failures=5)
