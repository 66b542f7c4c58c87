"""Arrow cells as JSON, and back."""
