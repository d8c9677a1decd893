# Set-up, tests, demonstration and benchmarks. Every target does its own set-up, once.
#
#   make demo [BAG=recording QUERY=recording]    a map, and a robot that finds itself in it
#   make test [TESTS=test/geometry] [WORKERS=2]  the whole suite, or a part
#   make benchmark                               stage times, accuracy, map size
#   make setup [EXTRAS="test deep"]              .venv alone

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?=
TESTS ?= test
WORKERS ?= 2
BAG ?=
QUERY ?=

SET_UP = $(PYTHON) tools/set_up.py --venv $(VENV)

.PHONY: help setup test demo benchmark clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

setup:
	@$(SET_UP) $(addprefix --extra ,$(EXTRAS))

test:
	@$(SET_UP) --extra test --extra deep
	$(VENV)/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

demo:
	@$(SET_UP)
	$(VENV)/bin/hloc-localizer demo $(if $(BAG),--bag "$(BAG)") $(if $(QUERY),--query "$(QUERY)")

benchmark:
	@$(SET_UP)
	$(VENV)/bin/python -m benchmarks

clean:
	rm -rf $(VENV) build install log dist
