"""Options, minibatches and the parser as files of the reference expect them; what lacks gives one line."""

from argparse import ArgumentError, ArgumentParser, Namespace
from typing import Any

from util.errors import UsageError
from util.reference_files import in_one_line


class Missing(UsageError, AttributeError, KeyError):
    """An option or a key of a minibatch that a file asks for, and that is not there."""


class ReferenceOptions(Namespace):
    """The options as the reference has them; a name that no flag has is one line."""

    def __getattr__(self, name: str) -> Any:
        raise Missing(f"a file written for the reference asks for the option {name}, which no flag of ours "
                      "or of its own sets: add it in its modify_commandline_options")


class ReferenceBatch(dict):
    """A minibatch; a key that the data set does not give is one line."""

    def __missing__(self, key: str) -> Any:
        raise Missing(f"the model asks the data for {key!r}, but a minibatch holds "
                      f"{', '.join(map(str, self))} alone: choose the --dataset_mode that gives it; "
                      "--evaluation_freq 0 where it is the test split that lacks it")


class ReferenceParser:
    """The parser for a file's flags: of a flag that is ours already, its default alone is taken over."""

    def __init__(self, parser: ArgumentParser):
        self._parser = parser

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def add_argument(self, *names: str, **settings: Any) -> Any:
        try:
            return self._parser.add_argument(*names, **settings)
        except ArgumentError:
            if "default" in settings:
                self._parser.set_defaults(**{names[-1].lstrip("-"): settings["default"]})
            return None


class OfFile:
    """What the adapters of models and of data sets share: the class of a file that they stand for."""

    package: str        # models or data
    written: type[Any]

    @classmethod
    def file(cls) -> str:
        """The file, from the project's folder on, as messages name it."""
        return f"{cls.package}/{cls.written.__module__.split('.')[-1]}.py"

    @classmethod
    def modify_commandline_options(cls, parser: ArgumentParser, is_train: bool) -> ArgumentParser:
        with in_one_line(cls.file()):
            cls.written.modify_commandline_options(ReferenceParser(parser), is_train)
        return parser


def reference_options(opt: Namespace) -> ReferenceOptions:
    """opt by the reference's conventions: gpu_ids is a list, pix2pix's norm is --normG, there is no apex."""
    gpu_ids = [opt.device.index or 0] if opt.device.type == "cuda" else []
    return ReferenceOptions(**{"norm": opt.normG, "amp": False} | vars(opt) | {"gpu_ids": gpu_ids})
