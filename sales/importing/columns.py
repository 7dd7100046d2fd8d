"""Map the column names of a file to the fields of an event."""

from collections.abc import Iterable, Sequence
from typing import Any

from sales.importing.sources import ImportFileError
from sales.ingest.fields import FIELDS
from sales.ingest.schema import NotJSON

REQUIRED = {name for name, field in FIELDS.items() if field.is_required}


class ColumnMapping:
    """Map column names to event fields. Case and surrounding spaces are ignored; `--map` adds names."""

    def __init__(self, mappings: Iterable[str] = ()) -> None:
        """Read mappings such as "theirs=OURS", or "theirs=" to drop a column. Raises ValueError."""
        self.mapped: dict[str, str | None] = {}
        for mapping in mappings:
            theirs, sign, ours = mapping.rpartition("=")
            name, field = _normalize(theirs), _normalize(ours)
            if not sign or not name:
                raise ValueError(f"{mapping!r} must have the form THEIRS=OURS")
            if field and field not in FIELDS:
                raise ValueError(f"{ours!r} is not a field of a sale event; the fields are {_join(FIELDS)}")
            if name in self.mapped:
                raise ValueError(f"{theirs!r} is mapped twice")
            self.mapped[name] = field or None

    def __str__(self) -> str:
        """Return the same text for the same mappings, whatever their order and case."""
        return " ".join(f"{theirs}={ours or ''}" for theirs, ours in sorted(self.mapped.items()))

    def field(self, name: str) -> str | None:
        """Return the field of a column: None for a dropped column, the name itself for an unknown one."""
        normalized = _normalize(name)
        return self.mapped.get(normalized, normalized if normalized in FIELDS else name)

    def header_fields(self, names: Sequence[str]) -> list[str | None]:
        """Return the field of each column of a header, None for dropped columns. Raises ImportFileError."""
        fields = [self.field(name) for name in names]
        for index, (name, field) in enumerate(zip(names, fields, strict=True)):
            if field is not None and field not in FIELDS:
                raise ImportFileError(
                    f"cannot be imported: the column {name!r:.80} is not a field of a sale event; map it with "
                    f"--map '{name:.80}=OURS' or drop it with --map '{name:.80}='; the fields are {_join(FIELDS)}"
                )
            if field is not None and field in fields[:index]:
                first = names[fields.index(field)]
                raise ImportFileError(f"cannot be imported: the columns {first!r} and {name!r} both map to {field}")
        if missing := REQUIRED - set(fields):
            raise ImportFileError(
                f"cannot be imported: no column maps to {_join(missing)}; map one with --map THEIRS=OURS"
            )
        return fields

    def rename(self, value: Any) -> Any:
        """Return a parsed JSON object with our field names, or a NotJSON when two names mean the same field."""
        if not isinstance(value, dict) or (not self.mapped and value.keys() <= FIELDS.keys()):
            return value
        renamed: dict[str, Any] = {}
        for name, content in value.items():
            field = self.field(name)
            if field in renamed:
                return NotJSON(f"has {field} twice, under different names")
            if field is not None:
                renamed[field] = content
        return renamed


def _normalize(name: str) -> str:
    return name.strip().upper()


def _join(fields: Iterable[str]) -> str:
    """List fields in the order of an event."""
    wanted = set(fields)
    return ", ".join(field for field in FIELDS if field in wanted)
