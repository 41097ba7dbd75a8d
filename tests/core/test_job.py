import pytest

from worker.core.job import Job, Request, instant_of

REQUEST = Request(messages=({"role": "user", "content": [{"text": "hello"}]},))


@pytest.mark.parametrize(
    ("deadline_s", "deadline_at", "ends_at"),
    [
        (None, None, None),
        (60.0, None, 1060.0),
        (None, 1030.0, 1030.0),
        (60.0, 1030.0, 1030.0),
        (20.0, 1030.0, 1020.0),
        (None, 0.0, 0.0),
    ],
)
def test_the_earlier_of_two_deadlines_holds(
    deadline_s: float | None, deadline_at: float | None, ends_at: float | None
) -> None:
    job = Job(request=REQUEST, deadline_s=deadline_s, deadline_at=deadline_at)

    end = job.deadline(sent_at=1000.0)

    assert end == ends_at


@pytest.mark.parametrize("text", ["", "-1", "1.5", "9" * 15, "9" * 5000, "\u0661\u0662", "now"])
def test_an_attribute_that_is_no_time_is_no_time(text: str) -> None:
    assert instant_of(text) is None


def test_an_attribute_in_milliseconds_is_an_instant() -> None:
    assert instant_of("1795431702500") == 1795431702.5
