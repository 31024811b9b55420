"""Commands that a sentence names."""

from __future__ import annotations

from labkit.lab_hints import USUAL, with_name

WORDS = "`labkit up` starts it, `labkit logs --follow` tells more; `labkit work` works, `labkit down --name b` ends b."


def test_each_command_about_the_lab_says_which_one():
    assert with_name(WORDS, "a") == (
        "`labkit up --name a` starts it, `labkit logs --name a --follow` tells more; `labkit work` works, "
        "`labkit down --name b` ends b."
    )


def test_of_the_usual_lab_nothing_has_to_be_said():
    assert with_name(WORDS, USUAL) == WORDS
