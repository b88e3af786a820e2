"""The client engine: open, create, demultiplex."""
