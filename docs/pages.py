"""Tables that scripts write into pages, between two marks."""

from __future__ import annotations


def put_between(page: str, begin: str, table: str, end: str) -> str:
    """The page with what stands between the marks replaced.

    Raises:
        ValueError: It has no such marks, or several that begin.
    """
    head, rest = page.split(begin)
    _, tail = rest.split(end, 1)
    return f"{head}{begin}\n{table}\n{end}{tail}"
