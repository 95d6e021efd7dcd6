"""
deb and rpm, installed, upgraded and removed for real: `make test-packages`.

`prepare` makes what that takes and keeps it in .chroot: a folder with a Debian of its own, and
stand-ins for Salt's packages, which have a Python of their own below /opt/saltstack/salt. The tests
run in copies of that folder, without network; without what `prepare` makes they are skipped.
"""
