"""Programs that people use against salt-api, run against ours."""
