"""A fake provider as an engine, with faults on demand."""
