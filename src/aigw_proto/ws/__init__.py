"""WebSocket (RFC 6455, RFC 7692): bytes to frames to messages, both roles."""
