"""The name that was probably meant."""

from __future__ import annotations

from batchchat.text.nearest import did_you_mean, nearest_names


def test_the_nearest_name_is_suggested() -> None:
    """Only a name that is near is suggested, and it can be written as UTF-8."""
    assert did_you_mean("mesages", ["id", "messages"]) == " Did you mean `messages`?"
    assert did_you_mean("mesages", ["id"]) == ""
    assert did_you_mean("mesages", []) == ""
    assert did_you_mean("message", ["messages\ud800"]) == " Did you mean `messages\ufffd`?"


def test_near_names_come_nearest_first() -> None:
    """As many as are wanted, and none below the cutoff."""
    names = ["prompt", "prompts", "promptly", "id"]
    assert nearest_names("promptz", names, max_count=3) == ["prompt", "prompts", "promptly"]
    assert nearest_names("promptz", names) == ["prompt"]
    assert nearest_names("promptz", names, max_count=3, cutoff=0.99) == []
