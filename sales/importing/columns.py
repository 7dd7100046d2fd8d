"""What the columns of a file are called, and which field of an event each of them is."""

from collections.abc import Iterable, Sequence
from typing import Any

from sales.ingest.fields import FIELDS
from sales.ingest.schema import NotJSON

REQUIRED = {name for name, field in FIELDS.items() if field.is_required}


class Columns:
    """Their names -> our fields: in any case, with blanks around them, and as `--map` says."""

    def __init__(self, mappings: Iterable[str] = ()) -> None:
        """`mappings` are "theirs=OURS", or "theirs=" for a column to drop. Raises ValueError, in plain words."""
        self.mapped: dict[str, str | None] = {}
        for mapping in mappings:
            theirs, sign, ours = mapping.rpartition("=")
            name, field = _plain(theirs), _plain(ours)
            if not sign or not name:
                raise ValueError(f"{mapping!r} is not of the form theirs=OURS")
            if field and field not in FIELDS:
                raise ValueError(f"{ours!r} is no field of a sale event; the fields are {_listed(FIELDS)}")
            if name in self.mapped:
                raise ValueError(f"{theirs!r} is mapped twice")
            self.mapped[name] = field or None

    def __str__(self) -> str:
        """The same for the same mappings, in whatever order and case they were given."""
        return " ".join(f"{theirs}={ours or ''}" for theirs, ours in sorted(self.mapped.items()))

    def field(self, name: str) -> str | None:
        """The field that a column is; None for one to drop, and the name itself for one that is none."""
        plain = _plain(name)
        return self.mapped.get(plain, plain if plain in FIELDS else name)

    def of_header(self, names: Sequence[str]) -> list[str | None]:
        """The field of each column, None for those to drop. Raises ValueError, in plain words."""
        fields = [self.field(name) for name in names]
        for place, (name, field) in enumerate(zip(names, fields, strict=True)):
            if field is not None and field not in FIELDS:
                raise ValueError(
                    f"the column {name!r:.80} is no field of a sale event; --map '{name:.80}=OURS' says which it is, "
                    f"--map '{name:.80}=' drops it; the fields are {_listed(FIELDS)}"
                )
            if field is not None and field in fields[:place]:
                raise ValueError(f"the columns {names[fields.index(field)]!r} and {name!r} would both be {field}")
        if missing := REQUIRED - set(fields):
            raise ValueError(f"there is no column for {_listed(missing)}; --map theirs=OURS renames one")
        return fields

    def rename(self, value: Any) -> Any:
        """A parsed JSON value with our names; those that are exactly ours already are left alone."""
        if not isinstance(value, dict) or (not self.mapped and value.keys() <= FIELDS.keys()):
            return value
        renamed: dict[str, Any] = {}
        for name, content in value.items():
            field = self.field(name)
            if field in renamed:
                return NotJSON(f"has {field} twice, by different names")
            if field is not None:
                renamed[field] = content
        return renamed


def _plain(name: str) -> str:
    return name.strip().upper()


def _listed(fields: Iterable[str]) -> str:
    """Fields in the order of an event."""
    wanted = set(fields)
    return ", ".join(field for field in FIELDS if field in wanted)
