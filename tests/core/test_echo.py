"""What a service's message has from the request is not told on."""

import pytest

from worker.core.echo import COMPARED_MAX, FOLD_MAX, WORDS_MAX, without_echo

CANARY = "CANARY-zebra-7391"
REQUEST = (
    [{"role": "user", "content": [{"text": f"My name is {CANARY}. Please be kind to me."}]}],
    {"temperature": 0.5, "tools": ({f"{CANARY}-name": None},)},
)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (f"Unexpected: {CANARY}", "Unexpected: <>"),
        (f"Unexpected ({CANARY.upper()}), sorry", "Unexpected <> sorry"),
        ("Rejected because please be\n kind to", "Rejected because <>"),
        ("Rejected because please be kind", "Rejected because please be kind"),
        ("Temperature must be from 0 to 1.", "Temperature must be from 0 to 1."),
        (f"a {CANARY} {CANARY} b", "a <> b"),
        (f"{CANARY}-name is no tool", "<> is no tool"),
        ("- - - -", "- - - -"),
        (f"--{CANARY}--{CANARY}--", f"--{CANARY}--{CANARY}--"),
        (f"be kind to user {CANARY[:10]}", f"be kind to user {CANARY[:10]}"),
        ("", ""),
    ],
)
def test_what_the_request_says_is_left_out(message: str, told: str) -> None:
    assert without_echo(message, REQUEST) == told


def test_in_a_very_long_request_an_echo_is_what_stands_there_to_the_letter() -> None:
    request = ["word " * FOLD_MAX, f"{CANARY} was here, and so was I."]

    assert without_echo(f"Unexpected: {CANARY}!", request) == "Unexpected: <>"
    assert without_echo("Unexpected: and so was I.", request) == "Unexpected: <>"
    assert without_echo("Unexpected: AND SO WAS I.", request) == "Unexpected: AND SO WAS I."


def test_a_request_that_is_too_long_to_be_searched_takes_the_whole_message_with_it() -> None:
    assert without_echo("Input is too long.", ["x" * COMPARED_MAX]) == "Input is too long."
    assert without_echo("Input is too long.", ["x" * COMPARED_MAX, "y"]) == "<>"


def test_what_comes_behind_many_words_is_looked_at_by_nobody_and_dropped() -> None:
    long = f"{CANARY} " + "word " * WORDS_MAX + CANARY

    assert CANARY not in without_echo(long, REQUEST)
    assert without_echo("no echo at all", REQUEST) == "no echo at all"


def test_words_that_stand_in_two_strings_are_no_run() -> None:
    message = "Rejected because one two three four"

    assert without_echo(message, ["one two", "three four"]) == message
    assert without_echo(message, ["one two three four"]) == "Rejected because <>"


def test_a_word_of_punctuation_holds_nobody_up() -> None:
    """Were it looked at again from each of its characters, this would take minutes."""
    dashes = "-" * 200_000

    assert without_echo(f"Unexpected {dashes}x{CANARY}{dashes}x", ["x"]).startswith("Unexpected -")
    assert without_echo(f"Unexpected {dashes}{CANARY}{dashes}", REQUEST) == "Unexpected <>"
