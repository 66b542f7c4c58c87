"""The key `template`: a text, a file, or a list of messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchchat.errors import JobError
from batchchat.job import load_job
from batchchat.job.template import TemplateSpec
from tests.job.given import MOCK, faults, load


def test_forms() -> None:
    """What the job has is kept as it stands."""
    assert load(f'{MOCK}template: "Label {{{{ text }}}}"\n').template == TemplateSpec("Label {{ text }}")
    job = load(f'{MOCK}template: [{{role: user, content: "{{{{ a }}}}", name: x}}]\n')
    assert job.template == TemplateSpec(({"role": "user", "content": "{{ a }}", "name": "x"},))
    assert load(MOCK, "template={{ text }}").template == TemplateSpec("{{ text }}")


def test_a_file_is_read(tmp_path: Path) -> None:
    """Its path is relative to the job file, and messages call it by that."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/label.j2").write_text("\ufeffLabel {{ text }}\n")
    (tmp_path / "job.yaml").write_text(f"{MOCK}template: {{path: prompts/label.j2}}\n")
    job = load_job(tmp_path / "job.yaml", environ={})
    assert job.template == TemplateSpec("Label {{ text }}\n", "prompts/label.j2")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no such file"),
        (b"a\n\xff", "line 2 is not UTF-8"),
        (b" \n", "it is empty"),
        (b"x" * (1 << 20) + b"x", "it is over 1 MiB, which is no template"),
    ],
)
def test_files_that_are_no_template(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The job is refused with the name of the file."""
    if content is not None:
        (tmp_path / "x.j2").write_bytes(content)
    (tmp_path / "job.yaml").write_text(f"{MOCK}template: {{path: x.j2}}\n")
    with pytest.raises(JobError) as caught:
        load_job(tmp_path / "job.yaml", environ={})
    assert caught.value.faults == [f"{tmp_path}/job.yaml:5: `template` names x.j2: {reason}."]


TAKES = "It takes the text of the user message, {path: FILE}, or a list of messages."


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("7", f"`template` is 7, a whole number. {TAKES}"),
        ('" "', "`template` is  . It takes text that is not blank."),
        ("[]", f"`template` is an empty list. {TAKES}"),
        ("{file: x.j2}", f"`template` is a mapping with file. {TAKES}"),
        ("{path: x.j2, mode: r}", f"`template` is a mapping with path, mode. {TAKES}"),
        ("[a]", '`template[0]` is "a", text. It takes a message, such as {role: user, content: ...}.'),
        ("[{role: user}]", "`template[0].content` is missing. A message takes {role, content}."),
        (
            "[{role: usr, content: a}]",
            "`template[0].role` is usr. It takes system, developer, user, assistant or tool.",
        ),
        ("[{role: user, content: 7}]", "`template[0].content` is 7, a whole number. It takes text or a list of parts."),
        ("[{role: user, content: [a]}]", "`template[0].content` takes text or a list of parts, each part an object."),
    ],
)
def test_values_that_are_no_template(value: str, sentence: str) -> None:
    """Each is told with its line, its value and what it takes."""
    assert faults(f"{MOCK}template: {value}\n") == [f"job.yaml:5: {sentence}"]


def test_a_template_makes_the_conversation() -> None:
    """A format and a column say where there is one already."""
    sentences = faults(f"{MOCK}template: a\n", "input.format=prompt", "input.column=q")
    assert sentences == [
        "--set input.format=prompt: `input.format` is prompt, and `template` makes the conversation of a row."
        " Leave one out.",
        "--set input.column=q: `input.column` names a conversation, and `template` makes one of a row. Leave one out.",
    ]
