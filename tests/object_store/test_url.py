"""URLs of objects, and what of them may be shown."""

from __future__ import annotations

import pytest

from batchchat.object_store.url import is_url, parse_url
from batchchat.secret import Redactor


def test_a_key_stands_as_it_is() -> None:
    url = parse_url("s3://my-bucket/in/lang=de/a b%20?#*.jsonl")
    assert (url.scheme, url.bucket, url.key) == ("s3", "my-bucket", "in/lang=de/a b%20?#*.jsonl")
    assert url.shown == "s3://my-bucket/in/lang=de/a b%20?#*.jsonl"
    assert url.at("out/x").shown == "s3://my-bucket/out/x"


def test_a_web_servers_url_is_shown_without_its_secrets() -> None:
    text = "https://me:pass%20word@Host.example:8443/a%20b.jsonl?X-Amz-Signature=abcdef0123456789&sv=2022-11-02#end"
    url = parse_url(text)
    assert (url.bucket, url.shown) == ("host.example:8443", "https://host.example:8443/a%20b.jsonl")
    assert url.secret.reveal() == text
    assert "abcdef" not in repr(url)
    shown = Redactor(url.secrets).redact(f"{text} abcdef0123456789 pass word")
    assert "abcdef" not in shown
    assert "word" not in shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/secret-x", "of a kind that is not read"),
        ("http://example.com/secret-x", "from this machine only"),
        ("https:///secret-x", "without a host"),
        ("https://host:secret-x/", "can't be read"),
        ("s3://KEY:secret-x@bucket/key", "credentials come from the environment"),
        ("az:///secret-x", "container"),
        ("az://box/in.jsonl?sv=2024-01-01&sig=secret-x", "with a query; credentials come from the environment"),
        ("s3://bucket/in.jsonl?X-Amz-Signature=secret-x", "with a query"),
    ],
)
def test_what_names_no_object_is_refused_without_being_repeated(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        parse_url(text)
    assert "secret-x" not in str(raised.value)


def test_a_path_is_no_url() -> None:
    assert is_url("s3://b/k")
    assert not any(map(is_url, ("a/b.jsonl", "/s3:/b", "~/x", "file:x.jsonl", "c://", "-")))
