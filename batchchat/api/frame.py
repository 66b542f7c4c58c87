"""`chat_frame`: the rows of a DataFrame as a job, and its answers as columns of the frame."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from batchchat.api.cache import cached_output, input_file
from batchchat.api.frame_file import column_use, free_name, write_frame
from batchchat.api.frame_kinds import FrameLike, frame_like
from batchchat.api.frame_results import ResultColumns, join_results, positions_of_all
from batchchat.api.job import Job
from batchchat.api.run import RunCall
from batchchat.api.run_options import Resending, RunCallOptions
from batchchat.core.output_columns import FRAME_ROW
from batchchat.errors import BatchchatError, OutputError, UsageError
from batchchat.job.expect import ExpectSpec
from batchchat.text import numbers
from batchchat.text.display import write_line
from batchchat.text.numbers import shown_path

if TYPE_CHECKING:
    from batchchat.api.result import Result

__all__ = ["chat_frame"]

F = TypeVar("F")
_PLACEHOLDER = "frame.parquet"
_ELSEWHERE = "Pass output='FILE.parquet' to keep this run in another place than the cache."
_OF_FRAME = {"path", "format", "column", "id", "columns"}
"""Keys of `input` that the frame and the arguments say."""


def chat_frame(
    frame: F,
    /,
    *,
    model: str,
    template: str | Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
    prompt: Hashable | None = None,
    messages: Hashable | None = None,
    system: str | None = None,
    expect: Mapping[str, Any] | type | None = None,
    id: Hashable | None = None,  # noqa: A002 (the job's key)
    output: str | os.PathLike[str] | None = None,
    prefix: str = "",
    limit: int | None = None,
    resend: Resending = (),
    keep_changed: bool = False,
    fresh: bool = False,
    strict: bool = False,
    yes: bool = False,
    progress: str = "auto",
    **keys: Any,
) -> F:
    """Ask `model` about each row of `frame`, and return the frame with the answers as further columns.

        labelled = chat_frame(frame, model="m", prompt="question")
        labelled = chat_frame(frame, model="m", template="Is this spam? {{ text }}", expect=Verdict, max_cost=5)

    `frame` is a pandas or a Polars DataFrame; it is not changed. One of three says what a row asks: `template`, a
    Jinja2 text over the row's columns (or a list of messages, or `{"path": FILE}`), `prompt`, the column of the user's
    message, or `messages`, the column of conversations (lists of `{"role", "content"}`, or JSON text). `system` is put
    first where a conversation has no system message. `expect` is what replies have to be: a JSON schema, a Pydantic
    model, or the mapping of the job's key. `keys` are those of `Job`: `params`, `endpoint`, `concurrency`, `max_cost`
    (USD), `samples`, and so on. The options from `limit` to `progress` are those of `run`.

    The result has the frame's rows, index and columns, and after them: `response` (text), `status` (answered, failed,
    invalid; null where a row was not sent), `error_kind`, `error`, `finish_reason`, `prompt_tokens`,
    `completion_tokens`, `cost_usd` (USD; null where unknown), and of an `expect` with a JSON schema each property as a
    column of its type; `reasoning`, `tool_calls`, `refusal` and `logprobs` where any row has one. `prefix` is put
    before these names. Text, whole numbers and booleans have pandas' types with a null. With `samples` or `matrix` a
    row of the frame becomes several, with the columns `variant` and `sample`.

    With `output`, a path, the run is kept there; else in a folder of the cache (`$XDG_CACHE_HOME/batchchat`, or
    `~/.cache/batchchat`), one for each question: model, endpoint, template, system message, `params`, `expect`. It is
    written on stderr, and is in `result.attrs["batchchat"]` (pandas). The same call again pays nothing: rows are known
    by what they ask, or by the column `id` of unique ids, so that new rows are paid for, and moved ones are not. A row
    of an `id` that asks something else than before is sent again, unless `keep_changed`.

    Rows that failed or are invalid raise nothing: their columns say why. `BudgetError`, `EndpointError` and
    `MachineError` are raised where the run stopped early, `KeyboardInterrupt` where it was interrupted; what is
    finished is kept, and the same call goes on. `UsageError` (`JobError`, `InputError`, `OutputError`) is raised for
    what is refused before anything is sent, also a column with an added one's name; `TypeError` for what is no frame.
    """
    rows = frame_like(frame)
    options = RunCallOptions(limit, resend, keep_changed, fresh, strict, yes, progress)
    conversation = _conversation(rows, template, prompt, messages)
    question = {"model": model, "system": system, "expect": _expect(expect), **conversation}
    id_name = None if id is None else rows.name_of(id)
    call = _FrameCall(rows, _job_keys(question, id_name, keys), output, prefix, options)
    result: F = call.result()
    return result


class _FrameCall:
    """One call: the job of a frame, its run, and the frame with the run's columns."""

    def __init__(
        self,
        frame: FrameLike,
        keys: Mapping[str, Any],
        output: str | os.PathLike[str] | None,
        prefix: str,
        options: RunCallOptions,
    ) -> None:
        options.words()
        placeholder = _with_input(keys, {"path": _PLACEHOLDER})
        spec = Job(placeholder, output=_PLACEHOLDER if output is None else output).spec(reads_key=False)
        self._frame = frame
        self._keys = keys
        self._options = options
        self._prefix = prefix
        self._columns = ResultColumns(spec, prefix)
        self._columns.check(frame)
        self._use = column_use(spec)
        self._use.among(frame.names)
        self._position = free_name(FRAME_ROW, [*frame.names, *self._columns.names])
        source = spec.input
        may_lack = (options.limit, source.where, source.first, source.random) != (None, None, None, None)
        # The output has the input's order. Only one that may lack rows needs their numbers, which are written anew for
        # each row that moves.
        self._passthrough = [self._position] if may_lack else []
        self._is_cached = output is None
        self._path = cached_output(spec) if output is None and frame.rows else spec.output.path
        self._output = self._path if output is None else output

    def result(self) -> Any:
        """The frame with the columns of the run."""
        frame, columns = self._frame, self._columns
        if not frame.rows:
            return frame.joined(columns.empty(), None)
        if self._is_cached:
            self._note(f"chat_frame: the run is kept in {shown_path(self._path.parent)}")
        result = self._run()
        table = result.to_arrow([*columns.names, *self._passthrough])
        positions = table.column(self._position) if self._passthrough else positions_of_all(table.num_rows, frame.rows)
        joined = join_results(columns.of(table), positions, frame.rows)
        self._note_failures(result)
        return frame.joined(joined.results, joined.positions, {"output": str(result.path)})

    def _run(self) -> Result:
        with input_file(self._path) as path:
            write_frame(self._frame, self._use, self._position, path)
            keys = _with_input(self._keys, {"path": path, "columns": self._passthrough})
            call = RunCall(Job(keys, output=self._output), self._options, owns_output=self._is_cached)
            try:
                result = call.wait()
            except OutputError as error:
                if not self._is_cached:
                    raise
                raise OutputError(f"{error}\n{_ELSEWHERE}") from None
        try:
            return result.check()
        except BatchchatError as error:
            raise type(error)(f"{error}\nThe finished rows are kept in {shown_path(result.path)}.") from None

    def _note_failures(self, result: Result) -> None:
        counts = result.summary["rows"] or {}
        parts = [f"{numbers.count(counts[name])} {name}" for name in ("failed", "invalid") if counts.get(name)]
        if parts:
            self._note(
                f"chat_frame: rows without an answer: {', '.join(parts)}. The column `{self._prefix}error` says why."
            )

    def _note(self, line: str) -> None:
        if self._options.progress != "none":
            write_line(sys.stderr, line)


def _conversation(
    frame: FrameLike, template: Any, prompt: Hashable | None, messages: Hashable | None
) -> dict[str, Any]:
    """The job's keys for the one of three that makes the conversations."""
    forms = {"template": template, "prompt": prompt, "messages": messages}
    names = [name for name, value in forms.items() if value is not None]
    if len(names) != 1:
        which = " and ".join(names) or "none of them"
        raise UsageError(f"chat_frame takes one of template, prompt and messages, not {which}.")
    if template is not None:
        return {"template": template}
    name = names[0]
    return {"input": {"format": name, "column": frame.name_of(forms[name])}}


def _expect(expect: Mapping[str, Any] | type | None) -> Any:
    """`expect` as the job's key: a schema gets its properties as columns."""
    if expect is None:
        return None
    keys = {field.name for field in fields(ExpectSpec)}
    if isinstance(expect, Mapping) and not expect.keys() - keys:
        whole: dict[str, Any] = dict(expect)
    else:
        whole = {"json_schema": expect}
    return {"columns": True, **whole} if whole.get("json_schema") is not None else whole


def _job_keys(question: Mapping[str, Any], id_name: str | None, keys: Mapping[str, Any]) -> dict[str, Any]:
    """All keys of the job but the paths. Raises `UsageError` for one that an argument has."""
    whole = {name: value for name, value in question.items() if value is not None}
    section = keys.get("input", {})
    if not isinstance(section, Mapping):
        raise UsageError("input: the frame is the input. Further keys of `input` go in a mapping.")
    dotted = {name.removeprefix("input."): value for name, value in keys.items() if name.startswith("input.")}
    own = {**section, **dotted}
    if taken := sorted(_OF_FRAME & own.keys()):
        raise UsageError(f"input.{taken[0]}: the frame and the arguments prompt, messages and id say that.")
    merged = {"resume": {"changed": "resend"}, "name": "frame", **keys, **whole}
    merged = {name: value for name, value in merged.items() if not name.startswith("input.")}
    merged["input"] = {**own, **whole.get("input", {}), "id": id_name}
    return merged


def _with_input(keys: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return {**keys, "input": {**keys["input"], **more}}
