"""Drivers of Salt's cache."""
