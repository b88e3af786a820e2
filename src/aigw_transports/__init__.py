"""Transports that drive `aigw_proto`, and the command line built on them."""

from aigw_proto import _build as _build  # before any module of ours: it chooses between their sources and extensions
