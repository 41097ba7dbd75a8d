from worker.core.window import Outcome, Window


def test_the_recent_calls_are_read_off_after_any_pause() -> None:
    window = Window(window_s=30.0, now=0.0)
    early, late = window.admit(0.0), window.admit(9.5)
    window.settle(early, Outcome.FAILURE)
    window.settle(late, Outcome.FAILURE)

    assert window.recent(11.0, 4.0) == (1, 1)
    assert window.recent(60.0, 4.0) == (0, 0)


def test_a_service_that_begins_to_hang_shows_in_the_first_calls_past_the_limit() -> None:
    window = Window(window_s=30.0, now=0.0)
    for second in range(20):
        permit = window.admit(second + 0.5)
        if second < 3:
            window.settle(permit, Outcome.SUCCESS)

    assert window.ripe(15.9, 15.0) == (0, 0)
    assert window.ripe(16.0, 15.0) == (1, 0), "the newest of those that should have ended"
    assert window.ripe(19.5, 15.0) == (1, 1), "those before it ended, and are not counted"
    assert window.ripe(21.0, 15.0) == (3, 3)
    assert window.ripe(100.0, 15.0) == (17, 17), "also those that the window has left behind"


def test_calls_that_ended_and_hang_side_by_side_are_weighed_against_each_other() -> None:
    window = Window(window_s=30.0, now=0.0)
    for second in (0.1, 0.2, 1.1, 1.2, 1.3):
        permit = window.admit(second)
        if second in (0.1, 1.1):
            window.settle(permit, Outcome.FAILURE)

    assert window.ripe(17.0, 15.0) == (3, 2), "a failed call ended: it hangs no more"


def test_a_call_that_hangs_counts_as_failed_until_it_ends() -> None:
    window = Window(window_s=30.0, now=0.0)
    permit = window.admit(0.0)

    young, stuck, old = (window.tally(now, 15.0) for now in (15.0, 16.0, 300.0))
    window.settle(permit, Outcome.SUCCESS)

    assert (young.calls, young.failures) == (1, 0)
    assert (stuck.calls, stuck.failures, stuck.slow, stuck.stuck) == (1, 1, 1, 1)
    assert (old.calls, old.failures) == (1, 1), "the window has left it behind, and knows it still"
    assert window.tally(300.0, 15.0).calls == 0


def test_what_told_nothing_was_never_there() -> None:
    window = Window(window_s=30.0, now=0.0)
    for outcome in (Outcome.IGNORED, Outcome.THROTTLED, Outcome.DENIED):
        window.settle(window.admit(1.0), outcome)

    assert window.tally(1.0, 15.0).calls == window.in_flight == 0
