"""What differs between providers, as data."""
