"""
The command `saltctl`: words in, requests by `saltapi_client`, text and an exit status out.

`declarations` says what there is; parser, help, completion and manual page are made of it.
"""
