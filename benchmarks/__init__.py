"""How fast, against what else there is. `python -m benchmarks --help` says what can be measured."""
