"""`python -m saltapi.bridge.worker` is one worker process."""

from saltapi.bridge.worker.worker import serve, take_pipes

if __name__ == "__main__":
    serve(*take_pipes())
