"""Results as text: one module for each layout."""
