# Everything runs in .venv, which the first target to need it makes.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo

.PHONY: demo test check real parity pictures clean

demo: .venv/installed
	$(BIN)/facesynth prep sample $(DEMO)/raw -n 500
	$(BIN)/facesynth prep masks $(DEMO)/raw --out $(DEMO)/data
	$(BIN)/facesynth prep sketches $(DEMO)/data --out $(DEMO)/data --method xdog
	$(BIN)/facesynth train --data $(DEMO)/data --task seg2face --train-generator --out $(DEMO)/run
	$(BIN)/facesynth translate $(DEMO)/data --checkpoint $(DEMO)/run --out $(DEMO)/faces --sheet
	$(BIN)/facesynth translate $(DEMO)/data --checkpoint $(DEMO)/run --out $(DEMO)/styles --samples 5 --sheet
	@cat docs/after-the-demo.txt

test: .venv/installed
	$(BIN)/python -m pytest

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Needs the research-only sample; see CONTRIBUTING.md.
real: .venv/installed
	$(BIN)/python -m pytest -m real -s

# Needs outputs of the published code; see CONTRIBUTING.md.
parity: .venv/installed
	$(BIN)/python -m pytest -m parity -s

# The README's pictures, from what the demo left.
pictures: .venv/installed
	$(BIN)/python docs/pictures.py $(DEMO)

.venv/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo "python3 cannot make a virtual environment: install python3-venv (apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info $(DEMO)
