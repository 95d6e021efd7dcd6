"""
The console: what `/v1` knows, for people with a browser.

`pages` serves what is in `static`, which knows the URLs of the module and nothing of its Python.
"""
