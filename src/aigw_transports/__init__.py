"""Transports that drive `aigw_proto`, and the command line built on them."""
