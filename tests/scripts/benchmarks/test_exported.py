"""Times of exported generators: by turns, with a first call that does not count, as ratios of each round."""

from scripts import benchmark
from scripts.benchmarks.exported import rows, time_by_turns


def test_calls_take_turns_and_the_first_does_not_count():
    now, called = [0.0], []

    def call(name: str, seconds: float) -> None:
        now[0] += 100 if name not in called else seconds
        called.append(name)

    found = time_by_turns({"a": lambda: call("a", 2), "b": lambda: call("b", 3)}, 3, lambda: now[0])
    assert found == {"a": [2] * 3, "b": [3] * 3} and called == ["a", "b"] * 4


def test_ratios_are_of_the_same_round():
    """A machine that is ten times slower in the second round changes no ratio: 2, 3 and 4."""
    lines = rows({"PyTorch": [1.0, 10.0, 1.0], "made.onnx": [2.0, 30.0, 4.0]})
    assert lines[0].split() == ["PyTorch", "1.000", "s", "x", "1.00", "(1.00", "to", "1.00)"]
    assert lines[1].split() == ["made.onnx", "4.000", "s", "x", "3.00", "(2.00", "to", "4.00)"]


def test_the_command_line():
    args = benchmark.parse(["exported", "run", "a.onnx", "b.pt2", "--size", "64"])
    benchmark.check(args)
    assert [path.name for path in args.files] == ["a.onnx", "b.pt2"] and args.size == 64
