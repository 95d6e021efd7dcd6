"""
The page between a login at an identity provider and SaltGUI, which keeps the token itself.

`pages` hands it out with the session, once; it knows of SaltGUI only what SaltGUI stores.
"""
