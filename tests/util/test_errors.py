"""How a program ends: exit code and one line on stderr."""

import pytest

from util.errors import DataError, RunError, UsageError, run_command


def ended(error: BaseException) -> int:
    def main():
        raise error
    with pytest.raises(SystemExit) as exit_:
        run_command(main)
    return exit_.value.code


@pytest.mark.parametrize("error, code", [(UsageError("no"), 2), (RunError("no"), 1), (DataError("no"), 1),
                                         (OSError(28, "No space left on device"), 1)])
def test_errors_have_exit_codes(capsys, error, code):
    assert ended(error) == code
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and str(error) in err


def test_a_message_is_one_line(capsys):
    ended(UsageError("first\n   second"))
    assert capsys.readouterr().err.endswith(": error: first second\n")


def test_the_traceback_is_shown_on_demand(capsys, monkeypatch):
    monkeypatch.setenv("CUT_TRACEBACK", "1")
    ended(UsageError("no"))
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_no_error(capsys):
    assert ended(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_the_program_keeps_its_traceback():
    def main():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        run_command(main)


def test_a_program_that_ends_well_says_nothing(capsys):
    run_command(lambda: None)
    assert capsys.readouterr() == ("", "")
