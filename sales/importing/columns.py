"""Map the column names of a file to the fields of an event or of a correction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sales.importing.sources import ImportFileError
from sales.ingest.fields import FIELDS
from sales.ingest.schema import NotJSON

REQUIRED = {name for name, field in FIELDS.items() if field.is_required}


class ColumnMapping:
    """Map column names to fields. Case and surrounding spaces are ignored; `--map` adds names."""

    def __init__(
        self,
        mappings: Iterable[str] = (),
        *,
        fields: Collection[str] = FIELDS,
        required: Collection[str] = REQUIRED,
        thing: str = "a sale event",
    ) -> None:
        """Read mappings such as "theirs=OURS", or "theirs=" to drop a column. Raises ValueError.

        `fields` are the fields of a `thing`. A column must map to each `required` one.
        """
        self.fields, self.known, self.required, self.thing = fields, frozenset(fields), frozenset(required), thing
        self.mapped: dict[str, str | None] = {}
        for mapping in mappings:
            theirs, sign, ours = mapping.rpartition("=")
            name, field = _normalize(theirs), _normalize(ours)
            if not sign or not name:
                raise ValueError(f"{mapping!r} must have the form THEIRS=OURS")
            if field and field not in self.known:
                raise ValueError(f"{ours!r} is not a field of {thing}; the fields are {self._join(fields)}")
            if name in self.mapped:
                raise ValueError(f"{theirs!r} is mapped twice")
            self.mapped[name] = field or None

    def __str__(self) -> str:
        """Return the same text for the same mappings, whatever their order and case."""
        return _as_text(self.mapped)

    def applied(self, names: Iterable[str] | None) -> str:
        """Return the mappings that change a file with these columns, as text. None: the columns are not known."""
        present = self.mapped.keys() if names is None else set(map(_normalize, names))
        return _as_text({name: field for name, field in self.mapped.items() if name in present and field != name})

    def field(self, name: str) -> str | None:
        """Return the field of a column: None for a dropped column, the name itself for an unknown one."""
        normalized = _normalize(name)
        return self.mapped.get(normalized, normalized if normalized in self.known else name)

    def header_fields(self, names: Sequence[str]) -> list[str | None]:
        """Return the field of each column of a header, None for dropped columns. Raises ImportFileError."""
        fields = [self.field(name) for name in names]
        for index, (name, field) in enumerate(zip(names, fields, strict=True)):
            if field is not None and field not in self.known:
                raise ImportFileError(
                    f"cannot be imported: the column {name!r:.80} is not a field of {self.thing}; map it with "
                    f"--map '{name:.80}=OURS' or drop it with --map '{name:.80}='; "
                    f"the fields are {self._join(self.fields)}"
                )
            if field is not None and field in fields[:index]:
                first = names[fields.index(field)]
                raise ImportFileError(f"cannot be imported: the columns {first!r} and {name!r} both map to {field}")
        if missing := self.required - set(fields):
            raise ImportFileError(
                f"cannot be imported: no column maps to {self._join(missing)}; map one with --map THEIRS=OURS"
            )
        return fields

    def rename(self, value: Any) -> Any:
        """Return a parsed JSON object with our field names, or a NotJSON when two names mean the same field."""
        if not isinstance(value, dict) or (not self.mapped and value.keys() <= self.known):
            return value
        renamed: dict[str, Any] = {}
        for name, content in value.items():
            field = self.field(name)
            if field in renamed:
                return NotJSON(f"has {field} twice, under different names")
            if field is not None:
                renamed[field] = content
        return renamed

    def _join(self, names: Iterable[str]) -> str:
        """List fields in their usual order."""
        wanted = set(names)
        return ", ".join(field for field in self.fields if field in wanted)


def _as_text(mapped: Mapping[str, str | None]) -> str:
    return " ".join(f"{theirs}={ours or ''}" for theirs, ours in sorted(mapped.items()))


def _normalize(name: str) -> str:
    return name.strip().upper()
