"""The page's text: what is embedded is harmless, the size is kept, nothing outside is named."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchchat.reporting.html.page import LIMIT, embedded, page_of
from batchchat.reporting.page import page_of_outputs
from tests.reporting.html.given import output_of, run_of
from tests.store.given import answered, failed

HTML = Path(__file__).parents[3] / "batchchat" / "reporting" / "html"
texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["</script>", "<!--<script>", "]]>", "\u2028", "\u2029", "&lt;/script&gt;", "${style}", "$data"]
)


def data_of(page: bytes) -> Any:
    """What the page's script reads."""
    found = re.search(rb'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@given(st.recursive(texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8))
def test_any_text_is_embedded_without_harm(value: Any) -> None:
    """The block can't be ended or turned into another thing from within, and is read as it was."""
    data = embedded(value)
    assert not re.search(rb"[<>&]", data)
    assert not re.search("[\u2028\u2029]", data.decode())
    assert json.loads(data) == value
    assert data_of(page_of("", data)) == value


def test_only_the_page_s_own_scripts_may_run() -> None:
    """The policy forbids all that is not named, names no address, and has the hash of each script that stands there."""
    page = page_of("<title>&", b"{}").decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    ]
    assert "http" not in policy[1]
    assert not re.search(r"""(?:src|href)=["']?https?:""", page)
    assert "<title>&lt;title&gt;&amp;</title>" in page


def test_own_script_writes_text_only() -> None:
    """The page's script knows no way to make markup of a text."""
    script = (HTML / "page.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|fetch\(|srcdoc", script
    )


@pytest.mark.parametrize("letter", ["a", "<", "\u2028"])
def test_no_text_makes_the_page_large(tmp_path: Path, letter: str) -> None:
    """However long texts, names and ids are, and whatever escaping makes of them, the page stays under 2 MB."""
    long = letter * 200_000
    fields: dict[str, Any] = {
        "model": long,
        "carried": {"topic": long},
        "messages": [{"role": "user", "content": long}],
    }
    rows = [
        *(answered(f"{long}{n}", reply={"text": long, "model": long}, **fields) for n in range(6)),
        failed(long, error=long, error_kind=long, **fields),
    ]
    outputs = [output_of(tmp_path / "x.parquet", rows), output_of(tmp_path / "y.parquet", reversed(rows))]
    page = page_of_outputs(outputs, ["topic"], str).content
    assert len(page) <= LIMIT < 2_000_000
    assert all(data_of(page)["rows"])


def test_a_big_run_is_sampled_and_says_so(tmp_path: Path) -> None:
    """Of many rows the page holds the failed, the dearest and the slowest and others, the same ones each time."""
    rows = run_of(6_000)
    output = output_of(tmp_path / "x.parquet", rows)
    first, second = (data_of(page_of_outputs([output], [], str).content) for _ in range(2))
    assert first["rows"] == second["rows"]
    held = {row["id"]: row for row in first["rows"][0]}
    assert len(held) < first["outputs"][0]["total"] == 6_000
    costs = sorted((row for row in rows if "cost_usd" in row), key=lambda row: -row["cost_usd"])
    assert {row["id"] for row in costs[:10]} <= held.keys()
    slowest = max(rows, key=lambda row: row.get("latency_s", 0.0))
    assert slowest["id"] in held
    assert sum(row["status"] != "answered" for row in held.values()) >= 150
    assert {row["kind"] for row in held.values() if "kind" in row} == {"timeout", "invalid_input"}
    assert all(rows[row["at"]]["id"] == id_ for id_, row in held.items())


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_that_of_wcag_aa() -> None:
    """Text has 4.5 to 1 on its ground in light, dark and print, and what is drawn has 3 to 1."""
    blocks = re.findall(r":root \{(.*?)\}", (HTML / "page.css").read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for ground in ("paper", "wash"):
            for name, least in (("ink", 4.5), ("quiet", 4.5), ("accent", 4.5), ("bad", 4.5), ("sent", 3.0)):
                pair = sorted((_luminance(colours[name]), _luminance(colours[ground])))
                assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least, (name, ground, colours)
