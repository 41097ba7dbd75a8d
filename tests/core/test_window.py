from worker.core.window import Outcome, Window


def test_the_recent_calls_are_read_off_after_any_pause() -> None:
    window = Window(window_s=30.0, now=0.0)
    early, late = window.admit(0.0), window.admit(9.5)
    window.settle(early, Outcome.FAILURE)
    window.settle(late, Outcome.FAILURE)

    assert window.recent(11.0, 4.0, 15.0) == (1, 1)
    assert window.recent(60.0, 4.0, 15.0) == (0, 0)


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
