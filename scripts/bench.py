"""
Measure Beethoven against plain Python; `scripts/bench --help` has the options.

Nothing is imported here: the children of the baselines run this file again, as `multiprocessing`
has it, and are to stay as light as they can be.
"""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path[0] = str(Path(__file__).resolve().parent.parent)

    if sys.argv[1:2] == ["peers"]:
        from scripts.benchmarks.peers.command import main

        sys.exit(main(sys.argv[2:]))
    from scripts.benchmarks.command import main

    sys.exit(main(sys.argv[1:]))
