"""Stores by the environment, against a real server, and failures in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchchat.object_store.failures import ObjectStoreError, StoreFailure, translated
from batchchat.object_store.opening import open_store
from batchchat.object_store.url import parse_url
from tests.s3 import KEY_ID, S3, SECRET_KEY

obstore = pytest.importorskip("obstore", reason="obstore is not installed (extra `stores`)")


def failure(text: str, call: Any) -> ObjectStoreError:
    """The failure of `call(store, key)` at the URL `text`."""
    url = parse_url(text)
    with pytest.raises(ObjectStoreError) as raised, translated(url):
        call(open_store(url, patience_s=0.1), url.key)
    assert SECRET_KEY not in str(raised.value)
    assert KEY_ID not in str(raised.value)
    return raised.value


def test_an_object_of_s3(s3: S3) -> None:
    bucket = s3.bucket()
    url = parse_url(s3.put(bucket, "in/a b.jsonl", b"content"))
    store = open_store(url)
    assert bytes(obstore.get(store, url.key).bytes()) == b"content"
    assert SECRET_KEY not in repr(store)


def test_missing_objects_and_buckets(s3: S3) -> None:
    bucket = s3.bucket()
    missing = failure(f"s3://{bucket}/nope.jsonl", obstore.head)
    assert str(missing) == f"s3://{bucket}/nope.jsonl is not there. Check the URL."
    no_bucket = failure("s3://no-such-bucket/in/", lambda store, key: obstore.list(store, key).collect())
    assert str(no_bucket) == "s3://no-such-bucket: there is no such bucket. Check the URL."


def test_an_object_that_was_replaced(s3: S3) -> None:
    url = s3.put(s3.bucket(), "a.jsonl", b"content")
    changed = failure(url, lambda store, key: obstore.get(store, key, options={"if_match": '"no"'}))
    assert changed.failure is StoreFailure.CHANGED


def test_a_store_that_is_not_there(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "no connection to 127.0.0.1:9" in str(failure("s3://bucket/a.jsonl", obstore.head))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store.invalid")
    assert "there is no host store.invalid" in str(failure("s3://bucket/a.jsonl", obstore.head))


def test_azure_with_a_sas_token_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Obstore tells no URL then, since the token is in it."""
    settings = "AccountName=me;BlobEndpoint=http://127.0.0.1:9/me;SharedAccessSignature=sv=1&sig=secret-x"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", settings)
    error = failure("az://box/a.jsonl", obstore.head)
    assert error.failure is StoreFailure.UNREACHABLE
    assert "az://box/a.jsonl can't be read: no connection to the store. Check the URL and the network" in str(error)


def test_without_tls_only_this_machine(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid")
    assert failure("s3://bucket/a.jsonl", obstore.head).failure is StoreFailure.NO_TLS
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    assert failure("s3://bucket/a.jsonl", obstore.head).failure is StoreFailure.UNREACHABLE


def test_no_credentials(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in str(failure("s3://bucket/a.jsonl", obstore.head))
    # The service of the machine is asked, and is not there.
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    assert failure("s3://bucket/a.jsonl", obstore.head).failure is StoreFailure.NO_CREDENTIALS


def test_the_keys_of_a_profile(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "work")
    (tmp_path / ".aws").mkdir()
    keys = f"aws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET_KEY}\n"
    (tmp_path / ".aws/credentials").write_text(f"[work]\n{keys}")
    (tmp_path / ".aws/config").write_text("[profile work]\nregion = eu-central-1\n")
    url = parse_url(s3.put(s3.bucket(), "a.jsonl", b"content"))
    store: Any = open_store(url)
    assert obstore.head(store, url.key)["size"] == 7
    assert store.config["region"] == "eu-central-1"


def test_what_only_a_jobs_own_environment_has(s3: S3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = parse_url(s3.put(s3.bucket(), "a.jsonl", b"content"))
    for name in s3.environ:
        monkeypatch.delenv(name)
    store: Any = open_store(url, {**s3.environ, "AWS_REGION": "eu-west-3", "HOME": str(tmp_path)})
    assert obstore.head(store, url.key)["size"] == 7
    assert store.config["region"] == "eu-west-3"


def test_google_and_azure_by_their_emulators(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's reading is S3's in all but the signature, and how names are escaped."""
    s3.client.create_bucket(Bucket="plain")
    s3.client.put_object(Bucket="plain", Key="data", Body=b"content", ACL="public-read")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", s3.endpoint)
    url = parse_url("gs://plain/data")
    assert bytes(obstore.get(open_store(url), url.key).bytes()) == b"content"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=me;BlobEndpoint=http://127.0.0.1:9/me")
    assert failure("az://box/a.jsonl", obstore.head).failure in {StoreFailure.UNREACHABLE, StoreFailure.NO_CREDENTIALS}
    monkeypatch.delenv("AZURE_STORAGE_CONNECTION_STRING")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in str(failure("az://box/a.jsonl", obstore.head))
