"""Limits: how many requests of each class are served, and whose turn it is.

Pure arithmetic over users and slots; nothing else of the engine is known here.
"""
