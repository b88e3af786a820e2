"""Sphinx configuration. The reference is made from the installed package."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os

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
autodoc_default_options = {"members": True, "show-inheritance": False}


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


def setup(app: Sphinx) -> None:
    """Add the directive."""
    app.add_directive("command-help", CommandHelp)
