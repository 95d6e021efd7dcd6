"""Stores of tokens, as Salt 3007 has them."""
