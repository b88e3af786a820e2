"""The gateway, or any engine, on anyio: `serve()` for servers and `Driver` for everything else."""

from ._anyio_driver import CLOSE_NOTIFY_SECONDS, FLUSH_SECONDS, Driver, log_to_standard_library, serve

__all__ = ["CLOSE_NOTIFY_SECONDS", "FLUSH_SECONDS", "Driver", "log_to_standard_library", "serve"]
