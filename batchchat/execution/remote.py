"""What a run does with an output in an object store: it is checked before anything is sent, and uploaded at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from batchchat.core.notices import Uploaded, Uploading
from batchchat.errors import OutputError
from batchchat.job.env_file import with_env_file
from batchchat.object_store.failures import ObjectStoreError
from batchchat.object_store.threads import interruptible
from batchchat.object_store.url import parse_url
from batchchat.store.folder import folder_of
from batchchat.store.output_files import files_of

if TYPE_CHECKING:
    from batchchat.execution.context import RunContext, RunOptions
    from batchchat.job import JobSpec, OutputSpec
    from batchchat.store.remote_output import RemoteOutput, RemoteResult

__all__ = ["check_reachable", "check_remote", "keep_remote", "remote_output", "upload"]


def remote_output(output: OutputSpec, environ: Mapping[str, str]) -> RemoteOutput | None:
    """The `output` in its object store, with the credentials of `environ`; None where it is on this machine."""
    if output.url is None:
        return None
    from batchchat.object_store.bucket import ObjectBucket
    from batchchat.store.remote_file import RemoteFileOutput
    from batchchat.store.remote_parts import RemotePartsOutput

    kind = RemotePartsOutput if output.is_folder else RemoteFileOutput
    return kind(output.url, folder_of(output.path), ObjectBucket(output.url, environ))


def check_remote(remote: RemoteOutput, options: RunOptions) -> None:
    """Refuse an output in an object store that can't be written, or is another run's. Raises `OutputError`."""
    interruptible(lambda: remote.check(fresh=options.fresh, other_url=options.yes))


def check_reachable(job: JobSpec, environ: Mapping[str, str]) -> str:
    """Ask the stores to which `job` writes, without writing; returns the sentence about what is not known then.

    Raises `OutputError` where one can't be asked.
    """
    journal = job.store.ship_journal
    urls = [url for url in (job.output.url, journal and parse_url(journal)) if url]
    from batchchat.object_store.bucket import ObjectBucket

    job_environ = with_env_file(environ, job.input.folder or Path())
    for url in urls:
        bucket = ObjectBucket(url, job_environ)
        try:
            interruptible(partial(bucket.check_reachable, url.key.rstrip("/")))
        except ObjectStoreError as error:
            raise OutputError(str(error)) from None
    return (
        f"{' and '.join(url.shown for url in urls)} can be reached. Whether objects can be put there is not checked"
        " here, since nothing is written: `run` tries it before it sends the first request."
    )


def keep_remote(remote: RemoteOutput) -> list[str]:
    """Begin anew where the old run was set aside; returns the URLs where the store keeps its result."""
    return interruptible(remote.start_over)


def upload(context: RunContext, remote: RemoteOutput) -> RemoteResult:
    """Make what was published in the run folder the result in the object store. Raises `MachineError`."""
    path = context.job.output.path
    files = files_of(path)
    context.tell(Uploading(remote.shown, len(files), sum(file.stat().st_size for file in files)))
    began = time.monotonic()
    result = remote.publish(path)
    context.tell(Uploaded(result.pattern, time.monotonic() - began, result.leftovers, is_new=result.uploaded))
    return result
