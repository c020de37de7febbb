# What people do here. `make demo` and `make test` need nothing but Python 3.11 or newer: they make
# `.venv` themselves, and again only when pyproject.toml or constraints.txt change.
#
#   make demo       pre-train, adapt, measure, and a page to look at, in under ten minutes;
#                   DATA=core takes the larger set of recordings
#   make test       the default suite, at most twelve minutes on two cores
#   make test-all   the default suite, then everything slow
#   make bench      speed and memory beside the best-known peers
#   make evidence   run what the table of systems rests on, and record it
#   make docs       write what is generated (docs/, tables in README.md), and the site: site/index.html

PYTHON ?= python3
DATA ?= mini
BIN := .venv/bin
# what the reference shows; recipes and verbs explain themselves on the command line
REFERENCE := sonograph $(addprefix sonograph., outputs registry weights hub estimators config errors audio \
  data text infer train nn losses metrics systems exports scale serve report records)
STAMP := .venv/installed
EXTRAS := train,plot,probe,g722,hub,midi,speech,rooms,search,serve,export,cluster,docs,test,parity

.PHONY: install demo test test-slow test-all lint bench evidence docs clean

install: $(STAMP)

# torch first and alone, so that nothing else chooses it.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Sonograph needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@rm -f $@
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]' -c constraints.txt
	@$(BIN)/python -c 'import sys; from importlib.util import find_spec; \
	  found = [n for n in ("torchaudio", "torchvision", "torchcodec") if find_spec(n)]; \
	  sys.exit("these break other imports, remove them: " + " ".join(found) if found else 0)'
	@touch $@

demo: $(STAMP)
	$(BIN)/sonograph demo --data $(DATA)

test: $(STAMP)
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

test-all: test test-slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/sonograph bench

evidence: $(STAMP)
	$(BIN)/python -m tests.evidence exact

docs: $(STAMP)
	$(BIN)/python -m sonograph.atlas.pages
	$(BIN)/sphinx-build -q -W --keep-going -b html docs site
	PYTHONWARNINGS=ignore $(BIN)/pdoc --docformat google --output-directory site/reference $(REFERENCE)
	@echo "site/index.html"

# What was built; never data, runs or records.
clean:
	rm -rf .venv build dist site .pytest_cache .hypothesis .mypy_cache .ruff_cache src/*.egg-info
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
