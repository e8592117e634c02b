"""A dashboard's YAML as Grafana's JSON.

Enters: title, variables, rows of panels; a panel has a kind, a width, SQL or an expression for Prometheus. Leaves: JSON for the
provisioning of Grafana 10 and later. Panels flow from left to right in a grid 24 wide, so that nobody writes coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
SQL = {"type": "grafana-postgresql-datasource", "uid": "millrace-sql"}
PROMETHEUS = {"type": "prometheus", "uid": "millrace-prometheus"}
_WIDTH = 24
# PackML states, as on Millrace's page: production is calm, what needs somebody stands out.
_STATES = {
    "EXECUTE": "green",
    "IDLE": "light-blue",
    "COMPLETE": "light-blue",
    "SUSPENDED": "yellow",
    "HELD": "orange",
    "STOPPED": "dark-orange",
    "ABORTED": "red",
}


def names() -> list[str]:
    """Dashboards that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def definition(name: str) -> dict[str, Any]:
    """A dashboard's YAML."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return found


def dashboard(name: str) -> dict[str, Any]:
    """Its JSON."""
    wanted = definition(name)
    return {
        "uid": f"millrace-{name}",
        "title": f"Millrace: {wanted['title']}",
        "description": wanted["description"],
        "tags": ["millrace"],
        "timezone": "browser",
        "editable": True,
        "refresh": wanted.get("refresh", "1m"),
        "time": {"from": wanted.get("from", "now-8h"), "to": "now"},
        "schemaVersion": 39,
        "links": [
            {"type": "dashboards", "tags": ["millrace"], "title": "Millrace", "asDropdown": True, "keepTime": True}
        ],
        "templating": {"list": [_variable(key, one) for key, one in wanted.get("variables", {}).items()]},
        "annotations": {"list": [_annotation(one) for one in wanted.get("annotations", [])]},
        "panels": list(_panels(wanted["rows"])),
    }


def _variable(name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "label": wanted["label"],
        "datasource": SQL,
        "query": wanted["sql"],
        "definition": wanted["sql"],
        "refresh": 2,
        "sort": 1,
        "multi": False,
        "includeAll": False,
    }


def _annotation(wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": wanted["title"],
        "datasource": SQL,
        "enable": True,
        "iconColor": wanted["color"],
        "target": _target(wanted, "table"),
    }


def _panels(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for row in rows:
        if "title" in row:
            number += 1
            place = {"x": 0, "y": y, "w": _WIDTH, "h": 1}
            yield {
                "id": number,
                "type": "row",
                "title": row["title"],
                "collapsed": False,
                "gridPos": place,
                "panels": [],
            }
            y += 1
        x, height = 0, row.get("height", 8)
        for panel in row["panels"]:
            number += 1
            yield {"id": number, "gridPos": {"x": x, "y": y, "w": panel["width"], "h": height}, **_panel(panel)}
            x += panel["width"]
        if x > _WIDTH:
            msg = f"the panels of row {row.get('title', y)!r} are {x} wide, not at most {_WIDTH}"
            raise ValueError(msg)
        y += height


def _panel(wanted: dict[str, Any]) -> dict[str, Any]:
    kind = wanted["kind"]
    is_series = kind in {"timeseries", "bars"}
    made: dict[str, Any] = {
        "title": wanted["title"],
        "description": wanted.get("description", ""),
        "type": {"bars": "timeseries", "timeline": "state-timeline"}.get(kind, kind),
        "datasource": PROMETHEUS if "prometheus" in wanted else SQL,
        "targets": [_target(wanted, "time_series" if is_series or kind == "timeline" else "table")],
        "fieldConfig": {"defaults": _defaults(wanted), "overrides": _overrides(wanted)},
        "options": _options(wanted),
    }
    if kind == "timeline":
        # One column for each machine.
        made["transformations"] = [{"id": "prepareTimeSeries", "options": {"format": "multi"}}]
    return made


def _target(wanted: dict[str, Any], form: str) -> dict[str, Any]:
    if "prometheus" in wanted:
        return {
            "refId": "A", "datasource": PROMETHEUS, "expr": wanted["prometheus"], "legendFormat": wanted.get("legend", "__auto"),
            "range": True,
        }  # fmt: skip
    return {
        "refId": "A", "datasource": SQL, "rawSql": wanted["sql"].strip(), "format": form, "rawQuery": True, "editorMode": "code",
    }  # fmt: skip


def _defaults(wanted: dict[str, Any]) -> dict[str, Any]:
    kind = wanted["kind"]
    made: dict[str, Any] = {"unit": wanted.get("unit", "none"), "noValue": "no data"}
    for key in ("min", "max", "decimals"):
        if key in wanted:
            made[key] = wanted[key]
    if kind == "timeseries":
        made["custom"] = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": False}
    elif kind == "bars":
        made["custom"] = {
            "drawStyle": "bars",
            "fillOpacity": 70,
            "lineWidth": 0,
            "stacking": {"mode": wanted.get("stack", "none")},
        }
    elif kind == "timeline":
        made["mappings"] = [
            {"type": "value", "options": {state: {"color": color, "text": state} for state, color in _STATES.items()}}
        ]
    if steps := wanted.get("thresholds"):
        made["thresholds"] = {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}
        made["color"] = {"mode": "thresholds"}
    return made


def _overrides(wanted: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in wanted.get("units", {}).items()
    ]


def _options(wanted: dict[str, Any]) -> dict[str, Any]:
    whole = {"calcs": ["lastNotNull"], "fields": "", "values": wanted.get("every", False)}
    match wanted["kind"]:
        case "stat":
            return {"reduceOptions": whole, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
        case "bargauge":
            return {"reduceOptions": whole | {"values": True}, "displayMode": "basic", "orientation": "horizontal"}
        case "barchart":
            return {
                "orientation": "horizontal",
                "xField": wanted["label"],
                "showValue": "always",
                "legend": {"showLegend": False},
            }
        case "timeline":
            return {
                "showValue": "never",
                "mergeValues": True,
                "rowHeight": 0.85,
                "legend": {"displayMode": "list", "placement": "bottom"},
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
        case "timeseries" | "bars":
            return {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case other:
            msg = f"there is no panel of kind {other!r}"
            raise ValueError(msg)
