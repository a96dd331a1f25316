"""An ArgumentParser that reads one command line in several passes and says what is wrong in one line."""

import argparse
import difflib
import math
import re
import sys
from argparse import Action, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from util.errors import UsageError
from util.flags import Number, str2bool, switch

# What JSON may hold for a flag whose values are of a type, and that type where a flag's default is None.
JSON_KINDS = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}
KIND_OF_TYPE = {str2bool: bool, switch: bool, int: int, float: float}


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a flag's default behind its help, unless the help names it or it says nothing."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=34, width=110)

    def _get_help_string(self, action: Action) -> str:
        if "default" in action.help or action.default in (None, "") or action.default is False:
            return action.help
        return super()._get_help_string(action)


class OptionParser(argparse.ArgumentParser):
    """Flags are added in passes: the base's, the model's, the data set's; each pass looks at the same argv.

    `parse_known_args()` without arguments reads that argv, so that a plug-in can ask what was typed so far.
    Flags are not abbreviated: a pass that does not know all of them yet would guess wrong.

    architecture, for_translation, per_run: the names of the flags that were added with these facts.
    expected: values that take the place of the defaults of flags as they are added (--config), by name, and
    the file that they come from.
    """

    def __init__(self, argv: Sequence[str] | None = None, **settings):
        super().__init__(formatter_class=HelpFormatter, add_help=False, allow_abbrev=False, **settings)
        self.argv = list(sys.argv[1:] if argv is None else argv)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # argparse's, which takes -50:50 for a flag
        self.architecture: set[str] = set()
        self.for_translation: set[str] = set()
        self.per_run: set[str] = set()
        self.expected: tuple[Mapping[str, Any], Path] = {}, Path()
        self._section, self._section_for_translation = None, False

    def section(self, title: str, *, for_translation: bool = False) -> None:
        """Begin a section of --help; for_translation holds for all flags that are added to it."""
        self._section, self._section_for_translation = self.add_argument_group(title), for_translation

    def add_argument(self, *names: str, architecture: bool = False, for_translation: bool = False,
                     per_run: bool = False, **settings: Any) -> Action:
        """Add a flag as argparse does, with facts about it.

        architecture: it decides what the networks are, so a run cannot be resumed with another value.
        for_translation: test.py takes it from the run; always so for what decides the architecture.
        per_run: a resumed run does not take it over, such as --name or --gpu_ids.
        """
        add = super().add_argument if self._section is None else self._section.add_argument
        action = add(*names, **settings)
        if architecture:
            self.architecture.add(action.dest)
        if architecture or for_translation or self._section_for_translation:
            self.for_translation.add(action.dest)
        if per_run:
            self.per_run.add(action.dest)
        elif action.dest in self.expected[0]:
            self._take(action, *self.expected)
        return action

    def parse_known_args(self, args=None, namespace=None):
        return super().parse_known_args(self.argv if args is None else args, namespace)

    def peek(self, name: str) -> Any:
        """The value of one option as far as the flags known so far tell."""
        return getattr(self.parse_known_args()[0], name)

    def stand_in(self, recorded: Mapping[str, Any], source: Path) -> None:
        """Let recorded values take the place of the defaults of the flags known so far.

        Names that no flag has are passed over. Raises UsageError for a value that its flag cannot have.
        """
        for action in self._actions:
            if action.dest in recorded:
                self._take(action, recorded, source)

    def _take(self, action: Action, recorded: Mapping[str, Any], source: Path) -> None:
        value = recorded[action.dest]
        if not may_hold(action, value):
            wish = f"must be {action.type.wish}" if isinstance(action.type, Number) else "cannot be"
            raise UsageError(f"{source} holds {value!r} for --{action.dest}, which {wish}; mend or "
                             "remove that file")
        self.set_defaults(**{action.dest: value})

    def set_known_defaults(self, values: Mapping[str, Any]) -> None:
        """Other defaults, for those of these flags that are known so far."""
        known = {action.dest for action in self._actions}
        self.set_defaults(**{name: value for name, value in values.items() if name in known})

    def parse_all(self) -> Namespace:
        """The last pass: --help works; a flag that nobody knows is an error that names the nearest one."""
        super().add_argument("-h", "--help", action="help", help="show this and exit")
        opt, unknown = self.parse_known_args()
        if unknown:
            raise UsageError(self.unknown(unknown[0].split("=")[0]))
        self._check_numbers(opt)
        return opt

    def _check_numbers(self, opt: Namespace) -> None:
        """Raise UsageError for a default out of bounds, which argparse does not check, and for any NaN."""
        types = {action.dest: action.type for action in self._actions}
        for name, values in vars(opt).items():
            for value in values if isinstance(values, list) else [values]:
                kind = types.get(name)
                if isinstance(kind, Number) and value is not None and not kind.allows(value):
                    raise UsageError(f"--{name} is {value}; it must be {kind.wish}")
                if isinstance(value, float) and math.isnan(value):
                    raise UsageError(f"--{name} is nan; it must be a number")

    def unknown(self, word: str) -> str:
        """What to say of a word that is no flag."""
        if not word.startswith("-"):
            return f"{word!r} belongs to no flag; quote a value that holds spaces"
        flags = {flag.lower(): flag for flag in self._option_string_actions}
        near = difflib.get_close_matches(word.lower(), flags, n=1)
        hint = f"; did you mean {flags[near[0]]}?" if near else " (--help lists all flags)"
        return f"there is no flag {word}{hint}"

    def typed(self) -> set[str]:
        """The names of the options that were typed, as opposed to those left at their defaults."""
        untouched = object()
        blank = Namespace(**{action.dest: untouched for action in self._actions})
        found, _ = self.parse_known_args(namespace=blank)
        return {name for name, value in vars(found).items() if value is not untouched}

    def error(self, message: str) -> None:
        """Raise UsageError. The types of util.flags say "is 0; ...", which follows a name without a colon."""
        message = message.removeprefix("argument ").replace(": is ", " is ", 1)
        raise UsageError(f"{message} (--help lists all flags)")


def may_hold(action: Action, value: Any) -> bool:
    """Whether a flag may have a value that was read from JSON."""
    if value is None:
        return action.default is None or action.type is switch
    if isinstance(action.type, Number):
        return all(map(action.type.allows, value if isinstance(value, list) else [value]))
    kind = KIND_OF_TYPE.get(action.type, str) if action.default is None else type(action.default)
    kinds = JSON_KINDS.get(kind, (object,))
    return (isinstance(value, kinds) and isinstance(value, bool) == (kind is bool)
            and (action.choices is None or value in action.choices))

