"""`--set`, as it is shown again in the command that goes on."""

from __future__ import annotations

import pytest

from batchchat.cli.set_option import shown_again


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("retry.max_wait=5", "retry.max_wait=5"),
        ("params.stop=[a, b]", "params.stop=[a, b]"),
        ("endpoint.base_url=mock", "endpoint.base_url=mock"),
        ("endpoint.headers.x-api-key=s3cret", "endpoint.headers.x-api-key=${X_API_KEY}"),
        ("endpoint.headers.x-api-key=Bearer ${KEY}", "endpoint.headers.x-api-key=${X_API_KEY}"),
        ("endpoint.headers.x-api-key=${KEY}", "endpoint.headers.x-api-key=${KEY}"),
        ("endpoint.headers.x-api-key=${KEY:-s3cret}", "endpoint.headers.x-api-key=${X_API_KEY}"),
        ("endpoint.headers={x-api-key: s3cret}", "endpoint.headers=${HEADERS}"),
        ("endpoint={headers: {x-api-key: s3cret}}", "endpoint=${ENDPOINT}"),
        ("on_finish=curl https://hooks/s3cret", "on_finish=${ON_FINISH}"),
        ("on_finish=null", "on_finish=null"),
    ],
)
def test_what_may_be_secret_is_shown_as_a_variable(given: str, shown: str) -> None:
    """A header's value and the command of `on_finish`; a reference to a variable is no secret, its default may be."""
    assert shown_again(given) == shown
