"""Statements that SQLite and PostgreSQL both take, built from the constants of those who use them."""

from typing import Final

_SEPARATOR: Final = ", "


def replace(table: str, key: str, rest: str) -> str:
    """Return what writes a row over the one with the same key. Columns are separated by commas; key before rest."""
    new = _SEPARATOR.join(f"{column} = excluded.{column}" for column in rest.split(_SEPARATOR))
    return f"{_insert(table, key, rest)} ON CONFLICT ({key}) DO UPDATE SET {new}"


def add(table: str, key: str, sums: str) -> str:
    """Return what adds to the row with the same key, or begins it."""
    new = _SEPARATOR.join(f"{column} = {table}.{column} + excluded.{column}" for column in sums.split(_SEPARATOR))
    return f"{_insert(table, key, sums)} ON CONFLICT ({key}) DO UPDATE SET {new}"


def _insert(table: str, key: str, rest: str) -> str:
    columns = f"{key}{_SEPARATOR}{rest}"
    marks = _SEPARATOR.join("?" * len(columns.split(_SEPARATOR)))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608  # constants of ours, no values
