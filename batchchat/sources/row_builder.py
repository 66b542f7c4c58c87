"""Builds rows from records: the request, the id, and the columns that pass through to the output.

One `RowBuilder` serves one pass over the input. Each record becomes exactly one row, good or bad, in order.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from batchchat.core.bad import Bad, BadReason
from batchchat.core.conversation import BadRow, Key, Row
from batchchat.core.key_shard import KeyShard
from batchchat.core.key_spelling import spelled_key
from batchchat.core.output_columns import FRAME_ROW, KEY_COLUMNS
from batchchat.job.spec import AUTO, InputSpec
from batchchat.sources.conversations import cut_answers, drop_null_keys, reference_text
from batchchat.sources.formats import Format, RowRequest, with_system
from batchchat.sources.json_value import list_columns
from batchchat.sources.local_files import LocalFiles
from batchchat.sources.rendering import TEMPLATE, Rendering
from batchchat.sources.row_ids import ColumnIds, ContentIds, columns_digest, parse_id, request_digest
from batchchat.sources.row_params import (
    non_finite_in,
    params_of_columns,
    parse_params_column,
    with_whole_numbers,
)
from batchchat.sources.unsent_fields import UnsentFields
from batchchat.sources.user_turns import answers_text, split_turns
from batchchat.text.nearest import did_you_mean

__all__ = ["REFERENCE", "Columns", "RowBuilder"]


REFERENCE = "reference"
"""The column of answers that were cut off, where the job has them cut off."""
_TEXT_OR_NULL = (str, type(None))
"""Values of the id column that the output's column `id` holds as they are; another is carried, for joins."""
_COLLIDES = re.compile(f"(input_)*{REFERENCE}")
_TRAILING = (
    "ends with an assistant message: nothing to answer. `input.trailing_assistant: drop` cuts it off and keeps it in"
    " the column `reference`; `prefill` sends it as it stands."
)


class Columns:
    """The roles of a record's columns. `wanted` are the columns to read, None for all.

    `spec` is the job's `input`, `form` the format of its rows and `id` the column of their ids. `technical` are
    the columns that stay behind of an output of ours, whose ids repeat over variants and samples, None of other files.
    `rendering` knows the columns that the job's templates read.
    """

    def __init__(
        self,
        form: Format,
        id_column: str | None,
        spec: InputSpec,
        *,
        technical: frozenset[str] | None = None,
        rendering: Rendering | None = None,
    ) -> None:
        self.form = form
        self.id = id_column
        self.spec = spec
        self.rendering = Rendering() if rendering is None else rendering
        self.files = LocalFiles(spec.folder or Path(), outside=spec.allow_outside_files)
        self.has_reference = spec.replay or spec.trailing_assistant == "drop"
        self.auto_id = spec.id == AUTO and form.id_column is None
        rendered, params, passthrough = self.rendering.names, spec.params, spec.columns
        self.passthrough = passthrough
        of_params = () if params is None else (params,) if isinstance(params, str) else params
        self.own_params = (*form.optional, *of_params)
        self.structs = (*form.columns, *self.own_params)
        self.texts = {str(name) for name in (*self.structs, *rendered.read, id_column) if name is not None}
        """The columns that are read as text where they are binary."""
        self.is_key = technical is not None and id_column == KEY_COLUMNS[0]
        """Whether a row's id is made of all columns of its key."""
        own = {None if self.is_key else id_column, params if isinstance(params, str) else None} - {None}
        self.excluded = frozenset({*(str(name) for name in own), *form.excluded, *(technical or ())})
        self._typed_id = id_column if passthrough is None and id_column in own - {*self.structs} else None
        used = {*own, *form.excluded, *self.structs, *(KEY_COLUMNS if self.is_key else ())}
        self.wanted = None if passthrough is None else {*(str(name) for name in used), *rendered.read, *passthrough}
        if rendered.reads_row or (form.name == TEMPLATE and id_column is None):
            self.wanted = None  # the id is a hash of all of them

    def passes_through(self, name: str, kind: Any) -> bool:
        """True if the column `name`, of the Arrow type `kind`, goes to the output: one of ids if it is not text."""
        if name == self._typed_id:
            from batchchat.sources.unify import is_whole

            return is_whole(kind)
        return name not in self.excluded if self.passthrough is None else name in self.passthrough

    def passthrough_of(self, record: dict[str, Any], reference: str | None) -> dict[str, Any]:
        """The columns of `record` that go to the output; `reference` is the answer that was cut off, if any.

        Without `input.columns` the others are removed from `record` itself: a copy would take as long as parsing it.
        """
        if self.passthrough is not None:
            passthrough = {name: record.get(name) for name in self.passthrough}
        else:
            for name in record.keys() & self.excluded:
                if name != self._typed_id or type(record[name]) in _TEXT_OR_NULL:
                    del record[name]
            passthrough = record
        if not self.has_reference:
            return passthrough
        return {REFERENCE: reference, **{self.output_name(name): value for name, value in passthrough.items()}}

    def output_name(self, name: str) -> str:
        """The name under which the input column `name` passes through: another one where it is that of our own."""
        return f"input_{name}" if self.has_reference and _COLLIDES.fullmatch(name) else name


class RowBuilder:
    """Builds the rows of one pass, in reading order; `rows` counts them, those of other shards than `shard` too.

    Of those no more is read than their key needs, and no id is kept: rows with the same id are in the same shard.
    """

    def __init__(self, columns: Columns, unsent: UnsentFields, shard: KeyShard | None = None) -> None:
        self.rows = 0
        self._shard = shard
        self._unsent = unsent
        self._columns = columns
        self._column_ids = None if columns.id is None else ColumnIds()
        self._content_ids = ContentIds()

    def build(
        self, label: str, line: int, record: dict[str, Any] | Bad, *, sparse: bool, problem: Bad | None = None
    ) -> Row | BadRow | None:
        """The row for the record on `line` of the file `label`; a bad one where there is a `problem` with it.

        None where it is of another shard. `sparse`: null keys of structs are absent keys, as in Parquet.
        """
        ordinal, location = self.rows, f"{label}:{line}"
        self.rows += 1
        if isinstance(record, Bad):
            return self._unreadable(record, label, line, ordinal) if self._has(None, location) else None
        wanted = None if self._column_ids is None else self._wanted_id(record)
        if wanted is not None and not self._has(wanted, location):
            return None
        self._unsent.note(record)
        request, reference = (problem, None) if problem is not None else self._request(record, sparse=sparse)
        digest = None if wanted is not None or isinstance(request, Bad) else self._digest(record, request)
        if wanted is None and not self._has(digest, location):
            return None
        systems = None if isinstance(request, Bad) else self._columns.rendering.systems(record)
        if isinstance(systems, Bad):
            request, systems = systems, None
        if wanted is not None:
            name, problem = self._column_id(wanted, label, line)
        else:
            name, problem = location if digest is None else self._content_ids.claim(digest), None
        passthrough = self._columns.passthrough_of(record, reference)
        if problem is not None:
            return _bad_row(name, ordinal, location, problem, passthrough)
        if isinstance(request, Bad):
            return _bad_row(name, ordinal, location, request, passthrough)
        messages, params, model, turns, plain = request
        if params:
            self._unsent.note_params(params)
        return Row(Key(name), ordinal, location, messages, params, model, passthrough, turns, systems, plain)

    def skip(
        self, label: str, line: int, record: dict[str, Any] | Bad, *, sparse: bool, problem: Bad | None = None
    ) -> None:
        """Read no more of a record than others need: its id, which theirs must differ from."""
        if self._column_ids is None or isinstance(record, Bad):
            self.build(label, line, record, sparse=sparse, problem=problem)
            return
        self.rows += 1
        self._unsent.note(record)
        wanted = self._wanted_id(record)
        if self._has(wanted, f"{label}:{line}"):
            self._column_id(wanted, label, line)

    def _has(self, wanted: str | int | Bad | None, location: str) -> bool:
        """Whether the row with the id `wanted`, or that hash, is of the shard; one without either by its location."""
        if self._shard is None:
            return True
        key = f"{wanted:016x}" if isinstance(wanted, int) else wanted
        return self._shard.has(key if isinstance(key, str) else location)

    def _unreadable(self, record: Bad, label: str, line: int, ordinal: int) -> BadRow:
        reason = BadReason.UNREADABLE if record.reason is BadReason.OTHER else record.reason
        key = Key(self._location_id(label, line))
        return BadRow(key, ordinal, f"{label}:{line}", record.sentence, reason=reason)

    def _request(self, record: dict[str, Any], *, sparse: bool) -> tuple[RowRequest | Bad, str | None]:
        """What the row of `record` sends, and the answers that are left out of it as its reference."""
        request = self._parse(record, sparse=sparse)
        if isinstance(request, Bad):
            return request, None
        if not request.plain:
            problem = non_finite_in(request.messages) or self._columns.files.problem_in(request.messages)
            if problem is not None:
                return problem, None
        if self._columns.spec.replay:
            return self._replayed(request)
        return self._ending(request) if request.messages[-1]["role"] == "assistant" else (request, None)

    def _digest(self, record: dict[str, Any], request: RowRequest) -> int:
        if self._columns.form.name == TEMPLATE:
            if FRAME_ROW in record:  # a row that moves in its frame is the same row
                record = {name: value for name, value in record.items() if name != FRAME_ROW}
            return columns_digest(record)
        conversation = [*request.messages, *request.turns] if request.turns else request.messages
        return request_digest(conversation, request.params, request.model)

    def _ending(self, request: RowRequest) -> tuple[RowRequest | Bad, str | None]:
        """What is sent of a conversation that ends with the assistant's turn, and the answer that was cut off it."""
        trailing, where = self._columns.spec.trailing_assistant, self._columns.form.where
        if trailing == "prefill":
            return request, None
        if trailing == "refuse":
            return Bad(f"`{where}` {_TRAILING}", BadReason.ENDS_WITH_ANSWER), None
        messages, answers = cut_answers(request.messages)
        if not messages:
            sentence = f"`{where}` has only assistant messages: nothing to answer."
            return Bad(sentence, BadReason.ENDS_WITH_ANSWER), None
        return request._replace(messages=messages), reference_text(answers)

    def _replayed(self, request: RowRequest) -> tuple[RowRequest | Bad, str | None]:
        """The conversation of `request` with its user's turns to be played one by one, and the answers it had."""
        played = split_turns(request.messages, self._columns.form.where)
        if isinstance(played, Bad):
            return played, None
        return request._replace(messages=played.messages, turns=played.turns), answers_text(played.answers)

    def _location_id(self, label: str, line: int) -> str:
        location = f"{label}:{line}"
        # A hash of a conversation contains no colon, but an id from a column may look like a location.
        return location if self._column_ids is None else self._column_ids.claim(location, label, line)[0]

    def _wanted_id(self, record: dict[str, Any]) -> str | Bad:
        """The id that the column of ids has for `record`, whether an earlier row has it or not."""
        column = self._columns.id
        assert column is not None
        if column not in record:
            sentence = f"`{column}` is missing. There is {list_columns(record)}.{did_you_mean(column, record)}"
            return self._bad_id(sentence, BadReason.NO_ID)
        id_ = parse_id(record[column], column)
        if isinstance(id_, Bad):
            return self._bad_id(id_.sentence, BadReason.NO_ID)
        if self._columns.is_key:
            id_ = spelled_key(Key(id_, record.get("variant") or "", record.get("sample") or 0))
        return id_

    def _column_id(self, wanted: str | Bad, label: str, line: int) -> tuple[str, Bad | None]:
        if isinstance(wanted, Bad):
            return self._location_id(label, line), wanted
        assert self._column_ids is not None
        name, problem = self._column_ids.claim(wanted, label, line)
        return name, None if problem is None else self._bad_id(problem.sentence, BadReason.DUPLICATE_ID)

    def _bad_id(self, sentence: str, reason: BadReason) -> Bad:
        """With the way out, where it is not the job that names the column."""
        if self._columns.auto_id:
            sentence = f"{sentence.removesuffix('.')}. `input.id: null` makes an id of each request instead."
        return Bad(sentence, reason)

    def _parse(self, record: dict[str, Any], *, sparse: bool) -> RowRequest | Bad:
        columns = self._columns
        if sparse:
            # Columns that pass through keep their nulls, so that their Arrow type can be restored.
            read = {name: drop_null_keys(record[name]) for name in columns.structs if name in record}
            # A column has one type: beside 0.5 in another row, 1 is 1.0 there, and would be another request.
            whole = {name: with_whole_numbers(read[name]) for name in columns.own_params if name in read}
            record = {**record, **read, **whole}
        request = columns.form.parse(record)
        if columns.spec.params is None or isinstance(request, Bad):
            return request
        if isinstance(columns.spec.params, str):
            own = parse_params_column(record.get(columns.spec.params), columns.spec.params)
        else:
            own = params_of_columns(record, columns.spec.params)
        if isinstance(own, Bad):
            return own
        messages = with_system(request.messages, own.system)
        params = {**request.params, **own.params}
        return request._replace(messages=messages, params=params, model=own.model or request.model)


def _bad_row(name: str, ordinal: int, location: str, problem: Bad, passthrough: dict[str, Any]) -> BadRow:
    return BadRow(Key(name), ordinal, location, problem.sentence, passthrough, problem.reason)
