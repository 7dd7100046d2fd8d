"""Product modules, functions and folders stay small. Tests, migrations and benchmarks are exempt."""

import ast
from collections import Counter
from pathlib import Path

from salesengine.tests.test_imports import ROOT, modules

MAX_MODULE_LINES = 350
MAX_FUNCTION_LINES = 40
MAX_FOLDER_MODULES = 14
MODULES = [Path(file) for file in modules() if Path(file).name != "conftest.py"]


def test_no_module_is_longer_than_350_lines():
    lengths = {str(module): len((ROOT / module).read_text().splitlines()) for module in MODULES}

    assert {module: length for module, length in lengths.items() if length > MAX_MODULE_LINES} == {}


def test_no_function_is_longer_than_40_lines():
    lengths = {
        f"{module}: {node.name}": node.end_lineno - node.lineno + 1
        for module in MODULES
        for node in ast.walk(ast.parse((ROOT / module).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {function: length for function, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_no_folder_has_more_than_14_modules_side_by_side():
    folders = Counter(str(module.parent) for module in MODULES if module.name != "__init__.py")
    crowded = {folder for folder, count in folders.items() if count > MAX_FOLDER_MODULES}

    assert {folder for folder in crowded if not folder.endswith("management/commands")} == set()


def test_no_class_name_stands_for_two_things():
    names = Counter(
        node.name
        for module in MODULES
        for node in ast.parse((ROOT / module).read_text()).body
        if isinstance(node, ast.ClassDef)
    )

    # Django finds commands and database backends by their names.
    assert {name for name, count in names.items() if count > 1} == {"Command", "DatabaseWrapper"}
