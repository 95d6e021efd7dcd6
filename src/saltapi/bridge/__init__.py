"""The bridge: everything that talks to a running Salt master, or asks Salt's own code.

It knows the words, and nothing of who asks for what by which URL.
"""
