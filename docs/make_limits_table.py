"""Write `docs/reference/limits.md` from the fields and docstrings of `aigw_proto._limits`.

Run it after a limit changed: `.venv/bin/python docs/make_limits_table.py`. A test fails when the page is stale.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import aigw_proto

PAGE = Path(__file__).parent / "reference" / "limits.md"
SECTIONS = {
    "limits": "GatewayLimits",
    "limits.websocket": "WebSocketLimits",
    "limits.http": "HttpLimits",
    "limits.sse": "SseLimits",
}
KIB = 1024


def source_of(kind: type) -> str:
    """Return the source of the module in which `kind` is defined."""
    module = inspect.getmodule(kind)
    assert module is not None
    return inspect.getsource(module)


def rows_of(cls: ast.ClassDef) -> list[tuple[str, object, str]]:
    """Return name, default and reason of every field of a limits class."""
    defaults: object = getattr(aigw_proto, cls.name)()
    rows: list[tuple[str, object, str]] = []
    for field, after in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            name = field.target.id
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            rows.append((name, getattr(defaults, name), " ".join(str(text).split())))
    return rows


def show(name: str, value: object) -> str:
    """Print a default for people."""
    if isinstance(value, float):
        return f"{value:g} s"
    if not isinstance(value, int) or not name.endswith("_bytes"):
        return f"{value:,}" if isinstance(value, int) else str(value)
    if value == (1 << 63) - 1:
        return "2⁶³ - 1"
    if value % (KIB * KIB) == 0:
        return f"{value // (KIB * KIB)} MiB"
    return f"{value // KIB} KiB" if value % KIB == 0 else f"{value} B"


def outputs() -> dict[Path, str]:
    """Return every file this script writes, with its text."""
    classes = {
        node.name: node
        for node in ast.parse(source_of(aigw_proto.GatewayLimits)).body
        if isinstance(node, ast.ClassDef)
    }
    lines = [
        "# Limits",
        "",
        "Every buffer, queue, count and wait has a bound. Each is a key of the configuration file, in the table",
        "named here: sizes as whole bytes, times as seconds. A time that may be absent is switched off with `false`.",
    ]
    for table, name in SECTIONS.items():
        summary = (ast.get_docstring(classes[name]) or "").splitlines()[0]
        lines += [
            "",
            f"## `[{table}]`",
            "",
            summary,
            "",
            "| Key | Default | What it bounds, and why so |",
            "| --- | --- | --- |",
        ]
        lines += [f"| `{key}` | {show(key, value)} | {reason} |" for key, value, reason in rows_of(classes[name])]
    return {PAGE: "\n".join([*lines, ""])}


if __name__ == "__main__":
    for path, content in outputs().items():
        path.write_text(content)
