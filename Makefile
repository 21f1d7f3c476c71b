# Everything runs in .venv, which the first target to need it makes.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
MODELS ?= models
# Tests run in a process a core, of which each takes 1 to 2 GB; `make test WORKERS=0` runs them in one.
WORKERS ?= auto
SECONDS ?= 180
SEED ?= 0
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist worksteal

.PHONY: demo studio test test-fast browser check attack real parity pictures results sanity models clean

demo: .venv/installed
	$(BIN)/facesynth demo --out $(DEMO)

# Draw in the browser.
studio: .venv/installed
	$(BIN)/facesynth studio

# With those in a browser, which are skipped where there is no Chromium.
test: .venv/installed
	$(PYTEST) -m "not real and not parity and not attack"

# Without the slow ones: for one's own loop.
test-fast: .venv/installed
	$(PYTEST) -m "not slow and not real and not parity and not attack and not browser"

# The studio in Chromium alone.
browser: .venv/installed
	$(BIN)/python -m pytest -m browser

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Hostile inputs for so many seconds, made by a seed; see docs/security.md.
attack: .venv/installed
	$(BIN)/python -m tests.attack --seconds $(SECONDS) --seed $(SEED)

# Needs the research-only sample; see CONTRIBUTING.md.
real: .venv/installed
	$(BIN)/python -m pytest -m real -s

# Needs outputs of the published code; see CONTRIBUTING.md.
parity: .venv/installed
	$(BIN)/python -m pytest -m parity -s

# The README's pictures, from what the demo left.
pictures: .venv/installed
	$(BIN)/python docs/pictures.py $(DEMO)

# docs/results.md: the bundled models on drawn portraits and, with DATA=, on the folder of recipes/photographs/dataset.sh.
RESULTS ?= results
results: .venv/installed
	$(BIN)/python docs/results.py $(RESULTS) $(if $(DATA),--photographs $(DATA))

# The table and the plot of docs/evaluate.md.
sanity: .venv/installed
	$(BIN)/python docs/sanity.py $(RESULTS)/sanity

# The checkpoints that come along, anew: some hours on two cores; see docs/portraits.md.
ENCODER := --preset portrait --optimizer adam --learning-rate 1e-3 --cooldown 0 --steps 1400 --precision bf16 --lpips 0
models: .venv/installed
	$(BIN)/python recipes/portraits/drawn.py $(MODELS)/portraits 24000
	$(BIN)/python recipes/portraits/fit_parser.py $(MODELS)/portraits $(MODELS)/parser
	$(BIN)/python recipes/portraits/fit_generator.py $(MODELS)/portraits $(MODELS)/fit \
	  --parser $(MODELS)/parser/parser.safetensors
	$(BIN)/facesynth prep sample $(MODELS)/raw -n 6000 --seed 2 --size 256
	$(BIN)/facesynth prep masks $(MODELS)/raw --out $(MODELS)/data
	$(BIN)/facesynth prep sketches $(MODELS)/data --out $(MODELS)/data --method xdog --method xdog:ink \
	  --method dodge:pencil --method contours
	$(BIN)/facesynth prep photos $(MODELS)/data --out $(MODELS)/data --size 128
	$(BIN)/facesynth train --data $(MODELS)/data --task seg2face $(ENCODER) \
	  --parser $(MODELS)/parser/parser.safetensors --generator $(MODELS)/fit/generator.safetensors --out $(MODELS)/seg2face
	$(BIN)/facesynth train --data $(MODELS)/data --task sketch2face $(ENCODER) \
	  --parser $(MODELS)/parser/parser.safetensors --generator $(MODELS)/fit/generator.safetensors --out $(MODELS)/sketch2face
	$(BIN)/python recipes/portraits/pack.py $(MODELS)

.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "python3 cannot make a virtual environment: install python3-venv (apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info $(DEMO)
