# make demo and make test do all set-up on a fresh machine (Python 3.11, a C++ compiler, cmake; about 7 GB).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
export RRG := $(BIN)/rrg
export OMP_NUM_THREADS ?= 2

# llama.cpp without the parts that rrg never calls: a quarter of the build time. Not for this very processor (x86-64 with
# AVX2 instead): pip keeps the wheel whatever the processor and the flags, a shared folder takes it to other nodes, and the
# AMX kernels, as GCC 12 compiles them, stop quantised models at an illegal instruction. Built anew for each environment.
LLAMA := -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF \
  $(if $(filter x86_64,$(shell uname -m)),-DGGML_NATIVE=OFF)

.PHONY: demo test proofs chaos lint venv schemas forms states bench bench-extract bench-parse bench-segment bench-synth bench-score bench-quality bench-consistency bench-infer bench-train bench-pipeline fuzz clean
venv: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rrg needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	python3 -m venv $(VENV)
	CMAKE_BUILD_PARALLEL_LEVEL=$$(nproc) CMAKE_ARGS="$(LLAMA)" $(BIN)/pip install --quiet --no-cache-dir --no-deps -c constraints.txt llama-cpp-python
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: venv  ## phantoms to a trained, exported, scored model: demo-out/
	PATH="$(BIN):$$PATH" $(BIN)/python examples/demo.py demo-out

test: venv lint  ## behaviour, in under 20 minutes on 2 cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not proof and not chaos' -q -n 2 --dist loadfile --max-worker-restart 0

proofs: venv  ## what training teaches, with controls that must fail
	$(BIN)/python -m pytest -m proof -q

chaos: venv  ## 200 faults at random instants, resumed, bytes compared: bench-out/chaos.json; then whole pipes
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.chaos --kills $${KILLS:-200} --seed $${SEED:-0}
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m chaos -q

bench: bench-extract bench-parse bench-segment bench-synth bench-score  ## everything measured side by side: bench-out/, and the tables

bench-extract: venv  ## extract-slices beside dcm2niix, nibabel, Pillow, pydicom, SimpleITK; under 6 minutes on 2 cores
	$(BIN)/python -m compileall -q rrg commands  # as pip installs them
	$(BIN)/python -m tests.bench.extract

bench-parse: venv  ## parse-reports: sentences per second, and beside medspaCy's ConText (in an environment of its own)
	$(BIN)/python -m tests.bench.parse

bench-synth: venv  ## synth-vqa and synth-ground: slices per second on one core
	$(BIN)/python -m tests.bench.synth

bench-quality: venv  ## swaps of two labels that the quality gates find, all pairs of four real volumes; 20 minutes
	$(BIN)/python -m tests.bench.quality

bench-score: venv  ## score: box AP beside pycocotools, 100,000 items with intervals beside the parsing of their JSON
	$(BIN)/python -m tests.bench.score

bench-consistency: venv  ## planted rates of wrong slices and sides beside those that are estimated; two hours
	$(BIN)/python -m tests.bench.consistency

bench-train: venv  ## the text stage of train beside a plain loop over ready tensors: tokens per second, waiting
	$(BIN)/python -m tests.bench.train

bench-infer: venv  ## infer with llama.cpp beside llama-cpp-python called directly; pictures encoded per slice
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.bench.infer

bench-pipeline: venv  ## a recipe beside its slowest stage, one with nothing to do, memory of 500 studies beside 50; 12 minutes
	$(BIN)/python -m tests.bench.pipeline

bench-segment: venv  ## segment beside TotalSegmentator's own function, tiny networks: time, memory, later volumes
	$(BIN)/python -m tests.bench.segment

fuzz: venv  ## ten minutes of damaged files into extract-slices
	$(BIN)/python -m tests.fuzz --minutes 10 --seed $${SEED:-1} --keep fuzz-out

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

schemas: venv  ## write rrg/schemas/ from the record types
	$(BIN)/python -c 'import pathlib, rrg.codec as c; [pathlib.Path("rrg/schemas", n).write_text(t) for n, t in c.schema_files()]'

states: venv  ## write the table of what was run, simulated and never run into the README
	$(BIN)/python -c 'import pathlib, rrg.states as d; p = pathlib.Path("README.md"); p.write_text(d.put_into(p.read_text()))'

forms: venv  ## write docs/forms.de.md, the German forms of every structure and template
	$(BIN)/python -m tests.forms_table > docs/forms.de.md

clean:
	rm -rf demo-out bench-out real-out fuzz-out
