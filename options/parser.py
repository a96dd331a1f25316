"""An ArgumentParser that reads one argv in several passes and says what is wrong in one line."""

import argparse
import difflib
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from util.errors import UsageError
from util.flags import str2bool

# What JSON can hold for a flag whose default is of a type.
SAME_KIND = {bool: (bool,), int: (int,), float: (int, float), str: (str,)}
TYPED = {str2bool: bool, int: int, float: float}    # what comes of a flag's text


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults behind every flag's help, but for those that say nothing."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=34, width=110)

    def _get_help_string(self, action: argparse.Action) -> str:
        if "default" in action.help or action.default in (None, "") or action.default is False:
            return action.help
        return super()._get_help_string(action)


class OptionParser(argparse.ArgumentParser):
    """Flags are added in passes: the base's, the model's, the data set's; each pass looks at the same argv.

    `parse_known_args()` without arguments reads that argv, so that a plug-in can ask what was typed so far.
    Flags are not abbreviated: a pass that does not know all of them yet would guess wrong.
    """

    def __init__(self, argv: Sequence[str] | None = None, **settings):
        self._section = None
        super().__init__(formatter_class=HelpFormatter, add_help=False, allow_abbrev=False, **settings)
        self.argv = list(sys.argv[1:] if argv is None else argv)

    def section(self, title: str) -> None:
        """Flags added from here on stand under this title in --help."""
        self._section = self.add_argument_group(title)

    def names(self, title: str) -> set[str]:
        """The options that stand under a title."""
        return {action.dest for group in self._action_groups if group.title == title
                for action in group._group_actions}

    def add_argument(self, *names, **settings):
        if self._section is None:
            return super().add_argument(*names, **settings)
        return self._section.add_argument(*names, **settings)

    def parse_known_args(self, args=None, namespace=None):
        return super().parse_known_args(self.argv if args is None else args, namespace)

    def peek(self, name: str) -> str:
        """The value of one option as far as the flags known so far tell."""
        return getattr(self.parse_known_args()[0], name)

    def stand_in(self, recorded: dict[str, Any], source: Path) -> None:
        """Let recorded values take the place of the defaults of the flags known so far.

        Names that no flag has are passed over. Raises UsageError for a value that its flag cannot have.
        """
        for action in self._actions:
            if action.dest not in recorded:
                continue
            value, default = recorded[action.dest], action.default
            kind = TYPED.get(action.type, str) if default is None else type(default)
            kinds = SAME_KIND.get(kind, object)
            if not (value is None and default is None or isinstance(value, kinds)
                    and isinstance(value, bool) == (kinds == (bool,))
                    and (action.choices is None or value in action.choices)):
                raise UsageError(f"{source} holds {value!r} for --{action.dest}, which cannot be; mend or "
                                 "remove that file")
            self.set_defaults(**{action.dest: value})

    def parse_all(self) -> Namespace:
        """The last pass: --help works; a flag that nobody knows is an error that names the nearest one."""
        super().add_argument("-h", "--help", action="help", help="show this and exit")
        opt, unknown = self.parse_known_args()
        if unknown:
            raise UsageError(self._unknown(unknown[0].split("=")[0]))
        return opt

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r} belongs to no flag; quote a value that holds spaces"
        near = difflib.get_close_matches(word, self._option_string_actions, n=1)
        hint = f"; did you mean {near[0]}?" if near else " (--help lists all flags)"
        return f"there is no flag {word}{hint}"

    def typed(self) -> set[str]:
        """The names of the options that were typed, as opposed to those left at their defaults."""
        untouched = object()
        blank = Namespace(**{action.dest: untouched for action in self._actions})
        found, _ = self.parse_known_args(namespace=blank)
        return {name for name, value in vars(found).items() if value is not untouched}

    def error(self, message: str) -> None:
        raise UsageError(f"{message.removeprefix('argument ')} (--help lists all flags)")
