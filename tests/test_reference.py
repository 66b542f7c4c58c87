"""The pages say what the declarations in the code say, and what they point to exists."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

import pytest

from batchchat.cli import main
from batchchat.core.conversation import ErrorKind
from batchchat.job.keys import KEYS
from batchchat.store.columns import COLUMNS
from tests.reference import PAGES, REPOSITORY, TABLES, tables_on, with_tables

OTHERS = (REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md", REPOSITORY / "sample_data" / "README.md")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_tables_are_those_of_the_declarations(page: Path) -> None:
    """Each table is as it is in the code; `make reference` writes them again."""
    text = page.read_text()
    assert with_tables(text) == text


def test_each_table_is_on_one_page() -> None:
    """No table is left out, and none is on two pages."""
    assert sorted(chain.from_iterable(tables_on(page.read_text()) for page in PAGES)) == sorted(TABLES)


def test_nothing_declared_is_left_out() -> None:
    """Each command, job key, column and error kind has its line on a page."""
    text = "".join(page.read_text() for page in PAGES)
    for name in [*main.commands, *(key.name for key in KEYS), *(column.name for column in COLUMNS)]:
        assert re.search(rf"^\| `(batchchat )?{re.escape(name)}[` ]", text, re.MULTILINE), name
    for kind in ErrorKind:
        assert f"`{kind.value}`" in text


def test_each_folder_is_in_the_architecture() -> None:
    """docs/architecture.md has a line for each folder and module of the package."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text()
    rows = "".join(re.findall(r"^\| [0-9]+ \|[^|]+\|", text, re.MULTILINE))
    package = REPOSITORY / "batchchat"
    names = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in names if not name.startswith("__")} == set(re.findall(r"`(\w+)`", rows))


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    """A link to a file or a heading of the repository finds it."""
    for target, heading in _LINK.findall(page.read_text()):
        if ":" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), target
        assert not heading or heading in anchors(file), f"{target}#{heading}"


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in links, as GitHub calls them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
