"""Plug-ins by the names of their files."""

import itertools

import pytest

from util.errors import UsageError
from util.plugins import available, find_class

PACKAGE = (f"zoo_{number}" for number in itertools.count())
FILES = {"__init__.py": "", "base_animal.py": "class BaseAnimal: pass", "helper.py": "",
         "red_fox_animal.py": "from dataclasses import dataclass\nclass Fox: pass\nclass RedFoxAnimal: pass",
         "owl_animal.py": "class OWLAnimal: pass", "empty_animal.py": "OWLAnimal = 3",
         "broken_animal.py": "import a_module_that_is_not_there"}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    name = next(PACKAGE)
    (tmp_path / name).mkdir()
    for file, text in FILES.items():
        (tmp_path / name / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_what_lies_in_the_folder_is_available(zoo):
    assert available(zoo, "animal") == ["broken", "empty", "owl", "red_fox"]


def test_letter_case_and_underscores_do_not_matter(zoo):
    assert find_class(zoo, "animal", "red_fox", "--animal").__name__ == "RedFoxAnimal"
    assert find_class(zoo, "animal", "owl", "--animal").__name__ == "OWLAnimal"


@pytest.mark.parametrize("name", ["cat", "base", "", "red-fox", "../owl", "owl_animal", "red_fox.Fox"])
def test_what_is_not_there_lists_what_is(zoo, name):
    with pytest.raises(UsageError) as error:
        find_class(zoo, "animal", name, "--animal")
    assert str(error.value) == (f"--animal is {name!r}, but there is no {zoo}/{name}_animal.py; "
                                "choose one of broken, empty, owl, red_fox")


def test_a_file_without_its_class_is_named(zoo):
    with pytest.raises(UsageError, match=rf"{zoo}/empty_animal.py holds no class like 'emptyanimal'"):
        find_class(zoo, "animal", "empty", "--animal")


def test_a_fault_in_the_plug_in_is_shown_as_it_is(zoo):
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        find_class(zoo, "animal", "broken", "--animal")
