"""Sphinx configuration. The reference is made from the installed package."""

from __future__ import annotations

import contextlib
import enum
import importlib.metadata
import io
import os
import re

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from aigw_transports.app.cli import build_parser

project = "aigw"
release = importlib.metadata.version("aigw")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"aigw {release}"
html_show_copyright = False
default_role = "code"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["ref.python"]  # two packages may have a class of one name; the links in signatures are a guess
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {"JsonValue": "JsonValue", "Query": "Query"}
autodoc_default_options = {"members": True, "show-inheritance": True}


class CommandHelp(Directive):
    """Shows the help of a command: `{command-help} serve`."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what `--help` prints."""
        os.environ["COLUMNS"] = "100"
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            build_parser().parse_args([*self.arguments, "--help"])
        return [nodes.literal_block(output.getvalue(), output.getvalue(), language="text")]


def keep_values(_app: Sphinx, _what: str, _name: str, member: object, skip: bool, _options: object) -> bool | None:
    """Show the values of an enumeration although they have no docstrings."""
    return False if skip and isinstance(member, enum.Enum) else None


def shorten_types(
    _app: Sphinx, _what: str, _name: str, _member: object, _options: object, arguments: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Write types without their modules where a default that cannot be printed keeps Sphinx from doing it."""
    return arguments and re.sub(r"~[\w.]+\.", "", arguments), returns


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("command-help", CommandHelp)
    app.connect("autodoc-skip-member", keep_values)
    app.connect("autodoc-process-signature", shorten_types)
