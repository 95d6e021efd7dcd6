"""The console in a real browser: the system's Chromium, driven by Playwright, at a real master."""
