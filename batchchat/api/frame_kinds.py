"""What `chat_frame` needs of a frame, of pandas and of Polars."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["ArrowColumn", "FrameLike", "frame_like"]

ArrowColumn: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"


class FrameLike(Protocol):
    """A frame whose columns have text for names; the names of pandas' columns are taken as text."""

    names: list[str]
    rows: int

    def name_of(self, label: Hashable) -> str:
        """The name of the column that a caller means by `label`, which need not be there."""
        ...

    def column(self, name: str) -> ArrowColumn:
        """The column as Arrow has it. Raises what Arrow raises where it can't hold the values."""
        ...

    def json_column(self, name: str) -> ArrowColumn:
        """The column with lists and objects of Python as JSON text."""
        ...

    def joined(
        self, results: pa.Table, positions: pa.Array[Any] | None, attributes: Mapping[str, Any] | None = None
    ) -> Any:
        """The frame's rows at `positions` (None: as they are) with the columns of `results` after their own."""
        ...


def frame_like(frame: Any) -> FrameLike:
    """What `chat_frame` needs of `frame`. Raises `TypeError` for what is no frame of pandas or Polars."""
    import pandas as pd

    if isinstance(frame, pd.DataFrame):
        return PandasFrame(frame)
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(frame, polars.DataFrame):
        return PolarsFrame(frame)
    name = f"{type(frame).__module__}.{type(frame).__qualname__}"
    raise TypeError(
        f"chat_frame takes a pandas.DataFrame or a polars.DataFrame, not {name}."
        " Rows in files are for batchchat.run(Job(input=...))."
    )


class PandasFrame:
    """A frame of pandas, whose index and columns stay as they are."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.names = [str(label) for label in frame.columns.tolist()]
        self.rows = len(frame)

    def _series(self, name: str) -> pd.Series[Any]:
        return self._frame.iloc[:, self.names.index(name)]

    def name_of(self, label: Hashable) -> str:
        """The text of `label`, as the frame has it: 1 of NumPy is called `1` there, too."""
        labels = self._frame.columns.tolist()
        return str(labels[labels.index(label)]) if label in labels else str(label)

    def column(self, name: str) -> ArrowColumn:
        """The column as Arrow has it, NaN as null."""
        import pyarrow as pa

        return _plain(pa.Array.from_pandas(self._series(name)))

    def json_column(self, name: str) -> ArrowColumn:
        """The column with lists and objects of Python as JSON text."""
        series = self._series(name)
        return _json_texts(series) if series.dtype == object else self.column(name)

    def joined(
        self, results: pa.Table, positions: pa.Array[Any] | None, attributes: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """The frame's rows at `positions` with the columns of `results`; index and `attrs` are kept."""
        import pandas as pd

        frame = self._frame if positions is None else self._frame.iloc[positions.to_numpy()]
        added = results.to_pandas(types_mapper=_pandas_types().get)
        added.index = frame.index
        if (levels := frame.columns.nlevels) > 1:
            added.columns = pd.MultiIndex.from_tuples([(name, *[""] * (levels - 1)) for name in added.columns])
        joined = pd.concat([frame, added], axis="columns")
        joined.columns.names = frame.columns.names
        joined.attrs = dict(self._frame.attrs)
        if attributes is not None:
            joined.attrs["batchchat"] = dict(attributes)
        return joined


class PolarsFrame:
    """A frame of Polars, which has neither index nor `attrs`."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame
        self.names = frame.columns
        self.rows = frame.height

    def name_of(self, label: Hashable) -> str:
        """The text of `label`."""
        return str(label)

    def column(self, name: str) -> ArrowColumn:
        """The column as Arrow has it."""
        return _plain(self._frame.get_column(name).to_arrow())

    def json_column(self, name: str) -> ArrowColumn:
        """The column; objects of Python in it as JSON text."""
        import polars as pl

        series = self._frame.get_column(name)
        return _json_texts(series) if series.dtype == pl.Object else self.column(name)

    def joined(
        self,
        results: pa.Table,
        positions: pa.Array[Any] | None,
        attributes: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> pl.DataFrame:
        """The frame's rows at `positions` with the columns of `results`."""
        import polars as pl

        frame = self._frame if positions is None else self._frame[pl.Series(positions.to_pylist(), dtype=pl.Int64)]
        added = pl.from_arrow(results)
        assert isinstance(added, pl.DataFrame), "a table is a frame, and no series"
        return pl.concat([frame, added], how="horizontal")


def _plain(array: Any) -> ArrowColumn:
    """`array` with the values of a dictionary (a categorical) in the place of their codes."""
    import pyarrow as pa

    if isinstance(array.type, pa.BaseExtensionType):
        raise TypeError(f"it is {array.type}")
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    column: ArrowColumn = array
    return column


def _json_texts(values: Any) -> pa.Array[Any]:
    import pyarrow as pa

    return pa.array([_json_text(value) for value in values], pa.string())


def _json_text(value: Any) -> str | None:
    """`value` as JSON text; text stays as it is, and NaN and NA are null."""
    from batchchat import lossless_json

    if isinstance(value, str):
        return value
    if value is None or value != value or type(value).__name__ == "NAType":  # noqa: PLR0124 (NaN)
        return None
    try:
        return lossless_json.dumps(value).decode()
    except TypeError:
        return lossless_json.dumps(_python_value(value)).decode()


def _python_value(value: Any) -> Any:
    """`value` without arrays and numbers of NumPy, which Parquet's lists are read as."""
    if isinstance(value, dict):
        return {name: _python_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_python_value(item) for item in value]
    return _python_value(value.tolist()) if hasattr(value, "tolist") else value


def _pandas_types() -> dict[pa.DataType, Any]:
    """The type that pandas' columns get: those that have a null, so that a count stays a whole number."""
    import pandas as pd
    import pyarrow as pa

    return {
        pa.string(): pd.StringDtype("pyarrow"),
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
