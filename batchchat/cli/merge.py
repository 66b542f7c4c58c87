"""`batchchat merge`."""

from __future__ import annotations

from pathlib import Path

import click

from batchchat.cli.errors import guarded
from batchchat.cli.output import put, say
from batchchat.text import numbers

__all__ = ["merge"]


@click.command(
    epilog="Example:\n\n    batchchat merge out/first-*-of-2.parquet -o out/merged.parquet",
)
@click.argument("outputs", metavar="OUTPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), required=True, help="The output of the merged run."
)
@click.option("--partial", is_flag=True, help="Merge what there is, though shards are missing or not finished.")
def merge(outputs: tuple[Path, ...], target: Path, *, partial: bool) -> None:
    """Make one run of the runs of a job's shards (`run --shard`): one output, one journal, one report.

    OUTPUT is what a shard wrote; its run folder is beside it. All shards of one number must be there, each once, and
    finished. The rows are in the order of the input, and every figure is that of all shards together: `report`,
    `status`, `export` and `run JOB --output` work with the merged run as with any other. The shards stay as they are,
    and merging them again replaces the merged run, unless it was continued.
    """
    with guarded():
        from batchchat.reporting.merged import merged_text
        from batchchat.results.merge import merge_shards

        merged = merge_shards(outputs, target, partial=partial)
        for damage in merged.damages:
            say(f"journal {damage}")
        put(f"{numbers.shown_path(target)}: {merged_text(merged)}")
