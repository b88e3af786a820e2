"""The server engine: sessions, requests, upstream connections."""
