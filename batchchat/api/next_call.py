"""Which call goes on with a run that stopped, in the words of Python."""

from __future__ import annotations

from batchchat.core.next_step import NextStep

__all__ = ["next_call"]


def next_call(step: NextStep) -> str:
    """The sentence that says how a run goes on after `step`: at a cap, say, the same call would stop at once again."""
    changes = []
    for option, value in zip(step.options[::2], step.options[1::2], strict=True):
        if option == "--set":
            key, _, text = value.partition("=")
            changes.append(f"**{{{key!r}: {None if text == 'null' else text}}}")
        else:
            changes.append(f"{option.removeprefix('--').replace('-', '_')}={value}")
    if step.retry_failed:
        changes.append("resend='failed'")
    which = f" with {', '.join(changes)}" if changes else ""
    return f"The same call{which} picks up where it stopped."
