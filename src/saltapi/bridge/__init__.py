"""The bridge to Salt: everything that talks to a running master."""
