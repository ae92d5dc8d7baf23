# `make` lists the commands. Each installs what it needs first, once, and as root the first time.
MAKEFLAGS += --no-print-directory
# Tests start hundreds of Python programs: each would compile all it imports where the environment forbids to keep that.
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python
INSTALLED := .venv/.installed-$(shell cat uv.lock pyproject.toml .ci/bootstrap $(sort $(shell find src -name '*.[ch]')) | sha256sum | cut -c1-16)
ROOT := @[ "$$(id -u)" -eq 0 ] || { echo "make $(MAKECMDGOALS): needs root, for network namespaces and Open vSwitch"; exit 1; }

.PHONY: help lab test lint format mutants fuzz oracle policy-cases conformance bench-api bench-port bench-limits bench-switch \
	bench-flow bench-policy chaos kernel hypervisor guest clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{printf "make %-12s %s\n", $$1, $$2}'

lab: $(INSTALLED) ## a cloud on this machine and a guided tour of it; ARGS=--exit ends after the tour
	$(ROOT)
	@.venv/bin/suimon lab tour $(ARGS)

test: $(INSTALLED) ## all tests; one: make test ARGS="tests/test_tidy.py -k root"
	$(ROOT)
	@$(PY) -m pytest $(or $(ARGS),--numprocesses $(shell expr $$(nproc) + 1))

lint: $(INSTALLED) ## style, types, import contracts, tidiness
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .
	@$(PY) -m mypy --no-error-summary src/suimon
	@.venv/bin/lint-imports --no-logo
	@$(PY) -m pytest -qq tests/test_tidy.py tests/test_architecture.py

format: $(INSTALLED) ## rewrite the code as `make lint` wants it
	@.venv/bin/ruff format --quiet .
	@.venv/bin/ruff check --quiet --fix .

mutants: $(INSTALLED) ## break one stage, check or rule at a time: a test must notice; ARGS=--sample for a few
	@$(PY) -m tests.mutants $(ARGS)

fuzz: $(INSTALLED) ## 100,000 inputs to each parser of what guests, exporters and operators send; ARGS="--inputs 5000 --seed 7 dhcp"
	@$(PY) -m tests.fuzz $(ARGS)

oracle: $(INSTALLED) ## random clouds: is each packet's fate what the API's resources say? ARGS="--examples 500 --seed 7 --switch"
	@$(PY) -m tests.oracle $(ARGS)

policy-cases: $(INSTALLED) ## the policy language, case by case; others than tests/policy/cases: CASES=FILE
	@$(PY) -m tests.policy.run_cases $(CASES)

conformance: $(INSTALLED) ## tempest's network tests against a fresh controller; LIST=FILE, DB=postgresql, ARGS="--regex RE"
	@$(PY) -m tests.conformance $(if $(LIST),--list $(LIST)) $(if $(DB),--database $(DB)) $(ARGS)

bench-api: $(INSTALLED) ## what the API costs beside Neutron; ARGS="--ports 20000", "--neutron URL"
	@$(PY) bench/api.py $(ARGS)

bench-port: $(INSTALLED) ## from POST of a port to its guest's first packet, and in clouds of 0 to 20,000 ports; ARGS="--ports 1000 --ovn"
	$(ROOT)
	@$(PY) bench/port.py
	@$(PY) bench/scale.py $(ARGS)

bench-limits: $(INSTALLED) ## limits against what gets through, each way, in a lab; ARGS="--kbps 50000 --json"
	$(ROOT)
	@.venv/bin/suimon selftest limits $(ARGS)

bench-switch: $(INSTALLED) ## packets, connections and pings through the pipeline beside a plain bridge; ARGS="--only tunnel"
	$(ROOT)
	@.ci/bootstrap iperf3
	@$(PY) bench/switch.py $(ARGS)

bench-flow: $(INSTALLED) ## flow records: CPU, losses, sums, history, attacks found, beside nfdump, pmacct, FastNetMon; ARGS="--only v9 --rate 400000"
	$(ROOT)
	@.ci/bootstrap nfdump nfdump-sflow pmacct fastnetmon
	@$(PY) bench/flow.py $(ARGS)
	@$(PY) bench/flow_kept.py
	@$(PY) bench/flow_found.py
	@$(PY) bench/flow_found.py --active-s 10

bench-policy: $(INSTALLED) ## violations in a cloud of 50,000 ports, at once and change by change, beside DuckDB, clingo; ARGS="--scale 0.1"
	@$(PY) -m bench.policy $(ARGS)

chaos: $(INSTALLED) ## kill and cut everything under traffic and changes; ARGS="--seconds 60 --store postgresql"
	$(ROOT)
	@$(PY) -m tests.chaos $(ARGS)

# Not flow_records and second_look, as DuckDB needs AVX2, which the emulated machine lacks.
KERNEL := dataplane conntrack packets ipv6 tunnel_packets trunk_packets ecmp_packets path_mtu local_ips hostile trace connections \
	agent hitless services random addresses6 drift host_failures limits looks restrictions unit
kernel: $(INSTALLED) ## tests of the switch on Debian's kernel, emulated: production's datapath; one: ARGS=tests/system/test_ipv6.py
	$(ROOT)
	@tests/kernel/boot .venv/bin/python -u -m pytest -p no:cacheprovider -o faulthandler_timeout=0 --color=no -vv \
		$(or $(ARGS),$(KERNEL:%=tests/system/test_%.py))

hypervisor: $(INSTALLED) ## a lab where one hypervisor is an emulated machine with the kernel's datapath, among others without
	$(ROOT)
	@$(PY) -m pytest -o faulthandler_timeout=0 tests/kernel/hypervisor.py $(ARGS)

guest: $(INSTALLED) ## a virtual machine boots in a lab, finds its addresses and metadata, and is reached by floating IP
	$(ROOT)
	@$(PY) -m pytest -o faulthandler_timeout=0 tests/kernel/guest.py $(ARGS)

clean: ## remove what these commands made in this folder
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find src -name 'lib*.so' -delete
	@find src tests bench -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(INSTALLED):
	@.ci/bootstrap
	@rm -f .venv/.installed-*
	@touch $@
