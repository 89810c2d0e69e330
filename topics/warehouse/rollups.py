"""Adds figures to the minutes, or hours, that are stored. Several consumers may add to the same one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import IntegrityError, connection, transaction

from topics.models.metrics import MetricHour, MetricMinute, Summary
from topics.warehouse.aggregates import Figures, merged

Table = type[MetricMinute] | type[MetricHour]
# A series' id and the start of its minute or hour.
Place = tuple[int, datetime]


def add_figures(table: Table, additions: Mapping[Place, Figures]) -> None:
    """Merge each into its row, which is made where there is none. Call it in the progress's transaction.

    Rows are locked in one order by everybody. One that another transaction makes at the same moment is
    waited for, and merged into.
    """
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError("figures are added with their progress")
    waiting = dict(sorted(additions.items(), key=lambda item: (item[0][1], item[0][0])))
    while waiting:
        stored = _locked(table, waiting)
        _update(table, {place: merged(figures, waiting[place]) for place, figures in stored.items()})
        waiting = {place: figures for place, figures in waiting.items() if place not in stored}
        if not waiting or _inserted(table, waiting):
            return


def figures_of(row: Summary) -> Figures:
    """A row's figures."""
    values = {name: getattr(row, name) for name in Summary.FIGURES}
    sketch = values.pop("sketch")
    return Figures(sketch=None if sketch is None else bytes(sketch), **values)


def _locked(table: Table, places: Iterable[Place]) -> dict[Place, Figures]:
    found: dict[Place, Figures] = {}
    for at, group in groupby(places, key=lambda place: place[1]):
        rows = table.objects.select_for_update().filter(at=at, series_id__in=[series for series, _ in group])
        found |= {(row.series_id, at): figures_of(row) for row in rows.order_by("series_id")}
    return found


def _update(table: Table, rows: Mapping[Place, Figures]) -> None:
    assigned = ", ".join(f"{name} = %s" for name in Summary.FIGURES)
    sql = f"UPDATE {table._meta.db_table} SET {assigned} WHERE series_id = %s AND at = %s"  # noqa: S608
    _write(sql, rows)


def _inserted(table: Table, rows: Mapping[Place, Figures]) -> bool:
    """Whether all of them were new; if one wasn't, none is inserted."""
    columns = ", ".join([*Summary.FIGURES, "series_id", "at"])
    marks = ", ".join(["%s"] * (len(Summary.FIGURES) + 2))
    try:
        with transaction.atomic():
            _write(f"INSERT INTO {table._meta.db_table} ({columns}) VALUES ({marks})", rows)  # noqa: S608
    except IntegrityError:
        return False
    return True


def _write(sql: str, rows: Mapping[Place, Figures]) -> None:
    if not rows:
        return
    adapt = connection.ops.adapt_datetimefield_value
    parameters: list[tuple[Any, ...]] = [
        (*(getattr(figures, name) for name in Summary.FIGURES), series, adapt(at))
        for (series, at), figures in rows.items()
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, parameters)
